"""Calls of the Anthropic SDK, plain and streamed: the ledger says what the provider says, and nothing stays held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import httpx2
import pytest

from coreason_budget import BudgetExceededError, MissingUserError, StreamConsumedError, UnknownModelError, service
from coreason_budget.integrations.anthropic import wrap
from tests.upstream import Answer, Break, Gate, Tokens, ToolCall

from .desk import MESSAGE, MESSAGES, TEXT

if TYPE_CHECKING:
    from pathlib import Path

    from .desk import Desk


def counted() -> Tokens:
    """Return a prompt of as many tokens as it is counted to have where the provider does not say."""
    return Tokens(input=service.manager().pricing.count(MESSAGE["model"], {"messages": MESSAGES}).tokens)


def test_a_message_costs_what_the_provider_says(desk: Desk) -> None:
    client = desk.anthropic()
    desk.upstream.will(Answer(tokens=Tokens(input=100, cached=50, cache_write=30, cache_write_1h=10)))
    answer = desk.call(client.messages.create, **MESSAGE)
    assert isinstance(answer, anthropic.types.Message)
    assert answer.content[0].to_dict()["text"] == TEXT
    desk.call(client.beta.messages.create, **MESSAGE)
    assert desk.spent == desk.owed() != 0
    assert desk.records[0] == (MESSAGE["model"], 100, 7)


def test_messages_that_can_be_read_once_are_sent_and_counted(desk: Desk) -> None:
    desk.call(desk.anthropic().messages.create, **{**MESSAGE, "messages": iter(MESSAGES)})
    assert desk.upstream.exchange().body["messages"] == MESSAGES
    assert desk.spent == desk.owed() != 0


def test_a_file_that_the_sdk_reads_is_sent_and_not_counted(desk: Desk, tmp_path: Path) -> None:
    document = tmp_path / "six.pdf"
    document.write_bytes(b"%PDF-1.4")
    source = {"type": "base64", "media_type": "application/pdf", "data": document}
    content = [{"type": "document", "source": source}, {"type": "text", "text": "What is it about?"}]
    desk.call(desk.anthropic().messages.create, **{**MESSAGE, "messages": [{"role": "user", "content": content}]})
    (sent,) = desk.upstream.exchange().body["messages"]
    assert sent["content"][0]["source"]["data"] == "JVBERi0xLjQ="
    assert desk.spent == desk.owed() != 0


@pytest.mark.parametrize("reports_usage", [True, False])
def test_a_stream_costs_what_it_says(desk: Desk, *, reports_usage: bool) -> None:
    client = desk.anthropic()
    desk.upstream.will(Answer(tokens=counted(), reports_usage=reports_usage))
    stream = desk.call(client.messages.create, **MESSAGE, stream=True)
    assert isinstance(stream, anthropic.AsyncStream if desk.is_async else anthropic.Stream)
    assert desk.read(stream)[-1].type == "message_stop"
    assert desk.spent == desk.owed(times=1 if reports_usage else 2) != 0
    with pytest.raises(StreamConsumedError):
        desk.read(stream)


def test_a_helper_for_streams_is_budgeted(desk: Desk) -> None:
    desk.upstream.will(Answer(tools=(ToolCall("weather"), ToolCall("time"))))
    with desk.driver.entered(desk.anthropic().messages.stream(**MESSAGE)) as stream:
        message = desk.call(stream.get_final_message)
    assert [block.name for block in message.content] == ["weather", "time"]
    assert desk.spent == desk.owed() != 0


@pytest.mark.parametrize(
    ("how", "error"),
    [("cut", httpx2.RemoteProtocolError), ("error", anthropic.APIStatusError), ("malformed", ValueError)],
)
def test_a_stream_that_breaks_costs_what_had_come(desk: Desk, how: Any, error: type[Exception]) -> None:
    client = desk.anthropic()
    desk.upstream.will(Answer(breaks=Break(how), tokens=Tokens(input=40, cached=30)))
    stream = desk.call(client.messages.create, **MESSAGE, stream=True)
    with pytest.raises(error):
        desk.read(stream)
    assert desk.spent == desk.owed(times=2) != 0


def test_a_helper_that_is_left_early_costs_what_had_come(desk: Desk) -> None:
    client = desk.anthropic()
    desk.upstream.will(Answer(gate=Gate(before=3)))
    with desk.driver.entered(client.messages.stream(**MESSAGE)) as stream:
        while getattr(desk.read(stream, most=1)[0], "text", "") != " seven":
            pass
    assert desk.upstream.exchange().ending == "left"
    assert desk.spent == desk.owed(times=2) != 0


@pytest.mark.parametrize("status", [429, 500])
def test_a_refusal_by_the_provider_costs_nothing(desk: Desk, status: int) -> None:
    desk.upstream.will(Answer.refused(status), Answer.refused(status))
    for options in ({}, {"stream": True}):
        with pytest.raises(anthropic.APIStatusError):
            desk.call(desk.anthropic().messages.create, **MESSAGE, **options)
    assert desk.spent == 0


def test_what_is_left_limits_the_answer_but_not_below_its_thoughts(desk: Desk) -> None:
    desk.ledger.configure(daily_user_limit_usd="0.001")
    client = desk.anthropic(limit_to_remaining=True)
    desk.call(client.messages.create, **{**MESSAGE, "max_tokens": 9_000})
    assert 16 <= desk.upstream.exchange().body["max_tokens"] <= 66
    thinking = {"type": "enabled", "budget_tokens": 1_024}
    with pytest.raises(BudgetExceededError):
        desk.call(client.messages.create, **{**MESSAGE, "max_tokens": 9_000}, thinking=thinking)
    assert len(desk.upstream.exchanges) == 1
    assert desk.spent == desk.owed() != 0


def test_what_cannot_be_paid_is_not_sent(desk: Desk) -> None:
    with pytest.raises(MissingUserError):
        desk.call(wrap(desk.bare_anthropic()).messages.create, **MESSAGE)
    with pytest.raises(UnknownModelError):
        desk.call(desk.anthropic().messages.create, **{**MESSAGE, "model": "claude-opus-99"})
    desk.ledger.configure(daily_user_limit_usd="0.0001")
    with pytest.raises(BudgetExceededError):
        desk.call(desk.anthropic().messages.create, **MESSAGE)
    assert desk.upstream.exchanges == []


def test_counting_tokens_passes_through(desk: Desk) -> None:
    answer = desk.call(wrap(desk.bare_anthropic()).messages.count_tokens, model=MESSAGE["model"], messages=MESSAGES)
    assert answer.input_tokens == 5
    assert desk.spent == 0
