"""What else litellm offers, on a budget: Responses, embeddings, images, recordings, reranked documents."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget import BudgetExceededError, UnknownModelError
from tests.litellms import WARNS
from tests.upstream import Answer, Break, Gate, Tokens

from .bench import ANSWERED

if TYPE_CHECKING:
    from .bench import Bench

pytestmark = [
    *WARNS,
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),  # litellm's event with the usage
]

QUESTION = "What is six times seven?"
COUNTED = 9  # its tokens, as they are counted where nobody says
RECORDING = ("six.wav", b"RIFF" + bytes(40))


# Responses ------------------------------------------------------------------------------------------------------------


def test_a_response_costs_what_it_says(bench: Bench) -> None:
    bench.upstream.will(Answer(tokens=Tokens(input=200, cached=128, reasoning=30)))
    response = bench("responses", QUESTION, "openai/gpt-4o", max_output_tokens=100)
    assert response.output_text == ANSWERED
    assert bench.spent == bench.owed("gpt-4o")
    assert bench.records == [("openai/gpt-4o", 200, 37)]


def test_a_streamed_response_costs_what_its_last_event_says(bench: Bench) -> None:
    events = bench.read(bench("responses", QUESTION, "openai/gpt-4o", stream=True))
    assert events[-1].type == "response.completed"
    assert bench.spent == bench.owed("gpt-4o")


def test_a_streamed_response_that_is_closed_costs_what_came(bench: Bench) -> None:
    bench.upstream.will(Answer(tokens=Tokens(input=COUNTED), gate=Gate(before=2)))
    stream = bench("responses", QUESTION, "openai/gpt-4o", stream=True)
    bench.read(stream, 6)
    bench.close(stream)
    assert bench.spent == bench.owed("gpt-4o") > 0
    assert bench.records == [("openai/gpt-4o", COUNTED, 2)]


@pytest.mark.parametrize("how", ["cut", "error", "malformed", "failed"])
def test_a_streamed_response_that_breaks_costs_what_came(bench: Bench, how: Any) -> None:
    bench.upstream.will(Answer(tokens=Tokens(input=COUNTED), breaks=Break(how, after=3)))
    stream = bench("responses", QUESTION, "openai/gpt-4o", stream=True)
    with suppress(Exception):  # some of them end the stream in peace, others with errors of several kinds
        bench.read(stream)
    assert bench.spent == bench.owed("gpt-4o") > 0


# embeddings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [QUESTION, [QUESTION, "And eight?"]], ids=["text", "list"])
def test_an_embedding_costs_its_input(bench: Bench, text: Any) -> None:
    response = bench("embedding", "openai/text-embedding-3-large", text)
    assert len(response.data) == (1 if text is QUESTION else 2)
    assert bench.spent == bench.owed("text-embedding-3-large") > 0


def test_an_embedding_without_usage_costs_its_counted_input(bench: Bench) -> None:
    bench.upstream.will(Answer(reports_usage=False))
    bench("embedding", "openai/text-embedding-3-large", input=QUESTION)
    assert bench.records == [("openai/text-embedding-3-large", COUNTED, 0)]
    assert bench.spent == Decimal("0.00000117")


# images ---------------------------------------------------------------------------------------------------------------


def test_images_cost_their_tokens(bench: Bench) -> None:
    response = bench("image_generation", "a cat", "openai/gpt-image-1", n=2)
    assert len(response.data) == 2
    assert bench.records == [("openai/gpt-image-1", 2, 544)]
    assert bench.spent == Decimal("0.02177")


def test_images_that_do_not_say_what_they_cost_cost_what_was_held(bench: Bench, warnings_of_the_app: list[str]) -> None:
    bench.upstream.will(Answer(reports_usage=False))
    bench("image_generation", "a cat", "openai/gpt-image-1")
    assert bench.spent == Decimal("0.05")  # DEFAULT_HOLD_USD
    assert "is booked with the 0.05 USD that were held for it" in warnings_of_the_app[0]


AZURE: Any = {"model": "azure/dall-e-3", "size": "1024x1792", "quality": "hd", "api_version": "2024-02-01"}


def test_images_cost_what_was_asked_for_where_the_provider_does_not_repeat_it(bench: Bench) -> None:
    bench("image_generation", "a cat", api_base=bench.upstream.url, **AZURE)
    assert bench.spent == Decimal("0.132000016")


def test_an_image_that_there_is_no_room_for_is_not_asked_for(bench: Bench) -> None:
    bench.ledger.configure(daily_user_limit_usd="0.01")
    with pytest.raises(BudgetExceededError) as refused:
        bench("image_generation", "a cat", api_base=bench.upstream.url, **AZURE)
    assert refused.value.requested == Decimal("0.132000016")
    assert bench.upstream.exchanges == []


# recordings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "answer", "cost"),
    [
        ("openai/whisper-1", Answer(seconds=12.5), "0.00125"),
        ("openai/gpt-4o-transcribe", Answer(tokens=Tokens(input=40, audio_input=30)), "0.00017"),
    ],
)
def test_a_transcription_costs_its_seconds_or_its_tokens(bench: Bench, model: str, answer: Answer, cost: str) -> None:
    bench.upstream.will(answer)
    response = bench("transcription", model, RECORDING)
    assert response.text == ANSWERED
    assert bench.spent == Decimal(cost)


def test_a_transcription_that_does_not_say_how_long_costs_what_was_held(
    bench: Bench, warnings_of_the_app: list[str]
) -> None:
    bench.upstream.will(Answer(reports_usage=False))
    bench("transcription", "openai/whisper-1", RECORDING)
    assert bench.spent == Decimal("0.06")  # ten minutes
    assert "is booked with the 0.06 USD that were held for it" in warnings_of_the_app[0]


# reranked documents ---------------------------------------------------------------------------------------------------


def test_a_rerank_costs_its_searches(bench: Bench) -> None:
    response = bench("rerank", "cohere/rerank-v3.5", "six", ["seven", "six"], api_base=bench.upstream.url)
    assert len(response.results) == 2
    assert bench.spent == Decimal("0.002")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("image_generation", {"prompt": "a cat", "model": "openai/dall-e-99"}),
        ("transcription", {"model": "openai/whisper-99", "file": RECORDING}),
        ("rerank", {"model": "cohere/rerank-v99", "query": "six", "documents": ["six"]}),
        ("embedding", {"model": "openai/text-embedding-99", "input": "six"}),
        ("responses", {"model": "openai/gpt-99", "input": "six"}),
    ],
)
def test_a_model_without_a_price_is_not_asked(bench: Bench, name: str, arguments: Any) -> None:
    with pytest.raises(UnknownModelError, match=f"No price is known for model '{arguments['model']}'"):
        bench(name, **arguments)
    assert bench.upstream.exchanges == []
    assert bench.spent == 0
