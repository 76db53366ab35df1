"""A usage that is known by itself has a price under the first of its names that has one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from coreason_budget.conf import BudgetConfig
from coreason_budget.exceptions import UnknownModelError
from coreason_budget.pricing import PricedCall, PriceRow, PricingEngine, TokenUsage

# litellm's own classes make pydantic warn at first use.
pytestmark = pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning")

USAGE = TokenUsage(1_000, 200)


@pytest.fixture(scope="module")
def engine() -> PricingEngine:
    return PricingEngine(BudgetConfig())


@pytest.mark.parametrize(
    ("names", "model", "cost"),
    [
        (("gpt-4o", "gpt-4"), "gpt-4o", "0.0045"),
        (("azure/my-deployment", "gpt-4"), "gpt-4", "0.042"),
        (("a/b", "gpt-4o-2024-08-06"), "gpt-4o-2024-08-06", "0.0045"),
        (("gpt-4o-2999-01-01", "gpt-4"), "gpt-4", "0.042"),
    ],
)
def test_the_first_name_with_a_price_counts(
    engine: PricingEngine, names: tuple[str, ...], model: str, cost: str
) -> None:
    assert engine.cost_of_usage(USAGE, *names) == PricedCall(model, Decimal(cost), USAGE)


def test_a_price_that_somebody_stated_goes_before_litellms() -> None:
    engine = PricingEngine(BudgetConfig(), lambda: {"second": PriceRow(Decimal(1), Decimal(1))})
    assert engine.cost_of_usage(USAGE, "gpt-4", "second").model == "second"


def test_names_without_a_price_are_unknown(engine: PricingEngine) -> None:
    with pytest.raises(UnknownModelError, match="'me/neither'"):
        engine.cost_of_usage(USAGE, "me/neither", "nobody/knows")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((USAGE,), "needs the name of a model"),
        ((USAGE, 5), "model must be a str"),
        ((USAGE, " "), "model must not be empty"),
        (({"prompt_tokens": 5}, "gpt-4"), "usage must be a TokenUsage, not dict"),
    ],
)
def test_what_is_no_usage_or_no_name_is_refused(engine: PricingEngine, arguments: Any, error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        engine.cost_of_usage(*arguments)


@pytest.mark.parametrize(
    ("model", "searches", "cost"),
    [
        ("claude-sonnet-4-5", 3, "0.036"),
        ("gpt-5", 2, "0.02325"),
        ("gemini/gemini-2.5-pro", 4, "0.03825"),
        ("gpt-4", 1, "0.042"),
    ],
)
def test_searches_of_the_web_cost_what_litellm_says(
    engine: PricingEngine, model: str, searches: int, cost: str
) -> None:
    assert engine.calculate(model, 1_000, 200, web_searches=searches) == Decimal(cost)
