"""Which encoding counts a model's tokens. Only those that are on this machine: litellm's package has OpenAI's."""

from __future__ import annotations

import hashlib
import os
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .litellm_prices import litellm_is_loaded, load_litellm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["is_loaded", "token_counter"]

# Texts are encoded in pieces, because the encoder's time grows faster than a piece.
_PIECE: Final = 4_000

# How many eighths of a token one token of our encoder can be in the model's own: the same encoding, o200k counted
# with its predecessor cl100k, and models whose tokenizer is not public.
_EXACT: Final = 8
_SUCCESSOR: Final = 9
_FOREIGN: Final = 16

# The file in tiktoken's cache with the ranks of o200k, and what it must hold. tiktoken downloads what is not there.
_O200K_FILE: Final = "fb374d419588a4632f3f557e76b4b70aebbca790"
_O200K_SHA256: Final = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
_O200K: Final = frozenset({"o200k_base", "o200k_harmony"})  # the same ranks, other special tokens


def is_loaded(model: str) -> bool:
    """Return whether a model's tokens can be counted without loading anything, which takes up to seconds."""
    if not litellm_is_loaded() or not _cl100k.cache_info().currsize:
        return False
    return _o200k.cache_info().currsize > 0 or _encoding_name(model) not in _O200K


def token_counter(model: str) -> Callable[[str], int]:
    """Return what counts the tokens of a text for a model: exactly, or more than it can have, up to one a byte."""
    name = _encoding_name(model)
    encode, eighths = _cl100k(), _FOREIGN
    if name == "cl100k_base":
        eighths = _EXACT
    elif name in _O200K:
        own = _o200k()
        encode, eighths = (encode, _SUCCESSOR) if own is None else (own, _EXACT)

    def count(text: str) -> int:
        counted = sum(len(encode(piece)) for piece in _pieces(text))
        return min(len(text.encode("utf-8", "replace")), -(-counted * eighths // 8))

    return count


@lru_cache(maxsize=1_024)  # names may come from users
def _encoding_name(model: str) -> str | None:
    import tiktoken

    name = model.rpartition("/")[2].removeprefix("ft:").partition(":")[0]
    try:
        found: str = tiktoken.encoding_name_for_model(name)
    except KeyError:
        return None
    return found


def _pieces(text: str) -> Iterator[str]:
    """Cut a text where every encoding does, before a space between two letters; elsewhere a cut only adds tokens."""
    start = 0
    while len(text) - start > _PIECE:
        end = start + _PIECE
        space = text.rfind(" ", start + 1, end)
        while space > start and not (_is_latin(text[space - 1]) and _is_latin(text[space + 1])):
            space = text.rfind(" ", start + 1, space)
        cut = space if space > start else end
        yield text[start:cut]
        start = cut
    yield text[start:]


def _is_latin(character: str) -> bool:
    return character.isascii() and character.isalpha()


@cache
def _cl100k() -> Callable[[str], list[int]]:
    # litellm points tiktoken at the files in its package here; tiktoken alone would download them.
    load_litellm()
    from litellm.litellm_core_utils.default_encoding import encoding

    encode: Callable[[str], list[int]] = encoding.encode_ordinary
    return encode


@cache
def _o200k() -> Callable[[str], list[int]] | None:
    """Return the encoder of gpt-4o and later, None where its file is not on this machine."""
    file = Path(os.environ.get("TIKTOKEN_CACHE_DIR", "")) / _O200K_FILE
    try:
        known = hashlib.sha256(file.read_bytes()).hexdigest() == _O200K_SHA256
    except OSError:  # an older litellm
        return None
    if not known:
        return None
    import tiktoken

    encoding: Any = tiktoken.get_encoding("o200k_base")
    encode: Callable[[str], list[int]] = encoding.encode_ordinary
    return encode
