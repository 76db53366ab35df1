"""Counts the tokens of messages before they are sent: an upper bound, without any network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from .litellm_prices import load_litellm

__all__ = ["MessageTokens", "count_messages", "count_output"]

# Texts are encoded in pieces, because the encoder's time grows faster than a piece; cutting only adds tokens.
_PIECE: Final = 4_000
_PER_OBJECT: Final = 4
_REPLY: Final = 3

# What the largest image costs; gpt-4o-mini counts an image as many times the tokens that others do.
_IMAGE: Final = 5_000
_IMAGE_4O_MINI: Final = 50_000
_IMAGE_TYPES: Final = frozenset({"image", "image_url", "input_image"})
_AUDIO_TYPES: Final = frozenset({"audio", "input_audio"})
# Base64 characters per token of audio: far fewer than in a second of the most compressed speech.
_AUDIO_CHARS_PER_TOKEN: Final = 16

# How many eighths of a token one token of our encoder (cl100k) can be in the model's own: the same encoding, its
# successor, and models whose tokenizer is not public.
_EXACT: Final = 8
_SUCCESSOR: Final = 9
_FOREIGN: Final = 16


@dataclass(slots=True)
class MessageTokens:
    """What was counted: tokens in all, those of them that are audio, and whether the cache is asked for, how long."""

    tokens: int = 0
    audio: int = 0
    cache_for: set[str] = field(default_factory=set)


def count_messages(model: str, messages: object) -> MessageTokens:
    """
    Return an upper bound of the tokens of a prompt: text, or messages as dicts or SDK objects.

    Exact up to the framing of messages for models with the encoding that litellm carries; twice that for models with
    a tokenizer of their own, never more than one token per byte. Raise TypeError for what is no message.
    """
    if not messages or not isinstance(messages, (str, Mapping, list, tuple)):
        raise TypeError(f"messages must be text or a list of messages, not {messages!r:.80}.")
    counted = MessageTokens(tokens=_REPLY)
    _Counter(model, counted).add(messages)
    return counted


def count_output(model: str, text: str) -> int:
    """Return the tokens of a text that a model has produced, for answers that broke off before their usage."""
    encode = _encoder()
    return sum(len(encode(text[start : start + _PIECE])) for start in range(0, len(text), _PIECE))


class _Counter:
    def __init__(self, model: str, counted: MessageTokens) -> None:
        self._counted = counted
        self._eighths = _eighths(model)
        self._image = _IMAGE_4O_MINI if "4o-mini" in model else _IMAGE
        self._encode = _encoder()

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
        size = len(text.encode("utf-8", "replace"))
        pieces = (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))
        counted = sum(len(self._encode(piece)) for piece in pieces)
        self._counted.tokens += min(size, -(-counted * self._eighths // 8))


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


def _eighths(model: str) -> int:
    import tiktoken

    name = model.rpartition("/")[2].removeprefix("ft:").partition(":")[0]
    try:
        encoding = tiktoken.encoding_name_for_model(name)
    except KeyError:
        return _FOREIGN
    return {"cl100k_base": _EXACT, "o200k_base": _SUCCESSOR}.get(encoding, _FOREIGN)


def _encoder() -> Any:
    # litellm points tiktoken at the file in its package here; tiktoken alone would download it.
    load_litellm()
    from litellm.litellm_core_utils.default_encoding import encoding

    encode: Any = encoding.encode_ordinary
    return encode
