"""Calls of litellm on a budget: the ledger says what the provider's books say, and nothing stays held."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget import (
    BudgetExceededError,
    BudgetUnavailableError,
    MissingUserError,
    UnknownModelError,
    budgeted_run,
    service,
)
from tests.litellms import WARNS
from tests.upstream import Answer, Break, Tokens, ToolCall

from .bench import ANSWERED, ASKED, USER

if TYPE_CHECKING:
    from .bench import Bench

pytestmark = WARNS

SCHEMA: Any = {
    "type": "json_schema",
    "json_schema": {
        "name": "answer",
        "schema": {"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"]},
        "strict": True,
    },
}


def test_a_call_costs_what_the_provider_says(bench: Bench) -> None:
    bench.upstream.will(Answer(tokens=Tokens(input=20)))
    response = bench.chat()
    assert response.choices[0].message.content == ANSWERED
    assert bench.spent == bench.owed("gpt-4") == Decimal("0.00102")
    assert bench.records == [("openai/gpt-4", 20, 7)]


@pytest.mark.parametrize(
    ("model", "path", "answer"),
    [
        (
            "openai/gpt-4o",
            "v1",
            Answer(tokens=Tokens(input=2000, cached=1024, audio_input=10, reasoning=30, audio_output=5)),
        ),
        ("openai/gpt-5-mini", "v1", Answer(tokens=Tokens(input=50), service_tier="flex")),
        (
            "anthropic/claude-sonnet-4-5",
            "",
            Answer(tokens=Tokens(input=3000, cached=1000, cache_write=1500, cache_write_1h=500)),
        ),
        ("gemini/gemini-2.5-pro", "v1beta/models/gemini-2.5-pro", Answer(tokens=Tokens(input=90, reasoning=40))),
    ],
    ids=["openai", "flex", "anthropic", "gemini"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_every_kind_of_token_has_its_price(bench: Bench, model: str, path: str, answer: Answer, stream: Any) -> None:
    bench.upstream.will(answer)
    response = bench.chat(model, api_base=f"{bench.upstream.url}/{path}".rstrip("/"), stream=stream)
    if stream:
        bench.read(response)
    assert bench.spent == bench.owed(model) > 0


def test_several_choices_and_tools_are_paid_for(bench: Bench) -> None:
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    bench.upstream.will(Answer(tools=(ToolCall("weather"),)))
    response = bench.chat(n=2, tools=tools)
    assert [choice.message.tool_calls[0].function.name for choice in response.choices] == ["weather"] * 2
    assert bench.spent == bench.owed("gpt-4")
    assert bench.records[0][2] == 4


def test_an_answer_without_usage_costs_its_counted_tokens(bench: Bench) -> None:
    bench.upstream.will(Answer(tokens=Tokens(input=14), reports_usage=False))
    bench.chat()
    assert bench.spent == bench.owed("gpt-4")


def test_the_hold_is_the_worst_case_and_drops_to_the_cost(bench: Bench) -> None:
    stream = bench.chat(stream=True, max_tokens=100, n=2)
    assert bench.held == Decimal("0.01242")  # 14 tokens at $30 and 2 * 100 at $60 a million
    bench.read(stream)
    assert bench.spent == bench.owed("gpt-4")


def test_without_room_the_provider_is_not_asked(bench: Bench) -> None:
    bench.ledger.configure(daily_user_limit_usd="0.001")
    with pytest.raises(BudgetExceededError) as refused:
        bench.chat(max_tokens=100)
    assert refused.value.requested == Decimal("0.00642")
    assert bench.upstream.exchanges == []
    assert bench.spent == 0


def test_without_redis_the_provider_is_not_asked(bench: Bench, settings: Any) -> None:
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0", "OPTIONS": {}}}
    with pytest.raises(BudgetUnavailableError):
        bench.chat()
    assert bench.upstream.exchanges == []


def test_a_model_without_a_price_is_not_asked(bench: Bench) -> None:
    with pytest.raises(UnknownModelError, match="No price is known for model 'openai/gpt-99'"):
        bench.chat("openai/gpt-99")
    with pytest.raises(UnknownModelError, match="No price is known for model 'openai/gpt-98'"):
        bench.chat(fallbacks=["openai/gpt-98"])
    assert bench.upstream.exchanges == []
    assert bench.spent == 0


def test_somebody_has_to_pay(bench: Bench) -> None:
    with pytest.raises(MissingUserError, match="pass budget_user="):
        bench.chat(budget_user=None)
    assert bench.upstream.exchanges == []


def test_arguments_are_told_apart_as_litellm_does(bench: Bench) -> None:
    with pytest.raises(TypeError, match="multiple values for argument 'model'"):
        bench("completion", "openai/gpt-4", ASKED, model="openai/gpt-4")
    with pytest.raises(TypeError, match="positional arguments but"):
        bench("completion", *["openai/gpt-4"] * 100)


# failures -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [Answer.refused(500), Answer.refused(429), Answer(breaks=Break("malformed")), Answer(breaks=Break("cut"))],
    ids=["500", "429", "malformed", "cut"],
)
def test_a_failed_call_gives_its_hold_back(bench: Bench, answer: Answer) -> None:
    bench.upstream.will(answer)
    with pytest.raises(Exception, match="litellm"):
        bench.chat()
    assert bench.spent == 0


def test_a_retry_is_paid_for_once(bench: Bench) -> None:
    bench.upstream.will(Answer.refused(500), Answer.refused(429), Answer(tokens=Tokens(input=20)))
    bench.chat(num_retries=3, max_retries=None)
    assert len(bench.upstream.exchanges) == 3
    assert bench.spent == bench.owed("gpt-4") == Decimal("0.00102")


def test_an_answer_that_litellm_throws_away_is_paid_for_too(bench: Bench) -> None:
    bad, good = Answer(tokens=Tokens(input=20)), Answer(pieces=('{"answer"', ": 42}"), tokens=Tokens(input=20))
    bench.upstream.will(bad, good)
    response = bench.chat("openai/gpt-4o", num_retries=2, response_format=SCHEMA, enable_json_schema_validation=True)
    assert json.loads(response.choices[0].message.content) == {"answer": 42}
    assert bench.records == [("openai/gpt-4o", 20, 7), ("openai/gpt-4o", 20, 2)]
    assert bench.spent == bench.owed("gpt-4o")


def test_answers_that_all_are_thrown_away_are_paid_for(bench: Bench) -> None:
    with pytest.raises(Exception, match=r"[Ss]chema"):
        bench.chat("openai/gpt-4o", response_format=SCHEMA, enable_json_schema_validation=True)
    assert bench.spent == bench.owed("gpt-4o") > 0


@pytest.mark.parametrize("fallback", ["openai/gpt-4.1", {"model": "openai/gpt-4.1", "max_tokens": 3}])
def test_the_fallback_that_answers_is_the_model_that_is_paid(bench: Bench, fallback: Any) -> None:
    bench.upstream.will(Answer.refused(500), model="gpt-4")
    response = bench.chat(fallbacks=[fallback], stream=bench.is_async)  # litellm's own cannot be read in sync code
    if bench.is_async:
        bench.read(response)
    assert [exchange.body["model"] for exchange in bench.upstream.exchanges] == ["gpt-4", "gpt-4.1"]
    assert bench.records[0][0] == "openai/gpt-4.1"
    assert bench.spent == bench.owed("gpt-4.1")


def test_the_dearest_of_the_models_that_may_answer_is_held(bench: Bench) -> None:
    bench.ledger.configure(daily_user_limit_usd="0.00641")
    bench.chat("openai/gpt-4o-mini", max_tokens=100)
    with pytest.raises(BudgetExceededError) as refused:
        bench.chat("openai/gpt-4o-mini", fallbacks=["openai/gpt-4"], max_tokens=100)
    assert refused.value.requested == Decimal("0.00642")
    assert bench.spent == bench.owed("gpt-4o-mini")


# who pays -------------------------------------------------------------------------------------------------------------


def test_a_response_that_is_charged_by_hand_too_counts_once(bench: Bench) -> None:
    response = bench.chat()
    with service.reservation(USER, amount="0.5") as hold:
        hold.charge(response)
    assert bench.spent == bench.owed("gpt-4")


def test_calls_in_a_run_draw_on_its_hold(bench: Bench) -> None:
    with budgeted_run(USER, amount="0.5") as run:
        bench.chat(budget_user=None)
        stream = bench.chat(budget_user=None, stream=True)
        assert bench.held == Decimal("0.5") - run.cost
        bench.read(stream)
        assert run.cost == bench.owed("gpt-4")
    assert bench.spent == bench.owed("gpt-4")


def test_a_mocked_response_costs_what_a_real_one_would(bench: Bench) -> None:
    response = bench.chat(mock_response="42")
    assert response.choices[0].message.content == "42"
    assert bench.upstream.exchanges == []
    assert bench.spent > 0
