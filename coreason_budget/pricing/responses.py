"""
Reads the usage of a response: litellm, OpenAI, Anthropic or Gemini, as SDK object or plain dict.

No SDK is imported; what counts is which numbers are there. A provider's numbers that contradict each other are read
so that nothing goes unpaid, because the call has happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .fields import count, label, look_up, number, text_of
from .media import read_media
from .searches import web_searches
from .usage import TokenUsage

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["is_from_cache", "model_names", "read_usage", "usage_holder"]

_NO_USAGE: Final = (
    "The response has no usage, so its cost is not known. Pass cost=, or a response with usage. Of a stream pass the "
    "list of its events; OpenAI chat streams have usage only if they are asked for it with "
    'stream_options={"include_usage": True}.'
)
_USAGE: Final = ("usage", "usage_metadata", "usageMetadata")
_GEMINIS: Final = ("usage_metadata", "usageMetadata", "model_version", "modelVersion")
# Gemini says by traffic type what litellm's map calls a service tier.
_TRAFFIC_TIERS: Final = {"ON_DEMAND_PRIORITY": "priority", "ON_DEMAND_FLEX": "flex"}


def model_names(response: object) -> tuple[str, ...]:
    """Return the names under which the model of a response may have a price, the most exact one first."""
    response = usage_holder(response)
    # litellm takes the provider's prefix off the model's name and keeps it here; some of its responses have no model.
    hidden = look_up(response, "_hidden_params")
    name = text_of(response, "model", "model_version", "modelVersion") or text_of(hidden, "model")
    if not name:
        return ()
    if look_up(response, *_GEMINIS) is not None:
        name = name.rpartition("models/")[2]  # Vertex AI puts the publisher before it
        return (name, f"gemini/{name}")
    provider = text_of(hidden, "custom_llm_provider")
    return (f"{provider}/{name}", name) if provider else (name,)


def is_from_cache(response: object) -> bool:
    """Return whether litellm says that it had the whole answer in its own cache, so that no provider was asked."""
    hidden = look_up(response, "_hidden_params")
    if look_up(hidden, "cache_hit") is not True:
        return False
    # Embeddings of which the cache had only some are marked too; beside that they have only the time it took.
    return look_up(hidden, "response_cost") is not None or look_up(response, "_response_ms") is None


def read_usage(response: object) -> TokenUsage:
    """Return the tokens that a response, or an event with one, says it used. Raise ValueError if it does not say."""
    response = usage_holder(response)
    usage = look_up(response, *_USAGE)
    media = read_media(response)
    if count(usage, "prompt_token_count", "promptTokenCount") is not None:
        tokens = _read_gemini(usage, response)
    elif count(usage, "prompt_tokens") is not None:
        tokens = _read_chat(usage, response)
    elif count(usage, "input_tokens") is not None:
        tokens = _read_messages(usage, response)
    else:
        tokens = TokenUsage(0, 0)
    tokens = media.added_to(tokens)
    if tokens.is_nothing:  # litellm fills in zeros where a provider sends no usage
        raise ValueError(_NO_USAGE)
    return tokens


def usage_holder(response: object) -> object:
    """Return the response that an event of OpenAI Responses carries, anything else as it is."""
    if look_up(response, *_USAGE, "model") is not None:
        return response
    carried = look_up(response, "response")
    return response if look_up(carried, *_USAGE, "model") is None else carried


def _read_chat(usage: object, response: object) -> TokenUsage:
    """Chat completions of OpenAI, litellm and the many that copy them: the prompt includes what is cached."""
    prompt = look_up(usage, "prompt_tokens_details")
    completion = look_up(usage, "completion_tokens_details")
    input_tokens = number(usage, "prompt_tokens")
    output_tokens = number(usage, "completion_tokens")
    reasoning = number(completion, "reasoning_tokens")
    if reasoning and count(usage, "total_tokens") == input_tokens + output_tokens + reasoning:
        output_tokens += reasoning  # xAI does not count reasoning as completion
    return _usage(
        input_tokens,
        output_tokens,
        cached=number(prompt, "cached_tokens")
        or number(usage, "cache_read_input_tokens", "prompt_cache_hit_tokens", "cached_tokens"),
        written=number(usage, "cache_creation_input_tokens")
        or number(prompt, "cache_write_tokens", "cache_creation_tokens"),
        written_1h=number(look_up(prompt, "cache_creation_token_details"), "ephemeral_1h_input_tokens"),
        reasoning=reasoning,
        audio=(number(prompt, "audio_tokens"), number(completion, "audio_tokens")),
        image=(number(prompt, "image_tokens"), number(completion, "image_tokens")),
        searches=web_searches(usage, response),
        **_terms(usage, response),
    )


def _read_messages(usage: object, response: object) -> TokenUsage:
    """OpenAI Responses (the input includes what is cached) and Anthropic messages (it does not)."""
    details = look_up(usage, "input_tokens_details", "input_token_details")
    output = look_up(usage, "output_tokens_details")
    read = number(usage, "cache_read_input_tokens")
    written = number(usage, "cache_creation_input_tokens")
    return _usage(
        number(usage, "input_tokens") + read + written,
        number(usage, "output_tokens"),
        cached=read or number(details, "cached_tokens"),
        written=written or number(details, "cache_write_tokens"),
        written_1h=number(look_up(usage, "cache_creation"), "ephemeral_1h_input_tokens"),
        reasoning=number(output, "reasoning_tokens", "thinking_tokens"),
        audio=(number(details, "audio_tokens"), number(output, "audio_tokens")),
        image=(number(details, "image_tokens"), number(output, "image_tokens")),
        searches=web_searches(usage, response),
        **_terms(usage, response),
    )


def _read_gemini(usage: object, response: object) -> TokenUsage:
    """Gemini: thoughts are not part of the candidates, results of tools are not part of the prompt."""
    thoughts = number(usage, "thoughts_token_count", "thoughtsTokenCount")
    inputs = _modalities(look_up(usage, "prompt_tokens_details", "promptTokensDetails"))
    outputs = _modalities(look_up(usage, "candidates_tokens_details", "candidatesTokensDetails"))
    traffic = label(look_up(usage, "traffic_type", "trafficType"))
    return _usage(
        number(usage, "prompt_token_count", "promptTokenCount")
        + number(usage, "tool_use_prompt_token_count", "toolUsePromptTokenCount"),
        number(usage, "candidates_token_count", "candidatesTokenCount", "response_token_count") + thoughts,
        cached=number(usage, "cached_content_token_count", "cachedContentTokenCount"),
        reasoning=thoughts,
        audio=(inputs.get("AUDIO", 0), outputs.get("AUDIO", 0)),
        image=(inputs.get("IMAGE", 0), outputs.get("IMAGE", 0)),
        searches=web_searches(usage, response),
        service_tier=_TRAFFIC_TIERS.get(traffic),
    )


def _usage(  # noqa: PLR0913  # each is a kind of token
    input_tokens: int,
    output_tokens: int,
    *,
    cached: int = 0,
    written: int = 0,
    written_1h: int = 0,
    reasoning: int = 0,
    audio: tuple[int, int] = (0, 0),
    image: tuple[int, int] = (0, 0),
    searches: int = 0,
    **terms: Any,
) -> TokenUsage:
    if cached + written > input_tokens:  # then the provider cannot have counted them as input
        input_tokens += cached + written
    audio_input, image_input = _fit(input_tokens, audio[0], image[0])
    reasoning, audio_output, image_output = _fit(output_tokens, reasoning, audio[1], image[1])
    return TokenUsage(
        input_tokens,
        output_tokens,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=min(written_1h, written),
        reasoning_tokens=reasoning,
        audio_input_tokens=audio_input,
        audio_output_tokens=audio_output,
        image_input_tokens=image_input,
        image_output_tokens=image_output,
        web_searches=searches,
        **terms,
    )


def _fit(whole: int, *parts: int) -> Iterable[int]:
    for part in parts:
        fitting = min(part, whole)
        whole -= fitting
        yield fitting


def _terms(usage: object, response: object) -> dict[str, str | None]:
    return {
        "service_tier": text_of(response, "service_tier") or text_of(usage, "service_tier"),
        "inference_geo": text_of(usage, "inference_geo"),
        "speed": text_of(usage, "speed"),
    }


def _modalities(details: object) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in details if isinstance(details, (list, tuple)) else ():
        modality = label(look_up(item, "modality"))
        found[modality] = found.get(modality, 0) + number(item, "token_count", "tokenCount")
    return found
