"""The OpenAI SDK and the upstream understand each other: chat, Responses, embeddings, images, transcriptions."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import openai
import pytest

from . import Answer, Break, Gate, Tokens, ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from . import Upstream

MESSAGES: Any = [{"role": "user", "content": "What is six times seven?"}]
TEXT = "Six times seven is forty-two."


@pytest.fixture
def client(upstream: Upstream) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=upstream.openai_url, api_key="-", max_retries=0) as made:
        yield made


def test_a_plain_chat_is_answered_and_booked(upstream: Upstream, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4", messages=MESSAGES)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (TEXT, "stop")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 7)
    exchange = upstream.exchange()
    assert (exchange.path, exchange.body["messages"], exchange.ending) == ("/v1/chat/completions", MESSAGES, "complete")
    assert exchange.produced is not None
    assert (exchange.produced.model, exchange.produced.usage.total_tokens) == ("gpt-4", 12)


def test_details_of_tokens_are_told_and_booked_alike(upstream: Upstream, client: openai.OpenAI) -> None:
    tokens = Tokens(input=90, cached=40, cache_write=30, audio_input=9, reasoning=5, audio_output=3)
    upstream.will(Answer(tokens=tokens, model="gpt-4-0613", service_tier="flex"))
    answer = client.chat.completions.create(model="gpt-4", messages=MESSAGES, n=2)
    assert (answer.model, answer.service_tier, len(answer.choices)) == ("gpt-4-0613", "flex", 2)
    assert answer.usage is not None
    prompt, completion = answer.usage.prompt_tokens_details, answer.usage.completion_tokens_details
    assert prompt is not None
    assert completion is not None
    assert (prompt.cached_tokens, prompt.audio_tokens, prompt.to_dict()["cache_write_tokens"]) == (40, 9, 30)
    assert (answer.usage.completion_tokens, completion.reasoning_tokens, completion.audio_tokens) == (30, 10, 6)
    assert upstream.produced[0].usage.output_tokens == 30
    assert upstream.produced[0].usage.reasoning_tokens == 10


@pytest.mark.parametrize("asks", [True, False])
def test_a_streamed_chat_ends_with_its_usage_if_that_is_asked_for(
    upstream: Upstream, client: openai.OpenAI, *, asks: bool
) -> None:
    options: Any = {"include_usage": True} if asks else openai.omit
    stream = client.chat.completions.create(model="gpt-4", messages=MESSAGES, stream=True, n=2, stream_options=options)
    texts, usages = {0: "", 1: ""}, []
    for chunk in stream:
        usages += [chunk.usage.completion_tokens] if chunk.usage else []
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == {0: TEXT, 1: TEXT}
    assert usages == ([14] if asks else [])
    assert upstream.exchange().produced == upstream.produced[0]
    assert upstream.produced[0].output_tokens == 14


def test_a_helper_for_streams_puts_the_call_of_a_tool_together(upstream: Upstream, client: openai.OpenAI) -> None:
    upstream.will(Answer(tools=(ToolCall("weather"), ToolCall("time"))))
    with client.chat.completions.stream(model="gpt-4", messages=MESSAGES) as stream:
        completion = stream.get_final_completion()
    assert completion.choices[0].finish_reason == "tool_calls"
    calls = [(call.function.name, call.function.arguments) for call in completion.choices[0].message.tool_calls or ()]
    assert calls == [("weather", '{"city": "Bonn"}'), ("time", '{"city": "Bonn"}')]
    assert upstream.exchange().produced is not None
    assert upstream.produced[0].output_tokens == 4


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_a_maximum_of_tokens_is_kept(upstream: Upstream, client: openai.OpenAI, limit: str) -> None:
    upstream.default = Answer(tokens=Tokens(reasoning=2))
    limits: Any = {limit: 5}
    answer = client.chat.completions.create(model="gpt-4", messages=MESSAGES, **limits)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("Six times seven", "length")
    assert upstream.produced[0].output_tokens == 5


def test_refusals_come_as_often_as_they_are_asked_for(upstream: Upstream, client: openai.OpenAI) -> None:
    upstream.will(Answer.refused(429), Answer.refused(500))
    retrying = client.with_options(max_retries=2)
    assert retrying.chat.completions.create(model="gpt-4", messages=MESSAGES).choices[0].message.content == TEXT
    assert [exchange.ending for exchange in upstream.exchanges] == ["refused", "refused", "complete"]
    assert len(upstream.produced) == 1
    upstream.will(Answer.refused(429), model="gpt-4")
    with pytest.raises(openai.RateLimitError, match="told to fail"):
        client.chat.completions.create(model="gpt-4", messages=MESSAGES)


@pytest.mark.parametrize(
    ("how", "error"), [("cut", openai.APIConnectionError), ("error", openai.APIError), ("malformed", ValueError)]
)
def test_a_stream_breaks_in_its_middle(
    upstream: Upstream, client: openai.OpenAI, how: Any, error: type[Exception]
) -> None:
    upstream.will(Answer(breaks=Break(how, after=2)))
    texts: list[str] = []
    stream = client.chat.completions.create(model="gpt-4", messages=MESSAGES, stream=True)
    with pytest.raises(error):
        texts.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert "".join(texts) == "Six times"
    assert (upstream.exchange().ending, upstream.produced[0].output_tokens) == ("broken", 2)


@pytest.mark.parametrize(
    ("how", "error"),
    [("cut", openai.APIConnectionError), ("error", openai.InternalServerError), ("malformed", ValueError)],
)
def test_a_plain_answer_breaks_after_it_was_made(
    upstream: Upstream, client: openai.OpenAI, how: Any, error: type[Exception]
) -> None:
    upstream.will(Answer(breaks=Break(how)))
    with pytest.raises(error):
        client.chat.completions.create(model="gpt-4", messages=MESSAGES)
    assert (upstream.exchange().ending, upstream.produced[0].output_tokens) == ("broken", 7)


def test_a_client_that_hangs_up_at_a_gate_has_had_the_pieces_before_it(
    upstream: Upstream, client: openai.OpenAI
) -> None:
    gate = Gate(before=3)
    upstream.will(Answer(gate=gate))
    stream = client.chat.completions.create(model="gpt-4", messages=MESSAGES, stream=True)
    seen = [chunk.choices[0].delta.content for chunk in islice(stream, 4)]
    gate.wait()
    assert seen == ["", "Six", " times", " seven"]
    assert upstream.exchanges[0].ending is None
    stream.close()
    assert upstream.exchange().ending == "left"
    assert upstream.produced[0].output_tokens == 3


def test_an_answer_goes_on_when_its_gate_is_opened(upstream: Upstream, client: openai.OpenAI) -> None:
    gate = Gate(before=0)
    upstream.will(Answer(gate=gate))
    stream = client.chat.completions.create(model="gpt-4", messages=MESSAGES, stream=True)
    gate.wait()
    gate.open()
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == TEXT


# Responses.


def test_a_plain_response_is_answered(upstream: Upstream, client: openai.OpenAI) -> None:
    upstream.will(Answer(tokens=Tokens(input=50, cached=20, cache_write=10, reasoning=3), service_tier="priority"))
    answer = client.responses.create(model="gpt-4", input="What is six times seven?")
    assert (answer.output_text, answer.status, answer.service_tier) == (TEXT, "completed", "priority")
    assert answer.usage is not None
    assert answer.usage.to_dict() == {
        "input_tokens": 50,
        "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 10},
        "output_tokens": 10,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 60,
    }
    assert upstream.produced[0].usage.output_tokens == 10


@pytest.mark.parametrize(("limit", "status", "text"), [(None, "completed", TEXT), (2, "incomplete", "Six times")])
def test_a_streamed_response_ends_as_its_maximum_says(
    upstream: Upstream, client: openai.OpenAI, limit: Any, status: str, text: str
) -> None:
    with client.responses.stream(model="gpt-4", input="six times seven", max_output_tokens=limit) as stream:
        events = list(stream)
    last: Any = events[-1]
    assert (last.type, last.response.output_text) == (f"response.{status}", text)
    assert last.response.usage.output_tokens == upstream.exchange().produced.output_tokens  # type: ignore[union-attr]


def test_a_streamed_response_calls_tools(upstream: Upstream, client: openai.OpenAI) -> None:
    upstream.will(Answer(tools=(ToolCall("weather"), ToolCall("time"))))
    events: Any = list(client.responses.create(model="gpt-4", input="six times seven", stream=True))
    called = [(item.name, item.arguments) for item in events[-1].response.output]
    assert called == [("weather", '{"city": "Bonn"}'), ("time", '{"city": "Bonn"}')]
    assert events[-1].response.usage.output_tokens == 4


def test_a_streamed_response_fails_without_usage(upstream: Upstream, client: openai.OpenAI) -> None:
    upstream.will(Answer(breaks=Break("failed")), Answer(breaks=Break("error")))
    events: Any = list(client.responses.create(model="gpt-4", input="six", stream=True))
    assert (events[-1].type, events[-1].response.usage) == ("response.failed", None)
    again: Any = list(client.responses.create(model="gpt-4", input="six", stream=True))
    assert again[-1].type == "error"
    assert [produced.output_tokens for produced in upstream.produced] == [2, 2]


# The others.


def test_embeddings_cost_their_words(upstream: Upstream, client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="text-embedding-3-small", input=["six times", "seven"])
    assert [item.embedding for item in answer.data] == [[0.5, -0.25], [0.5, -0.25]]
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (3, 3)
    assert upstream.produced[0].usage.output_tokens == 0


def test_images_are_made(upstream: Upstream, client: openai.OpenAI) -> None:
    answer = client.images.generate(model="gpt-image-1", prompt="a red fox", n=2, quality="low")
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, len(answer.data or ())) == (3, 544, 2)
    plain = client.images.generate(model="dall-e-3", prompt="a red fox")
    assert (plain.usage, len(plain.data or ())) == (None, 1)
    assert [produced.images for produced in upstream.produced] == [2, 1]


def test_recordings_are_transcribed(upstream: Upstream, client: openai.OpenAI) -> None:
    upstream.will(Answer(tokens=Tokens(input=30, audio_input=28)), Answer(seconds=12.5))
    recording = ("speech.wav", b"RIFF", "audio/wav")
    by_tokens: Any = client.audio.transcriptions.create(model="gpt-4o-transcribe", file=recording)
    assert (by_tokens.text, by_tokens.usage.type, by_tokens.usage.total_tokens) == (TEXT, "tokens", 37)
    by_time: Any = client.audio.transcriptions.create(model="whisper-1", file=recording)
    assert (by_time.usage.type, by_time.usage.seconds) == ("duration", 12.5)
    assert upstream.exchange().body == {"model": "gpt-4o-transcribe", "file": b"RIFF"}
    assert [produced.seconds for produced in upstream.produced] == [0, 12.5]


def test_what_costs_nothing_is_answered_too(upstream: Upstream, client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["gpt-4"]
    with pytest.raises(openai.NotFoundError, match="No such path: /v1/files"):
        client.files.list()
    assert upstream.produced == []
