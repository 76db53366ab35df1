"""What responses of every provider cost: SDK objects and plain dicts, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from coreason_budget.conf import BudgetConfig
from coreason_budget.exceptions import UnknownModelError
from coreason_budget.pricing import PricedCall, PriceRow, PricingEngine, TokenUsage
from coreason_budget.pricing.litellm_prices import load_litellm
from coreason_budget.pricing.responses import model_names, read_usage

# litellm's own classes make pydantic warn at first use.
pytestmark = pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning")


@pytest.fixture(scope="module")
def engine() -> PricingEngine:
    return PricingEngine(BudgetConfig())


def as_object(value: Any) -> Any:
    """Turn nested dicts into objects with attributes, as SDKs return them."""
    if isinstance(value, dict):
        return SimpleNamespace(**{key: as_object(item) for key, item in value.items()})
    return [as_object(item) for item in value] if isinstance(value, list) else value


CHAT = {
    "object": "chat.completion",
    "model": "gpt-4o",
    "service_tier": "default",
    "usage": {
        "prompt_tokens": 1_000,
        "completion_tokens": 200,
        "total_tokens": 1_200,
        "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 50, "audio_tokens": 0},
    },
}
RESPONSES = {
    "object": "response",
    "model": "gpt-4o",
    "usage": {
        "input_tokens": 1_000,
        "input_tokens_details": {"cached_tokens": 400},
        "output_tokens": 200,
        "output_tokens_details": {"reasoning_tokens": 50},
        "total_tokens": 1_200,
    },
}
ANTHROPIC = {
    "type": "message",
    "model": "claude-sonnet-4-5",
    "usage": {
        "input_tokens": 200,
        "cache_read_input_tokens": 500,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100},
        "output_tokens": 200,
        "service_tier": "standard",
        "inference_geo": "not_available",
    },
}
GEMINI = {
    "model_version": "gemini-2.5-pro",
    "usage_metadata": {
        "prompt_token_count": 900,
        "tool_use_prompt_token_count": 100,
        "cached_content_token_count": 400,
        "candidates_token_count": 150,
        "thoughts_token_count": 50,
        "total_token_count": 1_200,
    },
}
GEMINI_REST = {
    "modelVersion": "gemini-2.5-pro",
    "usageMetadata": {
        "promptTokenCount": 900,
        "toolUsePromptTokenCount": 100,
        "cachedContentTokenCount": 400,
        "candidatesTokenCount": 150,
        "thoughtsTokenCount": 50,
        "totalTokenCount": 1_200,
    },
}


@pytest.mark.parametrize("shape", [dict, as_object], ids=["dict", "object"])
@pytest.mark.parametrize(
    ("response", "model", "cost"),
    [
        (CHAT, "gpt-4o", "0.004"),
        (RESPONSES, "gpt-4o", "0.004"),
        (ANTHROPIC, "claude-sonnet-4-5", "0.0051"),
        (GEMINI, "gemini-2.5-pro", "0.0028"),
        (GEMINI_REST, "gemini-2.5-pro", "0.0028"),
    ],
    ids=["chat", "responses", "anthropic", "gemini", "gemini-rest"],
)
def test_a_response_costs_its_usage(
    engine: PricingEngine, shape: Any, response: dict[str, Any], model: str, cost: str
) -> None:
    call = engine.cost_of(shape(response))
    assert (call.model, call.cost_usd) == (model, Decimal(cost))
    assert (call.input_tokens, call.output_tokens) == (1_000, 200)


def test_what_the_openai_sdk_returns_is_understood(engine: PricingEngine) -> None:
    chat = pytest.importorskip("openai.types.chat")
    completion = chat.ChatCompletion.model_validate({"id": "1", "choices": [], "created": 1, **CHAT})
    chunk = chat.ChatCompletionChunk.model_validate(
        {"id": "1", "choices": [], "created": 1, **CHAT, "object": "chat.completion.chunk"}
    )
    for response in (completion, chunk):
        assert engine.cost_of(response).cost_usd == Decimal("0.004")


def test_what_litellm_returns_is_priced_by_its_usage_and_its_provider(engine: PricingEngine) -> None:
    litellm = load_litellm()
    usage = litellm.Usage(
        prompt_tokens=1_000,
        completion_tokens=200,
        total_tokens=1_200,
        cache_read_input_tokens=500,
        cache_creation_input_tokens=300,
    )
    response = litellm.ModelResponse(model="claude-sonnet-4-5", usage=usage)
    response._hidden_params = {"response_cost": 0.0, "custom_llm_provider": "anthropic"}
    assert engine.cost_of(response) == PricedCall(
        "anthropic/claude-sonnet-4-5",
        Decimal("0.004875"),
        TokenUsage(1_000, 200, cached_input_tokens=500, cache_write_tokens=300),
    )


def test_a_response_that_litellm_filled_with_zeros_has_no_usage(engine: PricingEngine) -> None:
    with pytest.raises(ValueError, match="no usage"):
        engine.cost_of(load_litellm().ModelResponse(model="gpt-4o"))


@pytest.mark.parametrize(
    "response",
    [
        {"model": "gpt-4o"},
        {"model": "gpt-4o", "usage": None},
        {"model": "gpt-4o", "usage": {}},
        {"model": "gpt-4o", "usage": {"prompt_tokens": None, "completion_tokens": 5}},
        {"model": "gpt-4o", "usage": {"prompt_tokens": 0, "completion_tokens": 0}},
        SimpleNamespace(model="gpt-4o"),
        Mock(),
        None,
        "a text",
    ],
)
def test_a_response_without_usage_is_refused_with_the_remedy(engine: PricingEngine, response: object) -> None:
    with pytest.raises(ValueError, match="no usage") as caught:
        engine.cost_of(response)
    for word in ("cost=", "stream_options", "include_usage"):
        assert word in str(caught.value)


def test_a_negative_count_is_refused(engine: PricingEngine) -> None:
    with pytest.raises(ValueError, match="output_tokens must not be negative"):
        engine.cost_of({"model": "gpt-4o", "usage": {"prompt_tokens": 9, "completion_tokens": -9}})


# Which model.


def test_the_model_that_was_asked_for_goes_first(engine: PricingEngine) -> None:
    call = engine.cost_of(CHAT, model="gpt-4")
    assert (call.model, call.cost_usd) == ("gpt-4", Decimal("0.042"))


def test_the_model_that_answered_counts_if_the_one_asked_for_is_unknown(engine: PricingEngine) -> None:
    call = engine.cost_of(CHAT, model="azure/my-deployment")
    assert (call.model, call.cost_usd) == ("gpt-4o", Decimal("0.004"))


def test_a_known_name_saves_a_response_with_an_unknown_one(engine: PricingEngine) -> None:
    assert engine.cost_of({**CHAT, "model": "gpt-4o-3000"}, model="gpt-4o").cost_usd == Decimal("0.004")


def test_two_unknown_models_are_unknown(engine: PricingEngine) -> None:
    with pytest.raises(UnknownModelError, match="'nobody/knows'"):
        engine.cost_of({**CHAT, "model": "nobody/knows"}, model="me/neither")
    with pytest.raises(UnknownModelError, match="'me/neither'"):
        engine.cost_of({"usage": CHAT["usage"]}, model="me/neither")


def test_a_response_that_names_no_model_needs_one(engine: PricingEngine) -> None:
    with pytest.raises(ValueError, match="pass model="):
        engine.cost_of({"usage": CHAT["usage"]})
    assert engine.cost_of({"usage": CHAT["usage"]}, model="gpt-4o").cost_usd == Decimal("0.004")


def test_an_admins_price_under_either_name_of_the_answer_goes_before_litellm() -> None:
    engine = PricingEngine(BudgetConfig(), lambda: {"gemini-2.5-pro": PriceRow(Decimal(1), Decimal(1))})
    assert engine.cost_of(GEMINI).cost_usd == Decimal("0.0012")


@pytest.mark.parametrize(
    ("response", "names"),
    [
        ({"model": "gpt-4o", "usage": {}}, ("gpt-4o",)),
        ({"model": "llama", "_hidden_params": {"custom_llm_provider": "groq"}}, ("groq/llama", "llama")),
        ({"model_version": "models/gemini-9", "usage_metadata": {}}, ("gemini-9", "gemini/gemini-9")),
        ({"model": " "}, ()),
        ({"model": 4}, ()),
        (Mock(), ()),
    ],
)
def test_the_names_of_a_model_are_read_from_its_response(response: object, names: tuple[str, ...]) -> None:
    assert model_names(response) == names


# Numbers that need care.


class Modality(Enum):
    """As the SDK of Gemini has it."""

    AUDIO = "AUDIO"


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"prompt_tokens": 8, "total_tokens": 8}, TokenUsage(8, 0)),
        (  # xAI leaves reasoning out of the completion
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 35,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            TokenUsage(10, 25, reasoning_tokens=20),
        ),
        (  # DeepSeek
            {"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 4},
            TokenUsage(10, 5, cached_input_tokens=4),
        ),
        (  # more cached than sent: then what was sent does not include it
            {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 90}},
            TokenUsage(100, 5, cached_input_tokens=90),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"audio_tokens": 8, "image_tokens": 8},
                "completion_tokens_details": {"reasoning_tokens": 9, "audio_tokens": 9},
            },
            TokenUsage(10, 5, audio_input_tokens=8, image_input_tokens=2, reasoning_tokens=5),
        ),
        (
            {
                "input_tokens": 10,
                "output_tokens": 5,
                "cache_creation_input_tokens": 7,
                "cache_creation": {"ephemeral_1h_input_tokens": 7},
                "service_tier": "priority",
                "inference_geo": "us",
                "speed": "fast",
            },
            TokenUsage(
                17,
                5,
                cache_write_tokens=7,
                cache_write_1h_tokens=7,
                service_tier="priority",
                inference_geo="us",
                speed="fast",
            ),
        ),
    ],
)
def test_numbers_of_providers_that_count_their_own_way(usage: dict[str, Any], read: TokenUsage) -> None:
    assert read_usage({"usage": usage}) == read


def test_media_and_traffic_of_gemini_are_read() -> None:
    metadata = {
        "prompt_token_count": 100,
        "candidates_token_count": 50,
        "prompt_tokens_details": [
            {"modality": Modality.AUDIO, "token_count": 60},
            {"modality": "TEXT", "token_count": 40},
        ],
        "candidates_tokens_details": [{"modality": "IMAGE", "token_count": 30}],
        "traffic_type": "ON_DEMAND_PRIORITY",
    }
    assert read_usage({"usage_metadata": metadata}) == TokenUsage(
        100, 50, audio_input_tokens=60, image_output_tokens=30, service_tier="priority"
    )


@pytest.mark.parametrize(
    ("terms", "cost"), [({}, "0.01"), ({"inference_geo": "us"}, "0.011"), ({"speed": "fast"}, "0.02")]
)
def test_the_place_and_speed_of_claude_are_priced(engine: PricingEngine, terms: dict[str, str], cost: str) -> None:
    rows = load_litellm().model_cost.items()
    fast = {"us": 1.1, "fast": 2}
    model = next(
        name
        for name, row in rows
        if row.get("provider_specific_entry") == fast and row["input_cost_per_token"] == 5e-06
    )
    usage = {"input_tokens": 1_000, "output_tokens": 200, **terms}
    assert engine.cost_of({"model": model, "usage": usage}).cost_usd == Decimal(cost)
