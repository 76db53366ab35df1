"""The Anthropic SDK and the upstream understand each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import httpx2
import pytest

from . import Answer, Break, Tokens, ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from . import Upstream

ASK: Any = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "What is six times seven?"}],
}
TEXT = "Six times seven is forty-two."


@pytest.fixture
def client(upstream: Upstream) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=upstream.url, api_key="-", max_retries=0) as made:
        yield made


def test_a_plain_message_is_answered_and_booked(upstream: Upstream, client: anthropic.Anthropic) -> None:
    upstream.will(Answer(tokens=Tokens(input=100, cached=50, cache_write=30, cache_write_1h=10, reasoning=4)))
    answer = client.messages.create(**ASK)
    assert (answer.content[0].to_dict()["text"], answer.stop_reason) == (TEXT, "end_turn")
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (20, 50, 30)
    assert usage.cache_creation is not None
    assert (usage.cache_creation.ephemeral_1h_input_tokens, usage.output_tokens) == (10, 11)
    assert upstream.exchange().path == "/v1/messages"
    assert (upstream.produced[0].input_tokens, upstream.produced[0].output_tokens) == (100, 11)


def test_a_stream_is_put_together(upstream: Upstream, client: anthropic.Anthropic) -> None:
    upstream.will(Answer(tokens=Tokens(input=100, cached=50)))
    with client.messages.stream(**ASK) as stream:
        message = stream.get_final_message()
    assert (message.content[0].to_dict()["text"], message.stop_reason) == (TEXT, "end_turn")
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (50, 50)
    assert message.usage.output_tokens == upstream.exchange().produced.output_tokens == 7  # type: ignore[union-attr]


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called(upstream: Upstream, client: anthropic.Anthropic, *, stream: bool) -> None:
    upstream.will(Answer(tools=(ToolCall("weather"), ToolCall("time"))))
    if stream:
        with client.messages.stream(**ASK) as events:
            message = events.get_final_message()
    else:
        message = client.messages.create(**ASK)
    used = [(block.name, block.input) for block in message.content if block.type == "tool_use"]
    assert used == [("weather", {"city": "Bonn"}), ("time", {"city": "Bonn"})]
    assert (message.stop_reason, message.usage.output_tokens) == ("tool_use", 4)


def test_a_maximum_of_tokens_is_kept(upstream: Upstream, client: anthropic.Anthropic) -> None:
    answer = client.messages.create(**{**ASK, "max_tokens": 3})
    assert (answer.content[0].to_dict()["text"], answer.stop_reason) == ("Six times seven", "max_tokens")
    assert answer.usage.output_tokens == upstream.produced[0].output_tokens == 3


def test_refusals_are_retried(upstream: Upstream, client: anthropic.Anthropic) -> None:
    upstream.will(Answer.refused(429), Answer.refused(529), Answer(), Answer.refused(500))
    client.with_options(max_retries=2).messages.create(**ASK)
    with pytest.raises(anthropic.InternalServerError, match="told to fail"):
        client.messages.create(**ASK)
    assert [exchange.ending for exchange in upstream.exchanges] == ["refused", "refused", "complete", "refused"]


@pytest.mark.parametrize(
    ("how", "error"),
    [("cut", httpx2.RemoteProtocolError), ("error", anthropic.APIStatusError), ("malformed", ValueError)],
)
def test_a_stream_breaks_in_its_middle(
    upstream: Upstream, client: anthropic.Anthropic, how: Any, error: type[Exception]
) -> None:
    upstream.will(Answer(breaks=Break(how)))
    texts: list[Any] = []
    stream = client.messages.create(**ASK, stream=True)
    with pytest.raises(error):
        texts.extend(event.delta.to_dict()["text"] for event in stream if event.type == "content_block_delta")
    assert texts == ["Six", " times"]
    assert (upstream.exchange().ending, upstream.produced[0].output_tokens) == ("broken", 2)


def test_counting_tokens_costs_nothing(upstream: Upstream, client: anthropic.Anthropic) -> None:
    assert client.messages.count_tokens(model=ASK["model"], messages=ASK["messages"]).input_tokens == 5
    assert upstream.produced == []
