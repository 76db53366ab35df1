"""Calls of the OpenAI SDK that are answered as a whole: the ledger says what the provider's books say."""

from __future__ import annotations

import gc
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import openai
import pydantic
import pytest

from coreason_budget import BudgetExceededError, BudgetUnavailableError, MissingUserError, UnknownModelError, service
from coreason_budget.integrations.openai import wrap
from tests.upstream import Answer, Break, Tokens, ToolCall

from .desk import ANN, CHAT, MESSAGES, QUESTION, RESPONSE, TEXT

if TYPE_CHECKING:
    from .desk import Desk


class Answered(pydantic.BaseModel):
    number: int


def test_a_chat_costs_what_the_provider_says(desk: Desk) -> None:
    desk.upstream.will(Answer(tokens=Tokens(input=20)))
    answer = desk.call(desk.openai().chat.completions.create, **CHAT)
    assert isinstance(answer, openai.types.chat.ChatCompletion)
    assert (answer.choices[0].message.content, answer.usage.total_tokens) == (TEXT, 27)  # type: ignore[union-attr]
    assert desk.spent == desk.owed() == Decimal("0.00102")
    assert desk.records == [("gpt-4", 20, 7)]


def test_each_of_several_answers_is_paid(desk: Desk) -> None:
    tokens = Tokens(input=90, cached=40, cache_write=30, reasoning=5)
    desk.upstream.will(Answer(tokens=tokens, service_tier="flex", tools=(ToolCall("weather"),)))
    desk.call(desk.openai().chat.completions.create, model="gpt-5", messages=MESSAGES, n=2)
    assert desk.spent == desk.owed() != 0
    assert desk.records == [("gpt-5", 90, 14)]


def test_a_response_costs_what_the_provider_says(desk: Desk) -> None:
    desk.upstream.will(Answer(tokens=Tokens(input=50, cached=20, reasoning=3)))
    answer = desk.call(desk.openai().responses.create, **RESPONSE)
    assert answer.output_text == TEXT
    assert desk.spent == desk.owed() != 0


def test_embeddings_cost_their_input(desk: Desk) -> None:
    desk.call(desk.openai().embeddings.create, model="text-embedding-3-small", input=["six times", "seven"])
    assert desk.spent == desk.owed() == Decimal("0.00000006")


def test_an_answer_without_usage_is_counted(desk: Desk) -> None:
    client = desk.openai()
    counted = service.manager().pricing.count("gpt-4", {"messages": MESSAGES}).tokens
    desk.upstream.will(Answer(reports_usage=False, tokens=Tokens(input=counted)))
    desk.call(client.chat.completions.create, **CHAT)
    assert desk.spent == desk.owed() != 0


@pytest.mark.parametrize("status", [429, 500])
def test_a_refusal_by_the_provider_costs_nothing(desk: Desk, status: int) -> None:
    desk.upstream.will(Answer.refused(status))
    with pytest.raises(openai.APIStatusError, match="told to fail"):
        desk.call(desk.openai().chat.completions.create, **CHAT)
    assert desk.spent == 0


def test_a_call_that_is_retried_is_one_call(desk: Desk, commands: list[str]) -> None:
    client = desk.openai()
    desk.call(client.chat.completions.create, **CHAT)
    once = len(commands)
    commands.clear()
    desk.upstream.will(Answer.refused(429), Answer.refused(500))
    desk.call(client.with_options(max_retries=2).chat.completions.create, **CHAT)
    assert [exchange.ending for exchange in desk.upstream.exchanges] == ["complete", "refused", "refused", "complete"]
    assert len(commands) <= once
    assert desk.spent == desk.owed() != 0


def test_an_answer_that_nobody_can_read_costs_what_was_held(desk: Desk) -> None:
    desk.upstream.will(Answer(breaks=Break("malformed")))
    with pytest.raises(ValueError, match="line 1 column"):
        desk.call(desk.openai().chat.completions.create, **CHAT, max_tokens=100)
    assert desk.spent == Decimal("0.00657")


def test_an_answer_that_the_sdk_cannot_parse_is_paid(desk: Desk) -> None:
    client = desk.openai()
    with pytest.raises(pydantic.ValidationError):
        desk.call(client.chat.completions.parse, **CHAT, response_format=Answered)
    assert desk.spent == desk.owed() != 0
    with pytest.raises(openai.LengthFinishReasonError):
        desk.call(client.chat.completions.parse, **CHAT, response_format=Answered, max_tokens=3)
    assert desk.spent == desk.owed()


def test_an_answer_that_the_sdk_parses_is_parsed(desk: Desk) -> None:
    desk.upstream.default = Answer(pieces=('{"number"', ": 42", "}"))
    answer = desk.call(desk.openai().chat.completions.parse, **CHAT, response_format=Answered)
    assert answer.choices[0].message.parsed == Answered(number=42)
    response = desk.call(desk.openai().responses.parse, **RESPONSE, text_format=Answered)
    assert response.output_parsed == Answered(number=42)
    assert desk.spent == desk.owed() != 0


def test_the_model_that_answered_is_the_one_that_is_paid(desk: Desk) -> None:
    desk.upstream.will(Answer(model="gpt-4o-2024-08-06"))
    desk.call(desk.openai().chat.completions.create, **CHAT)
    assert desk.spent == desk.owed("gpt-4o-2024-08-06")


