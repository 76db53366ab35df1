"""litellm's prices of images, recordings and reranked documents. See ``litellm_prices`` for the rules."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .usage import TokenUsage

__all__ = ["find_sized", "media_cost", "states_media_prices"]

_PRICES: Final = (
    "input_cost_per_image",
    "input_cost_per_pixel",
    "input_cost_per_query",
    "input_cost_per_second",
    "input_cost_per_token",
    "output_cost_per_image",
    "output_cost_per_image_token",
    "output_cost_per_second",
)


def states_media_prices(row: Mapping[str, Any]) -> bool:
    """Return whether a row of litellm's map has a price for images, recordings or reranked documents."""
    return any(row.get(key) for key in _PRICES)


def find_sized(
    names: Iterable[tuple[str, str]], usage: TokenUsage, prices: Mapping[str, Mapping[str, Any]]
) -> tuple[str, str] | None:
    """
    Return name and provider of a model whose images the map prices by their size and quality.

    ``names`` are those that the map may have, each with the provider that its row must have, or none.
    """
    if not usage.images:
        return None
    size = usage.image_size or "1024x1024"
    size = size if "-x-" in size else size.replace("x", "-x-")
    for (name, provider), quality in product(names, (usage.image_quality or "standard", "")):
        sized = "/".join(part for part in (provider, quality, size, name) if part)
        for key in (sized, sized.removeprefix(f"{provider}/")):
            row = prices.get(key)
            if row is not None and provider in {"", row.get("litellm_provider")} and states_media_prices(row):
                return name, str(row["litellm_provider"])
    return None


def media_cost(litellm: Any, model: str, provider: str, usage: TokenUsage) -> float:
    """Return what litellm says that images, a recording or a rerank cost, in USD. Raise whatever litellm raises."""
    if usage.images:
        cost = litellm.completion_cost(
            completion_response=_images(usage),
            model=model,
            custom_llm_provider=provider,
            call_type="image_generation",
            size=usage.image_size,
            quality=usage.image_quality,
            n=usage.images,
        )
    else:
        made, call_type = (_recording(usage), "transcription") if usage.audio_seconds else (_rerank(usage), "rerank")
        cost = litellm.completion_cost(
            completion_response=made, model=model, custom_llm_provider=provider, call_type=call_type
        )
    return float(cost)


def _images(usage: TokenUsage) -> Any:
    from litellm.types.utils import ImageResponse, ImageUsage

    tokens = None
    if usage.total_tokens:
        tokens = ImageUsage(
            input_tokens=usage.input_tokens,
            input_tokens_details={
                "image_tokens": usage.image_input_tokens,
                "text_tokens": usage.input_tokens - usage.image_input_tokens,
            },
            output_tokens=usage.output_tokens,
            total_tokens=usage.total_tokens,
            output_tokens_details={
                "image_tokens": usage.image_output_tokens,
                "text_tokens": usage.output_tokens - usage.image_output_tokens,
            },
        )
    return ImageResponse(created=1, data=[{"url": "made"}] * usage.images, usage=tokens)


def _recording(usage: TokenUsage) -> Any:
    from litellm.types.utils import TranscriptionResponse

    tokens = None
    if usage.total_tokens:  # whether it is them or the seconds that are billed, litellm decides by the model
        tokens = {
            "type": "tokens",
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
            "input_token_details": {
                "audio_tokens": usage.audio_input_tokens,
                "text_tokens": usage.input_tokens - usage.audio_input_tokens,
            },
        }
    response = TranscriptionResponse(text="", usage=tokens)
    response._hidden_params = {"audio_transcription_duration": usage.audio_seconds}  # noqa: SLF001  # where it looks
    return response


def _rerank(usage: TokenUsage) -> Any:
    from litellm.types.rerank import RerankResponse

    units = {"search_units": usage.search_units or None, "total_tokens": usage.input_tokens or None}
    return RerankResponse(id="", results=[], meta={"billed_units": units})
