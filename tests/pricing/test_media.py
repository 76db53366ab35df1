"""Images, transcriptions and reranked documents cost what litellm says they do, and are never free by mistake."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from openai.types import ImagesResponse
from openai.types.audio import Transcription

from coreason_budget.conf import BudgetConfig
from coreason_budget.exceptions import UnknownModelError
from coreason_budget.pricing import PriceRow, PricingEngine, StreamedResponse, TokenUsage
from coreason_budget.pricing.litellm_prices import load_litellm
from tests.upstream import Answer, Tokens

if TYPE_CHECKING:
    from tests.upstream import Upstream

# litellm's own classes make pydantic warn at first use.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning"),
    pytest.mark.usefixtures("litellm_clients"),
]

NANO = Decimal("0.000000001")
IMAGES: dict[str, Any] = {
    "created": 1_713_833_628,
    "data": [{"b64_json": "aQ=="}],
    "background": "opaque",
    "output_format": "png",
    "size": "1024x1024",
    "quality": "low",
    "usage": {
        "input_tokens": 1_000,
        "input_tokens_details": {"text_tokens": 900, "image_tokens": 100},
        "output_tokens": 272,
        "total_tokens": 1_272,
    },
}
BY_TOKENS: dict[str, Any] = {
    "text": "Forty-two.",
    "usage": {
        "type": "tokens",
        "input_tokens": 100,
        "input_token_details": {"text_tokens": 10, "audio_tokens": 90},
        "output_tokens": 20,
        "total_tokens": 120,
    },
}
BY_TIME: dict[str, Any] = {"text": "Forty-two.", "usage": {"type": "duration", "seconds": 12.5}}
RERANK: dict[str, Any] = {
    "id": "1",
    "results": [{"index": 1, "relevance_score": 0.9}],
    "meta": {"billed_units": {"search_units": 2}},
}


@pytest.fixture(scope="module")
def engine() -> PricingEngine:
    return PricingEngine(BudgetConfig())


@pytest.mark.parametrize(
    ("response", "model", "cost"),
    [
        (IMAGES, "gpt-image-1", "0.01638"),
        (ImagesResponse.model_validate(IMAGES), "openai/gpt-image-1", "0.01638"),
        ({"created": 1, "data": [{"url": "https://example.com/a.png"}] * 2}, "azure_ai/FLUX-1.1-pro", "0.08"),
        (BY_TOKENS, "gpt-4o-transcribe", "0.00045"),
        (Transcription.model_validate(BY_TOKENS), "gpt-4o-transcribe", "0.00045"),
        (BY_TIME, "whisper-1", "0.00125"),
        (Transcription.model_validate(BY_TIME), "openai/whisper-1", "0.00125"),
        (RERANK, "cohere/rerank-v3.5", "0.004"),
        (RERANK, "rerank-v3.5", "0.004"),
    ],
)
def test_media_cost_what_their_provider_bills(engine: PricingEngine, response: object, model: str, cost: str) -> None:
    assert engine.cost_of(response, model).cost_usd == Decimal(cost)
    assert engine.cost_of(StreamedResponse([response]), model).cost_usd == Decimal(cost)


@pytest.mark.parametrize(("model", "cost"), [("gpt-4o-transcribe", "0.00045"), ("whisper-1", "0.001")])
def test_a_recording_of_known_length_is_billed_by_what_its_model_is_billed_by(
    engine: PricingEngine, model: str, cost: str
) -> None:
    assert engine.cost_of({**BY_TOKENS, "duration": 10.0}, model).cost_usd == Decimal(cost)


def test_what_is_made_is_told(engine: PricingEngine) -> None:
    assert engine.cost_of(IMAGES, "gpt-image-1").usage == TokenUsage(
        1_000,
        272,
        image_input_tokens=100,
        image_output_tokens=272,
        images=1,
        image_size="1024x1024",
        image_quality="low",
    )
    assert engine.cost_of(BY_TIME, "whisper-1").usage == TokenUsage(0, 0, audio_seconds=12.5)
    assert engine.cost_of(RERANK, "rerank-v3.5").usage == TokenUsage(0, 0, search_units=2)


@pytest.mark.parametrize("quality", ["standard", "hd"])
def test_images_that_are_priced_by_size_and_quality(engine: PricingEngine, quality: str) -> None:
    litellm = load_litellm()
    row = litellm.model_cost[f"azure/{quality}/1024-x-1792/dall-e-3"]
    made = {"data": [{"url": "https://example.com/a.png"}], "size": "1024x1792", "quality": quality}
    expected = Decimal(repr(row["input_cost_per_pixel"])) * 1024 * 1792
    assert abs(engine.cost_of(made, "azure/dall-e-3").cost_usd - expected) < NANO


@pytest.mark.parametrize(
    ("response", "model"),
    [
        ({**IMAGES, "usage": None}, "gpt-image-1"),
        (IMAGES, "gpt-4"),
        (IMAGES, "gpt-image-99"),
        (BY_TIME, "whisper-99"),
        (BY_TIME, "gemini/whisper-1"),
        (RERANK, "cohere/rerank-v99"),
        (RERANK, "gpt-image-1"),
        ({"data": [{"url": "x"}], "size": "1024x1024"}, "azure/dall-e-2"),
    ],
)
def test_what_litellm_would_price_at_nothing_is_unknown(engine: PricingEngine, response: object, model: str) -> None:
    with pytest.raises(UnknownModelError, match="No price is known"):
        engine.cost_of(response, model)


@pytest.mark.parametrize(
    "response", [{"text": "Forty-two."}, {"results": [], "meta": {}}, {"data": []}, {"text": "", "duration": "nan"}]
)
def test_media_without_usage_are_refused(engine: PricingEngine, response: object) -> None:
    with pytest.raises(ValueError, match="no usage"):
        engine.cost_of(response, "whisper-1")


def test_a_price_of_tokens_is_none_of_seconds() -> None:
    row = PriceRow(Decimal(1), Decimal(1))
    engine = PricingEngine(BudgetConfig(), lambda: {"whisper-1": row, "gpt-image-1": row})
    with pytest.raises(UnknownModelError, match="'whisper-1' is one of tokens"):
        engine.cost_of(BY_TIME, "whisper-1")
    assert engine.cost_of(IMAGES, "gpt-image-1").cost_usd == Decimal("0.001272")


def test_a_model_that_is_marked_as_free_is_free() -> None:
    free = PriceRow(Decimal(0), Decimal(0), is_free=True)
    assert PricingEngine(BudgetConfig(), lambda: {"whisper-1": free}).cost_of(BY_TIME, "whisper-1").cost_usd == 0


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), True, "5"])
def test_a_time_that_cannot_be_is_refused(seconds: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="audio_seconds must be"):
        TokenUsage(0, 0, audio_seconds=seconds)


# litellm's own calls, and the price that it left on their answers.


def priced_by_litellm(response: Any) -> Decimal:
    return Decimal(repr(response._hidden_params["response_cost"]))


def test_images_that_litellm_has_made_cost_what_it_says(engine: PricingEngine, upstream: Upstream) -> None:
    response = load_litellm().image_generation(
        "a red fox", model="openai/gpt-image-1", n=2, api_base=upstream.openai_url, api_key="-"
    )
    theirs = load_litellm().completion_cost(response, "openai/gpt-image-1", call_type="image_generation")
    cost = engine.cost_of(response, "openai/gpt-image-1").cost_usd
    assert abs(cost - Decimal(repr(theirs))) < NANO
    assert cost == Decimal("0.021775")  # 3 tokens of text for $5 and 544 of images for $40 a million


def test_recordings_that_litellm_had_transcribed_cost_what_it_says(engine: PricingEngine, upstream: Upstream) -> None:
    upstream.will(Answer(tokens=Tokens(input=100, audio_input=90)))
    response = load_litellm().transcription(
        "openai/gpt-4o-transcribe", ("a.wav", b"RIFF"), api_base=upstream.openai_url, api_key="-"
    )
    assert engine.cost_of(response, "openai/gpt-4o-transcribe").cost_usd == Decimal("0.00032")
    assert abs(Decimal("0.00032") - priced_by_litellm(response)) < NANO


def test_documents_that_litellm_had_ranked_cost_what_it_says(engine: PricingEngine, upstream: Upstream) -> None:
    response = load_litellm().rerank(
        "cohere/rerank-v3.5", query="six", documents=["seven", "six"], api_base=upstream.url, api_key="-"
    )
    assert engine.cost_of(response, "cohere/rerank-v3.5").cost_usd == priced_by_litellm(response) == Decimal("0.002")


def test_texts_that_litellm_had_embedded_cost_what_it_says(engine: PricingEngine, upstream: Upstream) -> None:
    upstream.will(Answer(tokens=Tokens(input=1_000)))
    response = load_litellm().embedding(
        "openai/text-embedding-3-small", input=["six"], api_base=upstream.openai_url, api_key="-"
    )
    assert engine.cost_of(response).cost_usd == priced_by_litellm(response) == Decimal("0.00002")


@pytest.mark.parametrize(
    ("model", "tokens", "extra"),
    [
        ("openai/gpt-5", Tokens(input=2_000, cached=1_000, reasoning=400), {"n": 2}),
        ("openai/gpt-5", Tokens(input=2_000), {"service_tier": "flex"}),
        ("openai/gpt-4o-audio-preview-2024-12-17", Tokens(input=900, audio_input=800, audio_output=100), {}),
        ("anthropic/claude-sonnet-4-6", Tokens(input=1_000, cached=500, cache_write=300, cache_write_1h=100), {}),
        ("gemini/gemini-2.5-flash", Tokens(input=1_000, cached=100, audio_input=600, reasoning=50), {}),
    ],
)
def test_chats_of_litellm_cost_what_it_says(
    engine: PricingEngine, upstream: Upstream, model: str, tokens: Tokens, extra: dict[str, Any]
) -> None:
    provider, _, name = model.partition("/")
    path = {"openai": "v1", "gemini": f"v1beta/models/{name}"}.get(provider, "")
    upstream.will(Answer(tokens=tokens, service_tier=extra.get("service_tier")))
    response = load_litellm().completion(
        model,
        messages=[{"role": "user", "content": "six times seven"}],
        api_base=f"{upstream.url}/{path}".rstrip("/"),
        api_key="-",
        **extra,
    )
    cost = engine.cost_of(response, model).cost_usd
    assert abs(cost - priced_by_litellm(response)) < NANO
    assert engine.cost_of_usage(upstream.produced[0].usage, model).cost_usd == cost
