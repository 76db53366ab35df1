"""Reads responses that are not, or not only, billed by tokens: images, transcriptions, reranked documents."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from .fields import look_up, number, text_of

if TYPE_CHECKING:
    from .usage import TokenUsage

__all__ = ["Media", "read_media"]


@dataclass(frozen=True, slots=True)
class Media:
    """What a response holds beside tokens. ``tokens`` are of a rerank that is billed by them."""

    images: int = 0
    image_text_tokens: int = 0
    image_size: str | None = None
    image_quality: str | None = None
    audio_seconds: float = 0
    search_units: int = 0
    tokens: int = 0

    def __bool__(self) -> bool:
        return self is not _NOTHING and self != _NOTHING

    def added_to(self, usage: TokenUsage) -> TokenUsage:
        """Return the tokens of the same response with this beside them."""
        if not self:
            return usage
        made = max(usage.image_output_tokens, usage.output_tokens - self.image_text_tokens) if self.images else 0
        return replace(
            usage,
            input_tokens=usage.input_tokens or self.tokens,
            image_output_tokens=made or usage.image_output_tokens,
            images=self.images,
            image_size=self.image_size,
            image_quality=self.image_quality,
            audio_seconds=self.audio_seconds,
            search_units=self.search_units,
        )


_NOTHING: Final = Media()


def read_media(response: object) -> Media:
    """Return what a response of images, a transcription or a rerank holds; of any other response nothing."""
    # Chats, most of what is asked for; and Gemini puts its text together when that is asked for, with warnings.
    if look_up(response, "choices", "candidates") is not None:
        return _NOTHING
    if isinstance(look_up(response, "results"), (list, tuple)):
        units = look_up(look_up(response, "meta"), "billed_units")
        return Media(search_units=number(units, "search_units"), tokens=number(units, "total_tokens"))
    if isinstance(look_up(response, "text"), str):
        return Media(audio_seconds=_seconds(response))
    items = look_up(response, "data")
    images = [item for item in items if _is_image(item)] if isinstance(items, (list, tuple)) else []
    if not images:
        return _NOTHING
    made = look_up(look_up(response, "usage"), "output_tokens_details")
    return Media(
        images=len(images),
        image_text_tokens=number(made, "text_tokens"),
        image_size=text_of(response, "size"),
        image_quality=text_of(response, "quality"),
    )


def _is_image(item: object) -> bool:
    return isinstance(look_up(item, "b64_json", "url"), str)


def _seconds(response: object) -> float:
    """Return how long a recording was, as litellm has measured it, else as the provider says."""
    usage = look_up(response, "usage")
    measured = look_up(look_up(response, "_hidden_params"), "audio_transcription_duration")
    told = (measured, look_up(response, "duration"), look_up(usage, "seconds"))
    return next((seconds for seconds in map(_positive, told) if seconds), 0)


def _positive(value: Any) -> float:
    try:
        seconds = float(value)  # OpenAI's verbose_json has it as text
    except (TypeError, ValueError):
        return 0
    return seconds if 0 < seconds < float("inf") else 0
