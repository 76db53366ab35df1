"""Calls through a litellm.Router: whichever deployment answers is the one that is paid."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget import BudgetExceededError, UnknownModelError
from coreason_budget.pricing.litellm_prices import load_litellm
from tests.litellms import WARNS
from tests.upstream import Answer, Break, Gate, Tokens

from .bench import ANSWERED, ASKED, text

if TYPE_CHECKING:
    from .bench import Bench

pytestmark = WARNS


def router(bench: Bench, **settings: Any) -> Any:
    """Return a router: "cheap" is gpt-4o-mini, "dear" gpt-4, "any" one of them."""
    deployments = [
        ("cheap", "openai/gpt-4o-mini", {}),
        ("dear", "openai/gpt-4", {}),
        ("any", "openai/gpt-4o-mini", {}),
        ("any", "openai/gpt-4", {}),
        ("short", "openai/gpt-4", {"max_tokens": 20}),
        ("ours", "openai/our-deployment", {}),
        ("openai/*", "openai/*", {}),
        ("vectors", "openai/text-embedding-3-large", {}),
    ]
    return load_litellm().Router(
        model_list=[
            {
                "model_name": name,
                "litellm_params": {"model": model, "api_base": bench.upstream.openai_url, "api_key": "-", **options},
                "model_info": {"base_model": "gpt-4o"} if name == "ours" else {},
            }
            for name, model, options in deployments
        ],
        num_retries=0,
        max_fallbacks=3,
        **settings,
    )


def ask(bench: Bench, group: str, made: Any, **options: Any) -> Any:
    return bench("completion", group, ASKED, router=made, api_base=(), api_key=(), **options)


def test_a_group_costs_what_its_deployment_costs(bench: Bench) -> None:
    response = ask(bench, "cheap", router(bench))
    assert response.choices[0].message.content == ANSWERED
    assert bench.records[0][0] == "openai/gpt-4o-mini"
    assert bench.spent == bench.owed("gpt-4o-mini")


def test_the_dearest_deployment_is_held_and_the_one_that_answers_is_paid(bench: Bench) -> None:
    made = router(bench)
    for _ in range(4):
        ask(bench, "any", made)
    answered = [exchange.body["model"] for exchange in bench.upstream.exchanges]
    assert bench.spent == bench.owed(*answered)
    bench.ledger.configure(daily_user_limit_usd="0.001")
    with pytest.raises(BudgetExceededError) as refused:
        ask(bench, "any", made, max_tokens=100)
    assert refused.value.requested == Decimal("0.00642")


@pytest.mark.parametrize("stream", [(), (True,)], ids=["whole", "stream"])
def test_a_fallback_of_the_router_is_paid_at_its_own_price(bench: Bench, stream: Any) -> None:
    bench.upstream.will(Answer.refused(500), model="gpt-4o-mini")
    response = ask(bench, "cheap", router(bench, fallbacks=[{"cheap": ["dear"]}]), stream=bool(stream))
    if stream:
        assert text(bench.read(response)) == ANSWERED
    assert [exchange.body["model"] for exchange in bench.upstream.exchanges] == ["gpt-4o-mini", "gpt-4"]
    assert bench.records[0][0] == "openai/gpt-4"
    assert bench.spent == bench.owed("gpt-4")


def test_the_price_of_a_fallback_is_held(bench: Bench) -> None:
    bench.ledger.configure(daily_user_limit_usd="0.001")
    ask(bench, "cheap", router(bench), max_tokens=100)
    for settings in (
        {"fallbacks": [{"cheap": ["any"]}]},
        {"default_fallbacks": ["dear"]},
        {"context_window_fallbacks": [{"cheap": ["dear"]}]},
    ):
        with pytest.raises(BudgetExceededError) as refused:
            ask(bench, "cheap", router(bench, **settings), max_tokens=100)
        assert refused.value.requested == Decimal("0.00642")
    with pytest.raises(BudgetExceededError):
        ask(bench, "cheap", router(bench), max_tokens=100, fallbacks=["dear"])
    assert len(bench.upstream.exchanges) == 1


def test_the_maximum_of_a_deployment_is_what_is_held(bench: Bench) -> None:
    stream = ask(bench, "short", router(bench), stream=True)
    assert bench.held == Decimal("0.00162")
    bench.read(stream)
    assert bench.spent == bench.owed("gpt-4")


def test_an_alias_a_wildcard_and_a_base_model_have_their_prices(bench: Bench) -> None:
    made = router(bench, model_group_alias={"house": "dear"})
    ask(bench, "house", made)
    ask(bench, "openai/gpt-4.1", made)
    ask(bench, "ours", made)
    assert bench.spent == bench.owed("gpt-4", "gpt-4.1", "gpt-4o")


def test_a_group_that_is_none_has_no_price(bench: Bench) -> None:
    with pytest.raises(UnknownModelError, match="No price is known for model 'nowhere'"):
        ask(bench, "nowhere", router(bench))
    assert bench.spent == 0


def test_a_streams_limit_and_its_end_are_as_without_a_router(bench: Bench) -> None:
    bench.ledger.configure(daily_user_limit_usd="0.00162")
    bench.upstream.will(Answer(tokens=Tokens(input=14), gate=Gate(before=2)))
    stream = ask(bench, "dear", router(bench), stream=True, limit_to_remaining=True)
    assert bench.held == Decimal("0.00162")
    bench.read(stream, 3)
    bench.close(stream)
    assert bench.upstream.exchange().body["max_tokens"] == 20
    assert bench.spent == bench.owed("gpt-4") == Decimal("0.00054")


def test_a_stream_that_breaks_costs_what_came(bench: Bench) -> None:
    bench.upstream.will(Answer(tokens=Tokens(input=14), breaks=Break("cut", after=3)))
    with pytest.raises(Exception, match="litellm"):
        bench.read(ask(bench, "dear", router(bench), stream=True))
    assert bench.spent == bench.owed("gpt-4") == Decimal("0.0006")


def test_embeddings_go_through_a_router(bench: Bench) -> None:
    bench("embedding", "vectors", ["six", "seven"], router=router(bench), api_base=(), api_key=())
    assert bench.spent == bench.owed("text-embedding-3-large")


def test_what_is_no_router_is_refused(bench: Bench) -> None:
    with pytest.raises(TypeError, match=r"router must be a litellm\.Router, not dict"):
        ask(bench, "cheap", {})
    if not bench.is_async:
        with pytest.raises(TypeError, match=r"Router has no rerank\(\)"):
            bench("rerank", "cheap", "six", ["six"], router=router(bench))
    assert bench.upstream.exchanges == []
