"""Streams of the OpenAI SDK, however they end: the ledger says what the provider says, and nothing stays held."""

from __future__ import annotations

import gc
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import openai
import pytest

from coreason_budget import StreamConsumedError, service
from tests.upstream import Answer, Break, Gate, Tokens, ToolCall

from .desk import CHAT, MESSAGES, RESPONSE, TEXT

if TYPE_CHECKING:
    from .desk import Desk


def said(chunks: list[Any]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def counted(prompt: Any) -> Tokens:
    """Return a prompt of as many tokens as it is counted to have where the provider does not say."""
    return Tokens(input=service.manager().pricing.count("gpt-4", prompt).tokens)


COUNTED: Any = {"messages": MESSAGES}


def test_a_stream_costs_what_it_says_at_its_end(desk: Desk) -> None:
    desk.upstream.will(Answer(tokens=Tokens(input=20)))
    stream = desk.call(desk.openai().chat.completions.create, **CHAT, stream=True, n=2)
    assert isinstance(stream, openai.AsyncStream if desk.is_async else openai.Stream)
    chunks = desk.read(stream)
    assert said(chunks) == "".join(piece * 2 for piece in ("Six", " times", " seven", " is", " forty", "-two", "."))
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)  # nobody has asked for it but us
    assert desk.upstream.exchange().body["stream_options"] == {"include_usage": True}
    assert desk.spent == desk.owed() == Decimal("0.00144")


@pytest.mark.parametrize("stated", [{"include_usage": True}, {"include_usage": False}, None])
def test_what_the_caller_says_of_usage_is_left_alone(desk: Desk, stated: Any) -> None:
    client = desk.openai()
    desk.upstream.will(Answer(tokens=counted(COUNTED)))
    chunks = desk.read(desk.call(client.chat.completions.create, **CHAT, stream=True, stream_options=stated))
    assert [chunk for chunk in chunks if chunk.usage] == (chunks[-1:] if stated == {"include_usage": True} else [])
    assert desk.upstream.exchange().body["stream_options"] == stated
    assert desk.spent == desk.owed() != 0


def test_a_stream_without_usage_is_counted(desk: Desk) -> None:
    client = desk.openai()
    desk.upstream.will(Answer(reports_usage=False, tokens=counted(COUNTED), tools=(ToolCall("weather"),)))
    stream = desk.call(client.chat.completions.create, **CHAT, stream=True)
    calls = [call for chunk in desk.read(stream) for call in chunk.choices[0].delta.tool_calls or ()]
    assert calls[0].function.name == "weather"
    assert desk.records == [("gpt-4", counted(COUNTED).input, 8)]  # of: weather{"city": "Bonn"}
    assert desk.account()[1] == 0


@pytest.mark.parametrize(
    ("how", "error"), [("cut", openai.APIConnectionError), ("error", openai.APIError), ("malformed", ValueError)]
)
def test_a_stream_that_breaks_costs_what_had_come(desk: Desk, how: Any, error: type[Exception]) -> None:
    client = desk.openai()
    desk.upstream.will(Answer(breaks=Break(how), tokens=counted(COUNTED)))
    stream = desk.call(client.chat.completions.create, **CHAT, stream=True)
    with pytest.raises(error):
        desk.read(stream)
    assert desk.spent == desk.owed() != 0
    assert desk.records[0][2] == 2


def test_a_stream_that_is_closed_costs_what_had_come(desk: Desk) -> None:
    client = desk.openai()
    gate = Gate(before=3)
    desk.upstream.will(Answer(gate=gate, tokens=counted(COUNTED)))
    stream = desk.call(client.chat.completions.create, **CHAT, stream=True)
    desk.read(stream, most=4)
    assert desk.account()[1] != 0
    desk.call(stream.close)
    assert (desk.upstream.exchange().ending, desk.records[0][2]) == ("left", 3)
    assert desk.spent == desk.owed() != 0
    desk.call(stream.close)
    assert desk.spent == desk.owed()


def test_a_stream_that_is_closed_unread_costs_its_prompt(desk: Desk) -> None:
    client = desk.openai()
    desk.upstream.will(Answer(gate=Gate(before=0), tokens=counted(COUNTED)))
    desk.call((desk.call(client.chat.completions.create, **CHAT, stream=True)).close)
    assert desk.spent == desk.owed() != 0


