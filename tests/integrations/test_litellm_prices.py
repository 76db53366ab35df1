"""Prices that come with a call of litellm, that its Router has, or that are registered with it: held and booked."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget import BudgetExceededError, UnknownModelError
from coreason_budget.models import ModelPrice
from coreason_budget.pricing.litellm_prices import load_litellm
from tests.litellms import WARNS
from tests.upstream import Answer, Gate, Tokens

from .bench import ASKED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .bench import Bench

pytestmark = WARNS

#: A dollar for a thousand tokens in, two for a thousand out.
DEAR: Any = {"input_cost_per_token": 0.001, "output_cost_per_token": 0.002}
CHEAP: Any = {"input_cost_per_token": 0.00001, "output_cost_per_token": 0.00002}
#: What 20 tokens in and 7 out come to.
OF_DEAR, OF_CHEAP = Decimal("0.034"), Decimal("0.00034")
#: What is held for 100 tokens out, for the question in the tokens of gpt-4, and of a model whose own nobody knows.
HELD = {"openai/gpt-4": Decimal("0.214"), "openai/our-own": Decimal("0.221")}


@pytest.fixture(autouse=True)
def answers(bench: Bench) -> None:
    bench.upstream.default = Answer(tokens=Tokens(input=20))


@pytest.fixture
def registered() -> Iterator[Any]:
    """Register prices with litellm; they are gone after the test."""
    litellm = load_litellm()
    before = {name: dict(row) for name, row in litellm.model_cost.items()}
    yield litellm.register_model
    for name in [name for name in litellm.model_cost if name not in before]:
        del litellm.model_cost[name]
    litellm.register_model({name: row for name, row in before.items() if litellm.model_cost[name] != row})


# with a call ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", ["openai/gpt-4", "openai/our-own"], ids=["known", "unknown"])
def test_the_price_of_a_call_is_held_and_booked(bench: Bench, model: str, stream: Any) -> None:
    bench.upstream.will(Answer(tokens=Tokens(input=20), gate=Gate(before=0) if stream else None))
    made = bench.chat(model, stream=stream, max_tokens=100, **DEAR)
    if stream:
        assert bench.held == HELD[model]
        bench.upstream.close()
        bench.read(made)
    assert bench.spent == OF_DEAR
    assert bench.records == [(model, 20, 7)]
    bench.ledger.configure(daily_user_limit_usd="0.1")
    with pytest.raises(BudgetExceededError) as refused:
        bench.chat(model, max_tokens=100, **DEAR)
    assert refused.value.requested == HELD[model]


def test_a_limit_by_what_is_left_goes_by_the_price_of_the_call(bench: Bench) -> None:
    bench.ledger.configure(daily_user_limit_usd="0.064")  # 14 tokens in, and 25 out
    bench.chat(limit_to_remaining=True, **DEAR)
    assert bench.upstream.exchange().body["max_tokens"] == 25
    assert bench.spent == OF_DEAR


def test_cached_and_written_tokens_have_prices_of_their_own_if_the_call_states_them(bench: Bench) -> None:
    bench.upstream.will(*[Answer(tokens=Tokens(input=20, cached=10))] * 2)
    bench.chat(**DEAR)
    bench.chat(**DEAR, cache_read_input_token_cost=0.0001)
    assert bench.spent == OF_DEAR + OF_DEAR - Decimal("0.009")


def test_a_price_of_embeddings_is_one_of_their_input(bench: Bench) -> None:
    bench("embedding", "openai/our-vectors", ["six", "seven"], input_cost_per_token=0.001)
    assert bench.spent == Decimal("0.02")


def test_the_price_of_a_call_is_that_of_its_fallbacks_as_litellm_has_it(bench: Bench) -> None:
    if not bench.is_async:
        bench.upstream.will(Answer.refused(500), model="our-own")
        bench.chat("openai/our-own", fallbacks=["openai/gpt-4.1"], **DEAR)
        assert bench.records == [("openai/our-own", 20, 7)]
        assert bench.spent == OF_DEAR
    bench.upstream.will(Answer.refused(500), model="gpt-4")
    before = bench.spent
    bench.chat(fallbacks=[{"model": "openai/gpt-4.1", **CHEAP}], **DEAR)
    assert bench.spent - before == OF_CHEAP


@pytest.mark.parametrize("whose", ["admin", "settings"])
def test_the_price_of_the_admin_or_the_settings_goes_first(bench: Bench, whose: str) -> None:
    if whose == "admin":
        ModelPrice.objects.create(model="openai/gpt-4", input_usd_per_million="10", output_usd_per_million="20")
    else:
        price = {"input_usd_per_million": "10", "output_usd_per_million": "20"}
        bench.ledger.configure(daily_user_limit_usd="100", model_price_overrides={"openai/gpt-4": price})
    stream = bench.chat(stream=True, max_tokens=100, **DEAR)
    assert bench.held == Decimal("0.00214")
    bench.read(stream)
    assert bench.spent == OF_CHEAP


@pytest.mark.parametrize(
    ("prices", "says"),
    [
        ({**DEAR, "input_cost_per_token": -0.001}, r"The call states input_cost_per_token, which is -0\.001; use an"),
        ({**DEAR, "output_cost_per_token": "dear"}, "The call states output_cost_per_token, which is 'dear'; use an"),
        ({**DEAR, "output_cost_per_token": float("nan")}, "which is nan; use an amount of USD that is 0 or more"),
        ({**DEAR, "output_cost_per_token": 2.5}, "as 2.5, more than 1 USD for a single token: 2.50 USD a million are"),
        ({"input_cost_per_token": 0.001}, "states no output_cost_per_token beside input_cost_per_token: state both"),
        ({"input_cost_per_second": 0.001}, "The call states input_cost_per_second, which budgets do not read: state"),
        (
            {**DEAR, "tiered_pricing": [{}]},
            "The call states tiered_pricing, which budgets do not read: state input_cost",
        ),
        ({**DEAR, "search_context_cost_per_query": 1}, "The call states search_context_cost_per_query, which budgets"),
        ({**DEAR, "fallbacks": [{"model": "openai/gpt-4o", "output_cost_per_token": -1}]}, "The fallback 'openai/gpt-"),
    ],
    ids=["negative", "text", "nan", "per-million", "half", "unread", "tiers", "searches", "fallback"],
)
def test_a_price_that_cannot_be_is_refused(bench: Bench, prices: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        bench.chat(**prices)
    assert bench.upstream.exchanges == []
    assert bench.spent == 0


def test_a_price_of_nothing_is_for_the_admin_to_allow(bench: Bench) -> None:
    nothing: Any = {"input_cost_per_token": 0, "output_cost_per_token": 0}
    with pytest.raises(UnknownModelError, match=r"The price of model 'openai/gpt-4' is 0\. Mark it as free"):
        bench.chat(**nothing)
    assert bench.upstream.exchanges == []
    ModelPrice.objects.create(model="openai/gpt-4", input_usd_per_million=0, output_usd_per_million=0, is_free=True)
    bench.ledger.configure(daily_user_limit_usd="100")
    bench.chat(**nothing)
    assert bench.spent == 0
    assert bench.records == [("openai/gpt-4", 20, 7)]


# of a router ---------------------------------------------------------------------------------------------------------


def router(bench: Bench, *deployments: tuple[str, str, Any, Any]) -> Any:
    return load_litellm().Router(
        model_list=[
            {
                "model_name": name,
                "litellm_params": {"model": model, "api_base": bench.upstream.openai_url, "api_key": "-", **params},
                "model_info": info,
            }
            for name, model, params, info in deployments
        ],
        num_retries=0,
    )


def ask(bench: Bench, group: str, made: Any, **options: Any) -> Any:
    return bench("completion", group, ASKED, router=made, api_base=(), api_key=(), **options)


@pytest.mark.parametrize("stream", [(), (True,)], ids=["whole", "stream"])
@pytest.mark.parametrize("where", ["litellm_params", "model_info"])
def test_the_price_of_a_deployment_is_held_and_booked(bench: Bench, where: str, stream: Any, registered: Any) -> None:
    prices = (DEAR, {}) if where == "litellm_params" else ({}, DEAR)
    made = router(bench, *((model, model, *prices) for model in HELD))
    for number, group in enumerate(HELD, 1):
        answer = ask(bench, group, made, stream=bool(stream), max_tokens=100)
        if stream:
            assert bench.held == HELD[group]
            bench.read(answer)
        assert bench.spent == number * OF_DEAR
    bench.ledger.configure(daily_user_limit_usd="0.1")
    with pytest.raises(BudgetExceededError) as refused:
        ask(bench, "openai/our-own", made, max_tokens=100)
    assert refused.value.requested == HELD["openai/our-own"]


@pytest.mark.parametrize("stream", [(), (True,)], ids=["whole", "stream"])
def test_the_deployment_that_answers_is_paid_and_the_dearest_is_held(
    bench: Bench, stream: Any, registered: Any
) -> None:
    made = router(
        bench,
        ("one", "openai/gpt-4", {}, {**DEAR, "id": "the dear one"}),
        ("two", "openai/gpt-4", {}, {**CHEAP, "id": "the cheap one"}),
        ("three", "openai/gpt-4", {}, {}),
        *[("any", "openai/gpt-4", {"weight": weight}, info) for weight, info in ((0, DEAR), (1, CHEAP), (0, {}))],
    )
    due = {"one": OF_DEAR, "two": OF_CHEAP, "three": Decimal("0.00102"), "any": OF_CHEAP}
    for group, cost in due.items():
        before = bench.spent
        answer = ask(bench, group, made, stream=bool(stream), max_tokens=100)
        if stream:
            assert group != "any" or bench.held == Decimal("0.214")
            bench.read(answer)
        assert (group, bench.spent - before) == (group, cost)


def test_a_fallback_of_the_router_is_paid_at_the_price_that_it_has(bench: Bench, registered: Any) -> None:
    made = router(bench, ("one", "openai/our-own", {}, DEAR), ("two", "openai/our-other", CHEAP, {}))
    bench.upstream.will(Answer.refused(500), model="our-own")
    ask(bench, "one", made, fallbacks=["two"])
    assert bench.records == [("openai/our-other", 20, 7)]
    assert bench.spent == OF_CHEAP


def test_the_price_of_a_call_goes_before_that_of_a_deployment(bench: Bench, registered: Any) -> None:
    made = router(bench, ("one", "openai/our-own", {}, DEAR))
    ask(bench, "one", made, **CHEAP)
    assert bench.spent == OF_CHEAP


def test_embeddings_and_responses_have_the_price_of_their_deployment(bench: Bench, registered: Any) -> None:
    made = router(
        bench,
        ("vectors", "openai/our-vectors", {"input_cost_per_token": 0.001}, {}),
        ("words", "openai/our-own", {}, DEAR),
    )
    bench("embedding", "vectors", ["six"], router=made, api_base=(), api_key=())
    assert bench.spent == Decimal("0.02")
    bench("responses", "What is six times seven?", "words", router=made, api_base=(), api_key=())
    assert bench.spent == Decimal("0.02") + OF_DEAR
    bench.read(bench("responses", "Six?", "words", router=made, api_base=(), api_key=(), stream=True))
    assert bench.spent == Decimal("0.02") + OF_DEAR + OF_DEAR


def test_a_price_of_a_deployment_that_cannot_be_is_refused(bench: Bench, registered: Any) -> None:
    made = router(bench, ("one", "openai/gpt-4", {}, {"input_cost_per_second": 0.1}))
    says = "The deployment of 'openai/gpt-4' in the group 'one' states input_cost_per_second, which budgets do not read"
    with pytest.raises(ValueError, match=says):
        ask(bench, "one", made)
    assert bench.upstream.exchanges == []


# registered with litellm ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("our-own", {**DEAR, "litellm_provider": "openai", "mode": "chat"}),
        ("openai/our-own", {**DEAR, "litellm_provider": "openai", "mode": "chat"}),
        ("openai/our-own", DEAR),
        ("our-own", DEAR),
    ],
    ids=["name", "full-name", "full-name-alone", "name-alone"],
)
def test_a_price_that_is_registered_counts_from_the_next_call_on(
    bench: Bench, registered: Any, name: str, row: Any
) -> None:
    with pytest.raises(UnknownModelError):
        bench.chat("openai/our-own")
    registered({name: row})
    stream = bench.chat("openai/our-own", stream=True, max_tokens=100)
    assert bench.held == HELD["openai/our-own"]
    bench.read(stream)
    assert bench.spent == OF_DEAR


def test_a_registered_price_takes_the_place_of_litellms(bench: Bench, registered: Any) -> None:
    bench.chat("openai/gpt-4")
    registered({"gpt-4": DEAR})
    bench.chat("openai/gpt-4")
    assert bench.spent == Decimal("0.00102") + OF_DEAR


def test_a_registered_price_below_nothing_is_none(bench: Bench, registered: Any) -> None:
    registered({"our-own": {**DEAR, "output_cost_per_token": -0.002, "litellm_provider": "openai", "mode": "chat"}})
    with pytest.raises(UnknownModelError, match="'openai/our-own': litellm would price it at"):
        bench.chat("openai/our-own")
    assert bench.upstream.exchanges == []
