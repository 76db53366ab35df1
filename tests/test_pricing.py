"""Prices that somebody stated, how long they are kept, and what the engine makes of any price."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreason_budget.conf import BudgetConfig
from coreason_budget.exceptions import BudgetConfigurationError, BudgetUnavailableError, UnknownModelError
from coreason_budget.models import ModelPrice
from coreason_budget.pricing import PricedCall, PriceRow, PricingEngine, TokenUsage, read_price_rows
from coreason_budget.pricing.engine import MAX_AFFORDABLE_TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping

ROW = PriceRow(Decimal("2.50"), Decimal(10), Decimal("0.25"), Decimal("3.125"))
HOUSE = {"input_usd_per_million": "2.50", "output_usd_per_million": 10}


def engine_with(row: PriceRow = ROW, **config: object) -> PricingEngine:
    return PricingEngine(BudgetConfig(**config), lambda: {"house": row})


def settings_engine(**prices: object) -> PricingEngine:
    return PricingEngine(BudgetConfig(model_price_overrides={"house": prices}))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Admin:
    """The admin's prices, which a test changes, and how often they were read."""

    def __init__(self, rows: Mapping[str, PriceRow]) -> None:
        self.rows: Mapping[str, PriceRow] | Exception = rows
        self.reads = 0

    def __call__(self) -> Mapping[str, PriceRow]:
        self.reads += 1
        if isinstance(self.rows, Exception):
            raise self.rows
        return self.rows


# Whose price counts.


def test_a_price_in_the_admin_goes_before_the_settings_and_litellm() -> None:
    config = BudgetConfig(model_price_overrides={"gpt-4": HOUSE})
    engine = PricingEngine(config, lambda: {"gpt-4": PriceRow(Decimal(1), Decimal(2))})
    assert engine.calculate("gpt-4", 1_000, 1_000) == Decimal("0.003")


def test_a_price_in_the_settings_goes_before_litellm() -> None:
    engine = PricingEngine(BudgetConfig(model_price_overrides={"gpt-4": HOUSE}))
    assert engine.calculate("gpt-4", 1_000, 1_000) == Decimal("0.0125")


def test_names_of_prices_match_exactly() -> None:
    with pytest.raises(UnknownModelError, match="'House'"):
        engine_with().calculate("House", 1, 1)


@pytest.mark.django_db
def test_prices_are_read_from_the_admins_table() -> None:
    ModelPrice.objects.create(model="house", input_usd_per_million="2.5", output_usd_per_million="10")
    ModelPrice.objects.create(
        model="gift",
        input_usd_per_million=0,
        output_usd_per_million=0,
        cached_input_usd_per_million="0.1",
        cache_write_usd_per_million="0.2",
        is_free=True,
    )
    assert read_price_rows() == {
        "house": PriceRow(Decimal("2.5"), Decimal(10)),
        "gift": PriceRow(Decimal(0), Decimal(0), Decimal("0.1"), Decimal("0.2"), is_free=True),
    }


# Exact sums.


@pytest.mark.parametrize(
    ("parts", "cost"),
    [
        ({}, "0.0125"),
        ({"cached_input_tokens": 400}, "0.0116"),
        ({"cache_write_tokens": 400}, "0.01275"),
        ({"cache_write_tokens": 400, "cache_write_1h_tokens": 400}, "0.01275"),
        ({"cached_input_tokens": 600, "cache_write_tokens": 400}, "0.0114"),
        ({"reasoning_tokens": 900, "audio_input_tokens": 500, "image_output_tokens": 100}, "0.0125"),
        ({"service_tier": "priority"}, "0.0125"),
    ],
)
def test_a_stated_price_costs_each_kind_of_token(parts: dict[str, Any], cost: str) -> None:
    assert engine_with().calculate("house", 1_000, 1_000, **parts) == Decimal(cost)


def test_cached_tokens_cost_what_input_costs_if_nobody_says_otherwise() -> None:
    engine = engine_with(PriceRow(Decimal(3), Decimal(15)))
    cost = engine.calculate("house", 1_000, 0, cached_input_tokens=300, cache_write_tokens=700)
    assert cost == Decimal("0.003")


def test_large_counts_and_long_prices_are_exact() -> None:
    row = PriceRow(Decimal("0.000000000001"), Decimal("123.456789012345"))
    engine = engine_with(row)
    assert engine.calculate("house", 10**12, 999_999_999) == Decimal("123456.788889888")


def test_a_cost_below_a_nano_dollar_is_not_nothing() -> None:
    engine = engine_with(PriceRow(Decimal("0.0001"), Decimal(1)))
    assert engine.calculate("house", 1, 0) == Decimal("0.000000001")


def test_no_tokens_cost_nothing() -> None:
    assert engine_with().calculate("house", 0, 0) == 0


def test_prices_of_nothing_need_somebody_who_says_free() -> None:
    with pytest.raises(UnknownModelError, match="'house' is 0"):
        engine_with(PriceRow(Decimal(0), Decimal(0))).calculate("house", 1, 1)
    assert engine_with(PriceRow(Decimal(0), Decimal(0), is_free=True)).calculate("house", 1, 1) == 0


