"""Rates that litellm was asked for once: they give what it would say, and go by its map as it is now."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget.conf import BudgetConfig
from coreason_budget.exceptions import UnknownModelError
from coreason_budget.pricing import PricingEngine, TokenUsage, litellm_prices
from coreason_budget.pricing.litellm_prices import load_litellm
from coreason_budget.pricing.litellm_rates import KnownRates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# litellm's own classes make pydantic warn at first use.
pytestmark = pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning")

#: What multiplying floats, as litellm does, may add or lose.
FLOAT_ERROR = Decimal("1e-12")
HOUSE: Mapping[str, Any] = {
    "litellm_provider": "openai",
    "mode": "chat",
    "input_cost_per_token": 2e-06,
    "output_cost_per_token": 8e-06,
}
CALLS = (
    TokenUsage(1_000, 200),
    TokenUsage(90_001, 1_003, cached_input_tokens=40_000),
    TokenUsage(600_000, 20_000, cached_input_tokens=1_000, cache_write_tokens=2_000, reasoning_tokens=19_999),
    TokenUsage(5_000, 100, cache_write_tokens=3_000, cache_write_1h_tokens=1_000),
    TokenUsage(5_000, 100, service_tier="priority"),
    TokenUsage(5_000, 100, inference_geo="us", speed="fast"),
    TokenUsage(5_000, 100, audio_input_tokens=4_000, image_output_tokens=7),
)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> PricingEngine:
    monkeypatch.setattr(litellm_prices, "_rates", KnownRates())
    return PricingEngine(BudgetConfig())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the models that litellm is asked about, each time it is."""
    names: list[str] = []
    ask: Callable[..., Any] = load_litellm().cost_per_token

    def noted(**arguments: Any) -> Any:
        names.append(arguments["model"])
        return ask(**arguments)

    monkeypatch.setattr(load_litellm(), "cost_per_token", noted)
    return names


@pytest.fixture
def house() -> Iterator[Callable[..., None]]:
    """Return what states prices of a model in litellm's map, as its users do."""
    litellm = load_litellm()
    before = set(litellm.model_cost)

    def state(name: str = "house", **prices: Any) -> None:
        litellm.register_model({name: {**HOUSE, **prices}})

    yield state
    for name in set(litellm.model_cost) - before:
        del litellm.model_cost[name]


def test_calls_of_every_model_cost_what_litellm_says(engine: PricingEngine) -> None:
    litellm, compared, wrong = load_litellm(), 0, []
    for name in list(litellm.model_cost)[::29]:  # some of thousands
        found = litellm_prices._find(name, litellm.model_cost)
        if found is None:
            continue
        for usage in CALLS:
            said, cost = _said(found, usage), _cost(name, usage)
            compared += said is not None
            if _differ(said, cost):
                wrong.append((name, usage, said, cost))
    assert compared > 700
    assert wrong == []


def _differ(said: Decimal | None, cost: Decimal | None) -> bool:
    if said is None or cost is None:
        return said is not cost
    return abs(said - cost) > said * FLOAT_ERROR


def _said(found: tuple[str, str], usage: TokenUsage) -> Decimal | None:
    try:
        return litellm_prices._token_cost(load_litellm(), found[0], found[1], usage)
    except UnknownModelError:
        return None


def _cost(name: str, usage: TokenUsage) -> Decimal | None:
    try:
        return litellm_prices.litellm_cost(name, usage)
    except UnknownModelError:
        return None


def test_litellm_is_asked_once_for_what_tokens_cost(engine: PricingEngine, asked: list[str]) -> None:
    assert engine.calculate("gpt-4o", 1_000, 200) == Decimal("0.0045")
    assert set(asked) == {"gpt-4o"}
    asked.clear()
    assert engine.calculate("gpt-4o", 2_000, 200, cached_input_tokens=1_000, reasoning_tokens=9) == Decimal("0.00575")
    assert asked == []


def test_halves_of_a_nano_dollar_are_not_decided_by_the_errors_of_floats(
    engine: PricingEngine, house: Callable[..., None]
) -> None:
    house(input_cost_per_token=3.75e-08)
    assert 17 * 3.75e-08 < 6.375e-07
    assert engine.calculate("house", 17, 0) == Decimal("0.000000638")  # 637.5 nano-dollars, to even


def test_a_price_that_is_changed_in_litellms_map_counts_at_once(
    engine: PricingEngine, house: Callable[..., None]
) -> None:
    house()
    assert engine.calculate("house", 1_000, 100) == Decimal("0.0028")
    house(output_cost_per_token=9e-06)
    assert engine.calculate("house", 1_000, 100) == Decimal("0.0029")


@pytest.mark.parametrize("change", ["its row, where it is", "a row that goes before it"])
def test_litellm_is_asked_again_when_a_row_is_another(change: str) -> None:
    rows: list[dict[str, Any] | None] = [dict(HOUSE), None]
    price, known = [Decimal(2)], KnownRates()

    def found() -> Decimal | None:
        rates = known.find(("house", "openai"), TokenUsage(0, 0), rows, lambda usage: usage.total_tokens * price[0])
        return None if rates is None else rates.cost(TokenUsage(3, 1))

    assert found() == 8
    price[0] = Decimal(5)
    assert found() == 8
    if rows[0] is not None and change == "its row, where it is":
        rows[0]["input_cost_per_token"] = 5
    else:
        rows[1] = dict(HOUSE)
    assert found() == 20


@pytest.mark.parametrize(
    ("prices", "tokens", "cost"),
    [
        ({"input_cost_per_token_above_200k_tokens": 4e-06}, 200_001, "0.800804"),
        ({"input_cost_per_token_above_512_tokens": 4e-06}, 1_000, "0.0048"),
    ],
)
def test_a_long_prompt_costs_the_price_of_long_prompts(
    engine: PricingEngine, house: Callable[..., None], prices: dict[str, float], tokens: int, cost: str
) -> None:
    house(**prices)
    assert engine.calculate("house", 100, 100) == Decimal("0.001")
    assert engine.calculate("house", tokens, 100) == Decimal(cost)


def test_what_is_not_the_same_for_each_token_is_left_to_litellm(
    engine: PricingEngine, house: Callable[..., None], asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    house(tiered_pricing=[{"range": [0, 1e9], "input_cost_per_token": 3e-06, "output_cost_per_token": 8e-06}])
    for _ in range(2):
        asked.clear()
        assert engine.calculate("house", 1_000, 100) == Decimal("0.0038")
        assert asked == ["house"]
    plain = load_litellm().cost_per_token
    monkeypatch.setattr(load_litellm(), "cost_per_token", lambda **call: (plain(**call)[0] + 0.5, plain(**call)[1]))
    assert engine.calculate("gpt-4o", 1_000, 200) == Decimal("0.5045")  # a price for the call itself
    assert engine.calculate("gpt-4o", 2_000, 200) == Decimal("0.507")
