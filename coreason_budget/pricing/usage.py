"""``TokenUsage``: what a call used, mostly in tokens. How it is read out of a response is in ``responses``."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Final

__all__ = ["MAX_TOKENS", "TokenUsage", "token_count"]

MAX_TOKENS: Final = 10**12


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """
    What one call used.

    ``input_tokens`` is the whole prompt: cached tokens, tokens written to the cache, audio and images are parts of it.
    ``output_tokens`` is the whole answer: reasoning, audio and images are parts of it. ``cache_write_1h_tokens`` is
    the part of ``cache_write_tokens`` that is kept for an hour. ``web_searches`` is how often the provider searched the
    web for the answer. ``images``, ``audio_seconds`` (of a recording) and ``search_units`` (of a rerank) are what some
    models are billed by instead. ``service_tier``, ``inference_geo``, ``speed``, ``image_size`` and ``image_quality``
    are what the provider calls them (``flex``, ``us``, ``fast``, ``1024x1024``, ``high``).
    Raise TypeError for what is no int, ValueError for negative or absurd counts and for parts larger than the whole.
    """

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    web_searches: int = 0
    images: int = 0
    search_units: int = 0
    audio_seconds: float = 0
    service_tier: str | None = None
    inference_geo: str | None = None
    speed: str | None = None
    image_size: str | None = None
    image_quality: str | None = None

    def __post_init__(self) -> None:
        for count in _counts_of(self):
            if type(count) is not int or not 0 <= count <= MAX_TOKENS:  # asked first: there is a usage for each sum
                self._check_counts()
                break
        if isinstance(self.audio_seconds, bool) or not isinstance(self.audio_seconds, (int, float)):
            raise TypeError(f"audio_seconds must be a number, not {self.audio_seconds!r:.80}.")
        if not 0 <= self.audio_seconds <= MAX_TOKENS:
            raise ValueError(f"audio_seconds must be from 0 to {MAX_TOKENS:,}, got {self.audio_seconds!r:.80}.")
        if _labels_of(self) != _NO_LABELS:
            self._check_labels()
        if any(_parts_of(self)):
            for whole, parts in _PARTS:
                self._check_parts(whole, parts)

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    @property
    def is_nothing(self) -> bool:
        """True if there is nothing that a provider bills."""
        return not (self.total_tokens or self.is_without_tokens)

    @property
    def is_without_tokens(self) -> bool:
        """True if the call is billed by images, seconds or searches alone."""
        return not self.total_tokens and bool(self.images or self.audio_seconds or self.search_units)

    def _check_counts(self) -> None:
        for name in _COUNTS:
            token_count(getattr(self, name), name)

    def _check_labels(self) -> None:
        for name in _LABELS:
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name} must be a str or None, not {type(value).__name__}: {value!r:.80}.")

    def _check_parts(self, whole: str, parts: tuple[str, ...]) -> None:
        total, limit = sum(getattr(self, part) for part in parts), getattr(self, whole)
        if total > limit:
            raise ValueError(f"{' + '.join(parts)} must be at most {whole}, got {total} of {limit}.")


_COUNTS: Final = tuple(name for name, field in TokenUsage.__dataclass_fields__.items() if field.type == "int")
_LABELS: Final = tuple(name for name, field in TokenUsage.__dataclass_fields__.items() if field.type == "str | None")

# Audio may be cached audio, so the kinds of media and the kinds of cache are two ways to divide the same prompt.
_PARTS: Final = (
    ("input_tokens", ("cached_input_tokens", "cache_write_tokens")),
    ("input_tokens", ("audio_input_tokens", "image_input_tokens")),
    ("cache_write_tokens", ("cache_write_1h_tokens",)),
    ("output_tokens", ("reasoning_tokens", "audio_output_tokens", "image_output_tokens")),
)

_counts_of: Final = attrgetter(*_COUNTS)
_labels_of: Final = attrgetter(*_LABELS)
_NO_LABELS: Final = (None,) * len(_LABELS)
_parts_of: Final = attrgetter(*(name for _, parts in _PARTS for name in parts))


def token_count(value: object, name: str) -> int:
    """Return a count of tokens. Raise TypeError for what is no int, ValueError for negative or absurd counts."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}: {value!r:.80}.")
    if value < 0:
        raise ValueError(f"{name} must not be negative, got {value}.")
    if value > MAX_TOKENS:
        raise ValueError(f"{name} must be at most {MAX_TOKENS:,}, got an integer of {value.bit_length()} bits.")
    return value
