"""What docs/llm.md says of clients and no other test here shows, statement by statement."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import anthropic
import httpx2
import openai
import pytest
from openai.types.responses import ResponseUsage

from coreason_budget import MissingUserError, service
from coreason_budget.integrations.anthropic import wrap as wrap_anthropic
from coreason_budget.integrations.openai import wrap
from tests.upstream import Answer, Tokens, ToolCall

from .desk import ANN, CHAT, MESSAGE, MESSAGES, RESPONSE

if TYPE_CHECKING:
    from .desk import Desk

USAGE = {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}


def answering(desk: Desk, body: Any) -> tuple[Any, list[httpx2.Request]]:
    """Return a client of openai whose provider gives one answer to all, and what it was asked."""
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200, json=body)

    kind = httpx2.AsyncClient if desk.is_async else httpx2.Client
    return desk.bare_openai(http_client=kind(transport=httpx2.MockTransport(answer))), asked


def test_completions_of_the_older_kind_are_budgeted(desk: Desk) -> None:
    body = {"id": "1", "object": "text_completion", "created": 1, "model": "gpt-3.5-turbo-instruct", "usage": USAGE}
    client, asked = answering(desk, {**body, "choices": [{"text": "42", "index": 0, "finish_reason": "stop"}]})
    wrap(client, user=ANN)
    desk.call(client.completions.create, model="gpt-3.5-turbo-instruct", prompt="Six times seven?", max_tokens=10)
    assert [request.url.path.rpartition("/")[2] for request in asked] == ["completions"]
    assert desk.spent == Decimal("0.000044")  # at 1.50 and 2 USD a million
    assert desk.records == [("gpt-3.5-turbo-instruct", 20, 7)]


@pytest.mark.parametrize("way", ["compact", "beta", "parse"])
def test_other_ways_to_a_response_are_budgeted(desk: Desk, way: str) -> None:
    usage = ResponseUsage.model_validate(
        {
            "input_tokens": 20,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 27,
        }
    )
    body = {"id": "1", "object": "response", "created_at": 1, "model": "gpt-4", "output": [], "status": "completed"}
    client, asked = answering(desk, {**body, "usage": usage.to_dict()})
    wrap(client, user=ANN)
    holder = client.beta.responses if way == "beta" else client.responses
    desk.call(getattr(holder, "create" if way == "beta" else way), **RESPONSE)
    assert len(asked) == 1
    assert desk.spent == Decimal("0.00102")
    assert desk.records == [("gpt-4", 20, 7)]


@pytest.mark.parametrize("resource", ["images", "moderations", "speech", "token count", "conversations"])
def test_what_passes_through_needs_nobody_and_costs_nothing_here(desk: Desk, resource: str) -> None:
    client, asked = answering(desk, {"data": [], "id": "1", "results": [], "input_tokens": 5, "model": "gpt-4"})
    wrap(client)  # nobody pays
    calls: dict[str, Any] = {
        "images": (client.images.generate, {"prompt": "six", "model": "gpt-image-1"}),
        "moderations": (client.moderations.create, {"input": "six"}),
        "speech": (client.audio.speech.create, {"input": "six", "model": "tts-1", "voice": "alloy"}),
        "token count": (client.responses.input_tokens.count, {"input": "six", "model": "gpt-4"}),
        "conversations": (client.conversations.create, {}),
    }
    method, options = calls[resource]
    desk.call(method, **options)
    assert len(asked) == 1
    assert desk.spent == 0
    with pytest.raises(MissingUserError):
        desk.call(client.chat.completions.create, **CHAT)


def test_batches_of_messages_pass_through(desk: Desk) -> None:
    client = wrap_anthropic(desk.bare_anthropic())
    with pytest.raises(anthropic.NotFoundError):  # the upstream has none
        desk.call(client.messages.batches.create, requests=[])
    assert desk.spent == 0


@pytest.mark.parametrize("kind", ["AnthropicBedrock", "AnthropicVertex", "AnthropicBedrockMantle"])
def test_clients_that_are_made_from_no_other_are_refused(kind: str) -> None:
    assert not issubclass(getattr(anthropic, kind), anthropic.Anthropic)
    foreign = object.__new__(getattr(anthropic, kind))
    with pytest.raises(TypeError, match=r"wrap\(\) takes a client: anthropic\.Anthropic, anthropic\.AsyncAnthropic"):
        wrap_anthropic(foreign)


@pytest.mark.parametrize("kind", ["AnthropicAWS", "AnthropicFoundry", "AnthropicGoogleCloud"])
def test_classes_that_are_made_from_a_client_are_clients(kind: str) -> None:
    assert issubclass(getattr(anthropic, kind), anthropic.Anthropic)
    assert issubclass(getattr(anthropic, f"Async{kind}"), anthropic.AsyncAnthropic)
    for name in ("AzureOpenAI", "BedrockOpenAI"):
        assert issubclass(getattr(openai, name), openai.OpenAI)


def test_a_runner_of_tools_pays_for_each_of_its_calls(desk: Desk) -> None:
    def weather(city: str) -> str:
        """Tell the weather of a city."""
        return f"rain in {city}"

    async def aweather(city: str) -> str:
        """Tell the weather of a city."""
        return f"rain in {city}"

    tool: Any = (
        anthropic.beta_async_tool(name="weather")(aweather)
        if desk.is_async
        else anthropic.beta_tool(name="weather")(weather)
    )
    desk.upstream.will(Answer(tools=(ToolCall("weather"),), tokens=Tokens(input=50)), Answer(tokens=Tokens(input=90)))
    runner = desk.anthropic().beta.messages.tool_runner(**MESSAGE, tools=[tool])
    final = desk.call(runner.until_done)
    assert final.stop_reason == "end_turn"
    assert len(desk.upstream.exchanges) == 2
    assert desk.spent == desk.owed() > 0
    assert [row[1] for row in desk.records] == [50, 90]


@pytest.mark.parametrize("copied", ["with_options", "with_middleware"])
def test_every_copy_of_an_anthropic_client_is_on_the_same_budget(desk: Desk, copied: str) -> None:
    client = desk.anthropic()
    copy = client.with_options(timeout=30) if copied == "with_options" else client.with_middleware()
    assert copy is not client
    desk.call(copy.messages.create, **MESSAGE)
    assert desk.spent == desk.owed() > 0


def test_a_streaming_response_that_is_read_raw_costs_what_was_held(desk: Desk) -> None:
    create = desk.openai().chat.completions.with_streaming_response.create
    with desk.driver.entered(create(**CHAT, max_tokens=100)) as response:
        held = desk.account()[1]
        desk.read(response.http_response.aiter_raw() if desk.is_async else response.http_response.iter_raw())
    assert desk.spent == held > desk.owed()


def test_the_last_message_of_a_stream_counts_again_if_it_is_charged_by_hand(desk: Desk) -> None:
    with desk.driver.entered(desk.anthropic().messages.stream(**MESSAGE)) as stream:
        message = desk.call(stream.get_final_message)
    once = desk.spent
    with service.reservation(ANN, amount="0.5") as hold:
        hold.charge(message)
    assert desk.spent == 2 * once == 2 * desk.owed()
    answer = desk.call(desk.anthropic().messages.create, **MESSAGE)
    with service.reservation(ANN, amount="0.5") as hold:
        hold.charge(answer)  # a plain answer counts once
    assert desk.spent == once + desk.owed()


def test_what_the_provider_adds_to_a_prompt_is_booked_though_nobody_could_hold_it(desk: Desk) -> None:
    desk.upstream.will(Answer(tokens=Tokens(input=9_000)))
    desk.call(desk.openai().responses.create, **RESPONSE, previous_response_id="resp_1", max_output_tokens=20)
    assert desk.spent == desk.owed() > Decimal("0.27")


def test_a_server_that_refuses_to_be_asked_for_usage_is_not_asked(desk: Desk) -> None:
    prompt = service.manager().pricing.count(CHAT["model"], {"messages": MESSAGES}).tokens
    desk.upstream.will(Answer(tokens=Tokens(input=prompt), reports_usage=False))
    stream = desk.call(desk.openai().chat.completions.create, **CHAT, stream=True, stream_options=None)
    desk.read(stream)
    assert desk.upstream.exchange().body["stream_options"] is None
    assert desk.spent == desk.owed() > 0
