"""The SDK of Gemini and the upstream understand each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google import genai
from google.genai import errors

from . import Answer, Break, Tokens, ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from . import Upstream

ASK: Any = {"model": "gemini-2.5-pro", "contents": "What is six times seven?"}
TEXT = "Six times seven is forty-two."


@pytest.fixture
def client(upstream: Upstream) -> Iterator[genai.Client]:
    with genai.Client(api_key="-", http_options={"base_url": upstream.url}) as made:
        yield made


def test_a_plain_answer_is_booked(upstream: Upstream, client: genai.Client) -> None:
    upstream.will(Answer(tokens=Tokens(input=100, cached=40, reasoning=6, audio_input=9)))
    answer = client.models.generate_content(**ASK)
    assert (answer.text, answer.model_version) == (TEXT, "gemini-2.5-pro")
    usage = answer.usage_metadata
    assert usage is not None
    assert (usage.prompt_token_count, usage.cached_content_token_count, usage.thoughts_token_count) == (100, 40, 6)
    assert (usage.candidates_token_count, usage.total_token_count) == (7, 113)
    produced = upstream.produced[0]
    assert (produced.model, produced.usage.input_tokens, produced.usage.output_tokens) == ("gemini-2.5-pro", 100, 13)


def test_a_stream_tells_its_usage_in_every_event(upstream: Upstream, client: genai.Client) -> None:
    chunks = list(client.models.generate_content_stream(**ASK))
    assert "".join(chunk.text or "" for chunk in chunks) == TEXT
    usage = chunks[-1].usage_metadata
    assert usage is not None
    assert (usage.prompt_token_count, usage.candidates_token_count) == (5, 7)
    assert upstream.exchange().produced.output_tokens == 7  # type: ignore[union-attr]


def test_tools_are_called(upstream: Upstream, client: genai.Client) -> None:
    upstream.will(Answer(tools=(ToolCall("weather"),)))
    calls = client.models.generate_content(**ASK).function_calls or []
    assert [(call.name, call.args) for call in calls] == [("weather", {"city": "Bonn"})]


def test_a_maximum_of_tokens_is_kept(upstream: Upstream, client: genai.Client) -> None:
    answer = client.models.generate_content(**ASK, config={"max_output_tokens": 2})
    assert (answer.text, upstream.produced[0].output_tokens) == ("Six times", 2)


def test_errors_are_errors(upstream: Upstream, client: genai.Client) -> None:
    upstream.will(Answer.refused(429), Answer(breaks=Break("error")))
    with pytest.raises(errors.ClientError, match="RESOURCE_EXHAUSTED"):
        client.models.generate_content(**ASK)
    texts: list[str | None] = []
    stream = client.models.generate_content_stream(**ASK)
    with pytest.raises(errors.APIError):
        texts.extend(chunk.text for chunk in stream)
    assert texts == ["Six", " times"]
    assert upstream.exchange(1).ending == "broken"
