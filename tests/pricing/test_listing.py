"""Where the price of a model comes from, and what litellm's map states beside ours."""

from __future__ import annotations

from decimal import Decimal

import pytest

from coreason_budget.exceptions import UnknownModelError
from coreason_budget.pricing import Listing, PriceRow, PricingEngine, Source, listing, litellm_listed

from ..litellms import WARNS

pytestmark = WARNS

OURS = PriceRow(Decimal(1), Decimal(2))
NOTHING = PriceRow(Decimal(0), Decimal(0))


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("gpt-4o", PriceRow(Decimal("2.5"), Decimal(10), cached_input=Decimal("1.25"))),
        ("text-embedding-3-small", PriceRow(Decimal("0.02"), Decimal(0))),
        ("claude-opus-99", None),
        ("dall-e-3", None),
        ("", None),
    ],
)
def test_litellms_price_is_told_for_a_million_tokens(model, price):
    assert litellm_listed(model) == price


@pytest.mark.parametrize(
    ("rows", "overrides", "source", "price"),
    [
        ({"gpt-4o": OURS}, {"gpt-4o": NOTHING}, Source.ADMIN, OURS),
        ({}, {"gpt-4o": OURS}, Source.SETTINGS, OURS),
        ({"gpt-4o-mini": OURS}, {}, Source.LITELLM, PriceRow(Decimal("2.5"), Decimal(10), Decimal("1.25"))),
        ({"gpt-4o": NOTHING}, {}, Source.NONE, NOTHING),
    ],
)
def test_a_row_goes_before_the_settings_and_those_before_litellm(rows, overrides, source, price):
    assert listing("gpt-4o", rows, overrides) == Listing(source, price)


@pytest.mark.parametrize(
    "model", ["claude-opus-99", "gpt-4o", "azure/dall-e-3", "whisper-1", "ollama/llama3", "x", "fireworks_ai/foo-13b"]
)
def test_a_model_has_no_price_just_when_its_calls_are_refused(model):
    engine = PricingEngine()
    try:
        engine.calculate(model, input_tokens=1_000, output_tokens=0)
        is_priced = True
    except UnknownModelError:
        is_priced = model in {"azure/dall-e-3", "whisper-1"}  # which are not billed by tokens

    assert (listing(model, {}, {}).source is not Source.NONE) == is_priced
