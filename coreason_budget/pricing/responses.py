"""
Reads the usage of a response: litellm, OpenAI (chat and Responses), Anthropic or Gemini, as SDK object or plain dict.

No SDK is imported; what counts is which numbers are there. A provider's numbers that contradict each other are read
so that nothing goes unpaid, because the call has happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from .usage import TokenUsage

__all__ = ["model_names", "read_usage"]

_NO_USAGE: Final = (
    "The response has no usage, so its cost is not known. Pass cost=, or a response with usage; for OpenAI streams "
    'ask for it with stream_options={"include_usage": True} and pass the last chunk.'
)
# Gemini says by traffic type what litellm's map calls a service tier.
_TRAFFIC_TIERS: Final = {"ON_DEMAND_PRIORITY": "priority", "ON_DEMAND_FLEX": "flex"}


def model_names(response: object) -> tuple[str, ...]:
    """Return the names under which the model of a response may have a price, the most exact one first."""
    name = _text(response, "model", "model_version", "modelVersion")
    if not name:
        return ()
    name = name.removeprefix("models/")
    if _get(response, "usage_metadata", "usageMetadata") is not None:
        return (name, f"gemini/{name}")
    # litellm takes the provider's prefix off the model's name and keeps it here.
    provider = _text(_get(response, "_hidden_params"), "custom_llm_provider")
    return (f"{provider}/{name}", name) if provider else (name,)


def read_usage(response: object) -> TokenUsage:
    """Return the tokens that a response says it used. Raise ValueError if it does not say."""
    usage = _get(response, "usage", "usage_metadata", "usageMetadata")
    if usage is None:
        raise ValueError(_NO_USAGE)
    if _count(usage, "prompt_token_count", "promptTokenCount") is not None:
        tokens = _read_gemini(usage)
    elif _count(usage, "prompt_tokens") is not None:
        tokens = _read_chat(usage, response)
    elif _count(usage, "input_tokens") is not None:
        tokens = _read_messages(usage, response)
    else:
        raise ValueError(_NO_USAGE)
    if not tokens.total_tokens:  # litellm fills in zeros where a provider sends no usage
        raise ValueError(_NO_USAGE)
    return tokens


def _read_chat(usage: object, response: object) -> TokenUsage:
    """Chat completions of OpenAI, litellm and the many that copy them: the prompt includes what is cached."""
    prompt = _get(usage, "prompt_tokens_details")
    completion = _get(usage, "completion_tokens_details")
    input_tokens = _number(usage, "prompt_tokens")
    output_tokens = _number(usage, "completion_tokens")
    reasoning = _number(completion, "reasoning_tokens")
    if reasoning and _count(usage, "total_tokens") == input_tokens + output_tokens + reasoning:
        output_tokens += reasoning  # xAI does not count reasoning as completion
    return _usage(
        input_tokens,
        output_tokens,
        cached=_number(prompt, "cached_tokens")
        or _number(usage, "cache_read_input_tokens", "prompt_cache_hit_tokens", "cached_tokens"),
        written=_number(usage, "cache_creation_input_tokens")
        or _number(prompt, "cache_write_tokens", "cache_creation_tokens"),
        written_1h=_number(_get(prompt, "cache_creation_token_details"), "ephemeral_1h_input_tokens"),
        reasoning=reasoning,
        audio=(_number(prompt, "audio_tokens"), _number(completion, "audio_tokens")),
        image=(_number(prompt, "image_tokens"), _number(completion, "image_tokens")),
        **_terms(usage, response),
    )


def _read_messages(usage: object, response: object) -> TokenUsage:
    """OpenAI Responses (the input includes what is cached) and Anthropic messages (it does not)."""
    details = _get(usage, "input_tokens_details")
    output = _get(usage, "output_tokens_details")
    read = _number(usage, "cache_read_input_tokens")
    written = _number(usage, "cache_creation_input_tokens")
    return _usage(
        _number(usage, "input_tokens") + read + written,
        _number(usage, "output_tokens"),
        cached=read or _number(details, "cached_tokens"),
        written=written or _number(details, "cache_write_tokens"),
        written_1h=_number(_get(usage, "cache_creation"), "ephemeral_1h_input_tokens"),
        reasoning=_number(output, "reasoning_tokens"),
        audio=(_number(details, "audio_tokens"), _number(output, "audio_tokens")),
        image=(_number(details, "image_tokens"), _number(output, "image_tokens")),
        **_terms(usage, response),
    )


def _read_gemini(usage: object) -> TokenUsage:
    """Gemini: thoughts are not part of the candidates, results of tools are not part of the prompt."""
    thoughts = _number(usage, "thoughts_token_count", "thoughtsTokenCount")
    inputs = _modalities(_get(usage, "prompt_tokens_details", "promptTokensDetails"))
    outputs = _modalities(_get(usage, "candidates_tokens_details", "candidatesTokensDetails"))
    traffic = _label(_get(usage, "traffic_type", "trafficType"))
    return _usage(
        _number(usage, "prompt_token_count", "promptTokenCount")
        + _number(usage, "tool_use_prompt_token_count", "toolUsePromptTokenCount"),
        _number(usage, "candidates_token_count", "candidatesTokenCount") + thoughts,
        cached=_number(usage, "cached_content_token_count", "cachedContentTokenCount"),
        reasoning=thoughts,
        audio=(inputs.get("AUDIO", 0), outputs.get("AUDIO", 0)),
        image=(inputs.get("IMAGE", 0), outputs.get("IMAGE", 0)),
        service_tier=_TRAFFIC_TIERS.get(traffic),
    )


def _usage(
    input_tokens: int,
    output_tokens: int,
    *,
    cached: int = 0,
    written: int = 0,
    written_1h: int = 0,
    reasoning: int = 0,
    audio: tuple[int, int] = (0, 0),
    image: tuple[int, int] = (0, 0),
    **terms: str | None,
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
        **terms,
    )


def _fit(whole: int, *parts: int) -> Iterable[int]:
    for part in parts:
        fitting = min(part, whole)
        whole -= fitting
        yield fitting


def _terms(usage: object, response: object) -> dict[str, str | None]:
    return {
        "service_tier": _text(response, "service_tier") or _text(usage, "service_tier"),
        "inference_geo": _text(usage, "inference_geo"),
        "speed": _text(usage, "speed"),
    }


def _modalities(details: object) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in details if isinstance(details, (list, tuple)) else ():
        label = _label(_get(item, "modality"))
        found[label] = found.get(label, 0) + _number(item, "token_count", "tokenCount")
    return found


def _label(value: object) -> str:
    text = getattr(value, "value", value)  # an enum of the SDK, or text
    return text if isinstance(text, str) else ""


def _number(holder: object, *names: str) -> int:
    return _count(holder, *names) or 0


def _count(holder: object, *names: str) -> int | None:
    for name in names:
        value = _get(holder, name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _text(holder: object, *names: str) -> str | None:
    for name in names:
        value = _get(holder, name)
        if isinstance(value, str) and value.strip():
            return value
    return None


def _get(holder: object, *names: str) -> Any:
    for name in names:
        value = holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
        if value is not None:
            return value
    return None