@pytest.mark.parametrize("most", [0, 4])
def test_a_stream_that_is_thrown_away_is_booked_with_a_warning(
    desk: Desk, warnings_of_the_app: list[str], most: int
) -> None:
    client = desk.openai()
    desk.call(client.chat.completions.create, **CHAT)  # a server that does not know a script yet leaves cycles behind
    gate = Gate(before=3 if most else 0)
    desk.upstream.will(Answer(gate=gate, tokens=counted(COUNTED)))
    stream = desk.call(client.chat.completions.create, **CHAT, stream=True)
    desk.read(stream, most)
    gate.wait()
    assert gc.isenabled()
    gc.disable()  # it ends by itself, and not when cycles are collected
    try:
        del stream
        desk.call(str)  # lets the event loop run
        assert [record[2] for record in desk.records] == [7, 3 if most else 0]
    finally:
        gc.enable()
    assert any("A stream of gpt-4 was thrown away before its end" in heard for heard in warnings_of_the_app)
    assert desk.account()[1] == 0


def test_a_slow_stream_is_held_for_until_it_ends(desk: Desk) -> None:
    gate = Gate(before=2)
    desk.upstream.will(Answer(gate=gate))
    stream = desk.call(desk.openai().chat.completions.create, **CHAT, stream=True)
    desk.read(stream, most=3)
    spent, held = desk.account()
    assert (spent, held != 0) == (0, True)
    gate.open()
    desk.read(stream)
    assert desk.spent == desk.owed() != 0


def test_a_stream_cannot_be_read_twice(desk: Desk) -> None:
    stream = desk.call(desk.openai().chat.completions.create, **CHAT, stream=True)
    desk.read(stream, most=2)
    desk.read(stream)
    with pytest.raises(StreamConsumedError, match="Keep its chunks in a list"):
        desk.read(stream)
    assert desk.spent == desk.owed() != 0


def test_a_refusal_by_the_provider_costs_nothing(desk: Desk) -> None:
    desk.upstream.will(Answer.refused(429))
    with pytest.raises(openai.RateLimitError):
        desk.call(desk.openai().chat.completions.create, **CHAT, stream=True)
    assert desk.spent == 0


# Helpers.


def test_a_helper_for_streams_is_budgeted(desk: Desk) -> None:
    client = desk.openai()
    desk.upstream.will(Answer(tools=(ToolCall("weather"), ToolCall("time"))))
    with desk.driver.entered(client.chat.completions.stream(**CHAT)) as stream:
        completion = desk.call(stream.get_final_completion)
        assert [call.function.name for call in completion.choices[0].message.tool_calls] == ["weather", "time"]
        assert completion is not desk.call(stream.get_final_completion)
    assert desk.spent == desk.owed() != 0


@pytest.mark.parametrize("kind", ["chat", "responses"])
def test_a_helper_that_is_left_early_costs_what_had_come(desk: Desk, kind: str) -> None:
    client = desk.openai()
    asked, made = (CHAT, client.chat.completions) if kind == "chat" else (RESPONSE, client.responses)
    prompt = COUNTED if kind == "chat" else {"input": RESPONSE["input"]}
    gate = Gate(before=3)
    desk.upstream.will(Answer(gate=gate, tokens=counted(prompt)))
    with desk.driver.entered(made.stream(**asked)) as stream:
        while getattr(desk.read(stream, most=1)[0], "delta", "") != " seven":
            pass
    assert desk.upstream.exchange().ending == "left"
    assert desk.spent == desk.owed() != 0


def test_a_streamed_response_costs_what_it_says_at_its_end(desk: Desk) -> None:
    client = desk.openai()
    desk.upstream.will(Answer(tokens=Tokens(input=50, cached=20, reasoning=3)))
    with desk.driver.entered(client.responses.stream(**RESPONSE)) as stream:
        response = desk.call(stream.get_final_response)
    assert response.output_text == TEXT
    assert desk.spent == desk.owed() != 0
    events = desk.read(desk.call(client.responses.create, **RESPONSE, stream=True))
    assert events[-1].type == "response.completed"
    assert desk.spent == desk.owed()


@pytest.mark.parametrize("how", ["failed", "error"])
def test_a_streamed_response_that_fails_is_counted(desk: Desk, how: Any) -> None:
    client = desk.openai()
    desk.upstream.will(Answer(breaks=Break(how), tokens=counted({"input": RESPONSE["input"]})))
    events = desk.read(desk.call(client.responses.create, **RESPONSE, stream=True))
    assert events[-1].type in {"response.failed", "error"}
    assert desk.spent == desk.owed() != 0