# The settings.


def test_the_settings_take_dollars_per_million_or_per_token() -> None:
    per_million = settings_engine(
        input_usd_per_million="2.50",
        output_usd_per_million=10,
        cached_input_usd_per_million=0.25,
        cache_write_usd_per_million=Decimal("3.125"),
    )
    per_token = settings_engine(
        input_cost_per_token=2.5e-06,
        output_cost_per_token="0.00001",
        cache_read_input_token_cost=2.5e-07,
        cache_creation_input_token_cost=3.125e-06,
    )
    for engine in (per_million, per_token):
        cost = engine.calculate("house", 1_000, 100, cached_input_tokens=200, cache_write_tokens=300)
        assert cost == Decimal("0.0032375")


def test_a_model_is_free_if_the_settings_say_so() -> None:
    assert settings_engine(free=True).calculate("house", 1_000, 1_000) == 0
    with pytest.raises(UnknownModelError, match="'free': True"):
        settings_engine(input_usd_per_million=0, output_usd_per_million=0).calculate("house", 1, 1)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({**HOUSE, "inptu_usd_per_million": 1}, ["inptu_usd_per_million", "input_usd_per_million"]),
        ({**HOUSE, "input_usd_per_million": "-1"}, ["input_usd_per_million", "'-1'", "0 or more"]),
        ({**HOUSE, "input_usd_per_million": "NaN"}, ["input_usd_per_million", "'NaN'", "0 or more"]),
        ({**HOUSE, "output_usd_per_million": "ten"}, ["output_usd_per_million", "'ten'", "0 or more"]),
        ({**HOUSE, "output_usd_per_million": True}, ["output_usd_per_million", "True", "0 or more"]),
        ({**HOUSE, "output_usd_per_million": None}, ["output_usd_per_million", "None", "0 or more"]),
        ({**HOUSE, "output_usd_per_million": "1_0"}, ["output_usd_per_million", "'1_0'", "0 or more"]),
        ({**HOUSE, "output_usd_per_million": 1e300}, ["output_usd_per_million", "1e+300", "0 or more"]),
        ({**HOUSE, "input_cost_per_token": 1}, ["input_usd_per_million", "input_cost_per_token", "one of them"]),
        ({"input_usd_per_million": 1}, ["output_usd_per_million", "free"]),
        ({**HOUSE, "free": "yes"}, ["free", "'yes'", "True or False"]),
        ("2.50", ["mapping", "'2.50'"]),
    ],
)
def test_a_wrong_price_in_the_settings_is_named_with_its_remedy(raw: object, words: list[str]) -> None:
    with pytest.raises(BudgetConfigurationError) as caught:
        PricingEngine(BudgetConfig(model_price_overrides={"house": raw}))
    for word in ["MODEL_PRICE_OVERRIDES", "'house'", *words]:
        assert word in str(caught.value)


# How long the admin's prices are kept.


def test_the_admins_prices_are_read_again_when_they_are_too_old() -> None:
    clock, admin = Clock(), Admin({"house": ROW})
    engine = PricingEngine(BudgetConfig(limits_ttl=30), admin, clock=clock)
    assert engine.calculate("house", 1_000_000, 0) == Decimal("2.5")
    admin.rows = {"house": PriceRow(Decimal(7), Decimal(7))}
    clock.now += 29.9
    assert engine.is_fresh
    assert engine.calculate("house", 1_000_000, 0) == Decimal("2.5")
    clock.now += 0.1
    assert not engine.is_fresh
    assert engine.calculate("house", 1_000_000, 0) == 7
    assert admin.reads == 2


def test_a_changed_price_counts_at_once_when_the_old_one_is_forgotten() -> None:
    admin = Admin({"house": ROW})
    engine = PricingEngine(BudgetConfig(), admin)
    engine.refresh()
    admin.rows = {"house": PriceRow(Decimal(7), Decimal(7))}
    engine.forget()
    assert engine.calculate("house", 1_000_000, 0) == 7


def test_prices_read_before_a_change_are_not_kept_after_it() -> None:
    admin = Admin({"house": ROW})

    def changed_while_reading() -> Mapping[str, PriceRow]:
        rows = admin()
        if admin.reads == 1:
            admin.rows = {"house": PriceRow(Decimal(7), Decimal(7))}
            engine.forget()
        return rows

    engine = PricingEngine(BudgetConfig(), changed_while_reading)
    engine.refresh()
    assert engine.calculate("house", 1_000_000, 0) == 7


def test_no_price_is_used_that_cannot_be_read_again() -> None:
    clock, admin = Clock(), Admin({"house": ROW})
    engine = PricingEngine(BudgetConfig(limits_ttl=30), admin, clock=clock)
    engine.refresh()
    admin.rows = BudgetUnavailableError("the database does not answer")
    assert engine.calculate("house", 1_000_000, 0) == Decimal("2.5")
    clock.now += 30
    with pytest.raises(BudgetUnavailableError):
        engine.calculate("house", 1_000_000, 0)


def test_an_engine_without_an_admin_is_always_fresh() -> None:
    assert PricingEngine(BudgetConfig()).is_fresh