def test_a_client_for_azure_is_paid_by_the_model_that_answered(desk: Desk) -> None:
    kind = openai.AsyncAzureOpenAI if desk.is_async else openai.AzureOpenAI
    client: Any = kind(azure_endpoint=desk.upstream.url, api_key="-", api_version="2025-04-01-preview")
    wrapped = desk.keep(wrap(client, user=ANN))
    desk.upstream.will(Answer(model="gpt-4o-2024-08-06"))
    desk.call(wrapped.chat.completions.create, model="our-deployment", messages=MESSAGES)
    assert desk.upstream.exchange().path == "/openai/deployments/our-deployment/chat/completions"
    assert desk.spent == desk.owed("gpt-4o-2024-08-06") != 0


# Refused before the provider is asked.


def test_a_call_that_does_not_fit_is_not_sent(desk: Desk) -> None:
    desk.ledger.configure(daily_user_limit_usd="0.001")
    with pytest.raises(BudgetExceededError) as refused:
        desk.call(desk.openai().chat.completions.create, **CHAT, max_tokens=100)
    assert refused.value.scope == "user"
    assert desk.upstream.exchanges == []
    assert desk.spent == 0


def test_what_is_left_limits_the_answer(desk: Desk) -> None:
    desk.ledger.configure(daily_user_limit_usd="0.00252")
    answer = desk.call(desk.openai(limit_to_remaining=True).chat.completions.create, **CHAT)
    assert answer.choices[0].finish_reason == "stop"
    sent = desk.upstream.exchange().body
    assert 16 <= sent["max_completion_tokens"] <= 42
    named = desk.call(desk.openai(limit_to_remaining=True).chat.completions.create, **CHAT, max_tokens=900)
    assert named.usage is not None
    assert desk.upstream.exchange(1).body["max_tokens"] < sent["max_completion_tokens"]
    assert "max_completion_tokens" not in desk.upstream.exchange(1).body
    desk.ledger.configure(daily_user_limit_usd="0.0016")
    with pytest.raises(BudgetExceededError):
        desk.call(desk.openai(limit_to_remaining=True).responses.create, **RESPONSE)
    assert len(desk.upstream.exchanges) == 2


def test_without_a_user_nothing_is_sent(desk: Desk) -> None:
    client = wrap(desk.bare_openai())
    with pytest.raises(MissingUserError, match=r"wrap\(client, user=\.\.\.\)"):
        desk.call(client.chat.completions.create, **CHAT)
    assert desk.upstream.exchanges == []


def test_a_model_without_a_price_is_not_called(desk: Desk) -> None:
    with pytest.raises(UnknownModelError, match="No price is known for model 'gpt-99'"):
        desk.call(desk.openai().chat.completions.create, model="gpt-99", messages=MESSAGES)
    with pytest.raises(UnknownModelError, match="/responses names no model"):
        desk.call(desk.openai().responses.create, input=QUESTION)
    assert desk.upstream.exchanges == []


def test_what_is_answered_in_the_background_is_refused(desk: Desk) -> None:
    with pytest.raises(ValueError, match="background=True cannot be budgeted"):
        desk.call(desk.openai().responses.create, **RESPONSE, background=True)
    assert desk.upstream.exchanges == []


def test_without_redis_nothing_is_sent(desk: Desk) -> None:
    desk.ledger.settings.CACHES = {
        **desk.ledger.settings.CACHES,
        "default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"},
    }
    desk.ledger.configure()
    with pytest.raises(BudgetUnavailableError):
        desk.call(desk.openai().chat.completions.create, **CHAT)
    assert desk.upstream.exchanges == []


# Everything else passes through.


def test_other_calls_pass_through(desk: Desk) -> None:
    client = desk.openai()
    assert [model.id for model in desk.read(client.models.list())] == ["gpt-4"]
    with pytest.raises(openai.NotFoundError, match="No such path: /v1/batches"):
        desk.call(client.batches.create, completion_window="24h", endpoint="/v1/responses", input_file_id="file-1")
    with pytest.raises(openai.NotFoundError, match="No such path: /v1/responses/input_tokens"):
        desk.call(client.responses.input_tokens.count, **RESPONSE)
    assert desk.spent == 0


def test_a_request_by_hand_is_budgeted_by_its_path(desk: Desk) -> None:
    client = desk.openai()
    answer = desk.call(client.post, "/chat/completions", body=CHAT, cast_to=object)
    assert answer["choices"][0]["message"]["content"] == TEXT
    bare = desk.call(client.post, f"{desk.upstream.openai_url}/chat/completions", body=CHAT, cast_to=dict[str, Any])
    assert bare["object"] == "chat.completion"
    assert desk.spent == desk.owed() != 0
    kind = openai.AsyncStream if desk.is_async else openai.Stream
    desk.call(client.post, "/chat/completions", body=CHAT, cast_to=object, stream=True, stream_cls=kind[object])
    assert "stream_options" not in desk.upstream.exchange(2).body  # it is no stream that is asked for
    gc.collect()
    assert desk.spent > desk.owed()  # nobody has read the answer: it costs what was held
    with pytest.raises(TypeError, match="its body, which must be a dict"):
        desk.call(client.post, "/chat/completions", content=b"{}", cast_to=object)
