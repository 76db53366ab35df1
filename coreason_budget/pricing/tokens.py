"""Counts tokens without any network: an upper bound of messages before they are sent, and what was produced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from .encodings import token_counter

__all__ = ["MessageTokens", "count_messages", "count_output", "is_short"]

_PER_OBJECT: Final = 4
_REPLY: Final = 3

# What the largest image costs; gpt-4o-mini counts an image as many times the tokens that others do.
_IMAGE: Final = 5_000
_IMAGE_4O_MINI: Final = 50_000
_IMAGE_TYPES: Final = frozenset({"image", "image_url", "input_image"})
_AUDIO_TYPES: Final = frozenset({"audio", "input_audio"})
# Base64 characters per token of audio: far fewer than in a second of the most compressed speech.
_AUDIO_CHARS_PER_TOKEN: Final = 16


@dataclass(slots=True)
class MessageTokens:
    """What was counted: tokens in all, those of them that are audio, and whether the cache is asked for, how long."""

    tokens: int = 0
    audio: int = 0
    cache_for: set[str] = field(default_factory=set)


def count_messages(model: str, messages: object) -> MessageTokens:
    """
    Return an upper bound of the tokens of a prompt: text, or messages as dicts or SDK objects.

    Exact up to the framing of messages for models whose encoding litellm's package carries; twice that for models
    with a tokenizer of their own, never more than one token per byte. Raise TypeError for what is no message.
    """
    if not messages or not isinstance(messages, (str, Mapping, list, tuple)):
        raise TypeError(f"messages must be text or a list of messages, not {messages!r:.80}.")
    counted = MessageTokens(tokens=_REPLY)
    _Counter(model, counted).add(messages)
    return counted


def count_output(model: str, text: str) -> int:
    """
    Return the tokens of a text that a model has produced, for a stream that ended before its usage came.

    Exact for OpenAI's models whose encoding litellm's package carries, if no 4,000 characters of the text are without
    a space between Latin letters; else an upper bound, as for messages. Raise TypeError for what is no text.
    """
    for name, value in (("model", model), ("text", text)):
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a str, not {type(value).__name__}: {value!r:.80}.")
    return token_counter(model)(text)


def is_short(messages: object, most: int) -> bool:
    """Return whether a prompt has at most so many characters, or bytes, of what is to be counted."""
    parts, left = [messages], most
    while parts and left >= 0:
        part = parts.pop()
        if isinstance(part, (str, bytes, bytearray)):
            left -= len(part)
        elif isinstance(part, (Mapping, list, tuple)):
            left -= len(part)
            parts += part.values() if isinstance(part, Mapping) else part
        else:
            left -= 1
            parts += getattr(part, "__dict__", {}).values()  # of an SDK
    return left >= 0


class _Counter:
    def __init__(self, model: str, counted: MessageTokens) -> None:
        self._counted = counted
        self._image = _IMAGE_4O_MINI if "4o-mini" in model else _IMAGE
        self._count = token_counter(model)

    def add(self, value: object) -> None:
        """Add the tokens of a value. Objects of SDKs count as what they dump."""
        if value is None or isinstance(value, bool):
            self._counted.tokens += 1
        elif isinstance(value, str):
            self._add_text(value)
        elif isinstance(value, (int, float, Decimal)):
            self._add_text(str(value))
        elif isinstance(value, Mapping):
            self._add_mapping(value)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self.add(item)
        elif isinstance(value, (bytes, bytearray)):
            self._counted.tokens += len(value)
        else:
            self._add_object(value)

    def _add_mapping(self, value: Mapping[Any, Any]) -> None:
        media = _media(value)
        if media == "image":
            self._counted.tokens += self._image
        elif media == "audio":
            tokens = _data_size(value) // _AUDIO_CHARS_PER_TOKEN + 1
            self._counted.tokens += tokens
            self._counted.audio += tokens
        else:
            self._add_items(value)

    def _add_items(self, value: Mapping[Any, Any]) -> None:
        self._counted.tokens += _PER_OBJECT
        for key, item in value.items():
            if item is None:
                continue
            if key == "cache_control":
                self._counted.cache_for.add(str(item.get("ttl", "5m")) if isinstance(item, Mapping) else "5m")
                continue
            if key not in {"role", "content", "type", "text", "parts"}:  # the framing pays for these
                self._add_text(str(key))
            self.add(item)

    def _add_object(self, value: object) -> None:
        dump = getattr(value, "model_dump", None)
        if not callable(dump):
            raise TypeError(f"messages must hold text, numbers, lists, dicts or SDK objects, not {value!r:.80}.")
        self.add(dump(exclude_none=True))

    def _add_text(self, text: str) -> None:
        self._counted.tokens += self._count(text)


def _media(part: Mapping[Any, Any]) -> str | None:
    """Return what kind of media a part of a message is, if it is any."""
    if part.get("type") in _IMAGE_TYPES:
        return "image"
    if part.get("type") in _AUDIO_TYPES:
        return "audio"
    mime = str(part.get("mime_type") or part.get("mimeType") or "")
    return next((kind for kind in ("image", "audio") if mime.startswith(f"{kind}/")), None)


def _data_size(part: Mapping[Any, Any]) -> int:
    sizes = (_data_size(item) if isinstance(item, Mapping) else _size(item) for item in part.values())
    return sum(sizes)


def _size(item: object) -> int:
    return len(item) if isinstance(item, (str, bytes, bytearray)) else 0