def test_threads_that_race_with_forget_see_one_price_or_the_other() -> None:
    admin = Admin({"house": ROW})
    engine = PricingEngine(BudgetConfig(), admin)
    seen: set[Decimal] = set()

    def calculate() -> None:
        for _ in range(200):
            seen.add(engine.calculate("house", 1_000_000, 0))

    threads = [threading.Thread(target=calculate) for _ in range(8)]
    for thread in threads:
        thread.start()
    admin.rows = {"house": PriceRow(Decimal(7), Decimal(7))}
    engine.forget()
    for thread in threads:
        thread.join()
    assert seen <= {Decimal("2.5"), Decimal(7)}
    assert engine.calculate("house", 1_000_000, 0) == 7


# What is refused.


@pytest.mark.parametrize(
    ("tokens", "error", "words"),
    [
        ({"input_tokens": -1}, ValueError, "input_tokens must not be negative, got -1"),
        ({"output_tokens": 1.5}, TypeError, "output_tokens must be an int, not float: 1.5"),
        ({"output_tokens": True}, TypeError, "output_tokens must be an int, not bool: True"),
        ({"output_tokens": "9"}, TypeError, "output_tokens must be an int, not str: '9'"),
        ({"output_tokens": None}, TypeError, "output_tokens must be an int, not NoneType"),
        ({"input_tokens": 10**12 + 1}, ValueError, "input_tokens must be at most 1,000,000,000,000"),
        ({"cached_input_tokens": 600, "cache_write_tokens": 401}, ValueError, "got 1001 of 1000"),
        ({"audio_input_tokens": 600, "image_input_tokens": 401}, ValueError, "got 1001 of 1000"),
        ({"cache_write_tokens": 5, "cache_write_1h_tokens": 6}, ValueError, "got 6 of 5"),
        ({"reasoning_tokens": 501, "audio_output_tokens": 500}, ValueError, "got 1001 of 1000"),
        ({"service_tier": 1}, TypeError, "service_tier must be a str"),
        ({"model": ""}, ValueError, "model must not be empty"),
        ({"model": " "}, ValueError, "model must not be empty"),
        ({"model": None}, TypeError, "model must be a str, not NoneType"),
    ],
)
def test_wrong_arguments_are_named(tokens: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words.replace("+", r"\+")):
        engine_with().calculate(**{"model": "house", "input_tokens": 1_000, "output_tokens": 1_000, **tokens})


# What is affordable.

PRICES = st.decimals("0.000001", "1000", places=6)


@given(PRICES, PRICES, st.integers(0, 10_000_000), st.decimals("0", "1000", places=9))
def test_the_longest_affordable_answer_is_affordable_and_a_longer_one_is_not(
    input_price: Decimal, output_price: Decimal, input_tokens: int, remaining: Decimal
) -> None:
    engine = engine_with(PriceRow(input_price, output_price))
    longest = engine.affordable_output_tokens("house", input_tokens, remaining)
    if engine.calculate("house", input_tokens, 0) >= remaining:
        assert longest == 0
        return
    assert engine.calculate("house", input_tokens, longest) <= remaining
    if longest < MAX_AFFORDABLE_TOKENS:
        assert engine.calculate("house", input_tokens, longest + 1) > remaining
    else:
        assert longest == MAX_AFFORDABLE_TOKENS


@pytest.mark.parametrize(
    ("remaining", "tokens"),
    [("-1", 0), ("0", 0), ("0.0025", 0), ("0.002509999", 0), ("0.00251", 1), ("0.0125", 1_000), (0.0125, 1_000)],
)
def test_the_input_is_paid_before_the_answer(remaining: str | float, tokens: int) -> None:
    assert engine_with().affordable_output_tokens("house", 1_000, remaining) == tokens


def test_a_free_model_affords_as_much_as_there_can_be() -> None:
    engine = engine_with(PriceRow(Decimal(0), Decimal(0), is_free=True))
    assert engine.affordable_output_tokens("house", 1_000, "0.01") == MAX_AFFORDABLE_TOKENS


def test_an_unknown_model_affords_nothing_but_an_error() -> None:
    with pytest.raises(UnknownModelError):
        engine_with().affordable_output_tokens("claude-opus-99", 1_000, 1)


# Importing.


def test_importing_and_stated_prices_need_neither_litellm_nor_models_nor_redis() -> None:
    code = (
        "import sys\n"
        "from coreason_budget.pricing import PriceRow, PricingEngine\n"
        "from coreason_budget.conf import BudgetConfig\n"
        "engine = PricingEngine(BudgetConfig(model_price_overrides={'house': {'free': True}}))\n"
        "engine.calculate('house', 1, 1), engine.estimate('house', input_tokens=1)\n"
        "engine.cost_of({'usage': {'prompt_tokens': 1}, 'model': 'house'})\n"
        "heavy = {'litellm', 'redis', 'tiktoken', 'django.db', 'coreason_budget.models'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=60)


def test_a_priced_call_tells_what_it_used() -> None:
    call = PricedCall("house", Decimal("0.1"), TokenUsage(3, 4))
    assert (call.input_tokens, call.output_tokens) == (3, 4)
