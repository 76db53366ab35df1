"""Reads fields of responses, be they objects of an SDK or plain dicts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, Final

__all__ = ["count", "label", "look_up", "number", "text_of"]

_NOT_PYDANTIC: Final = object()


def look_up(holder: object, *names: str) -> Any:
    """Return the first of these fields that an object or a mapping has and that is not None."""
    if type(holder) is dict or isinstance(holder, Mapping):  # most are; the abstract class takes its time
        get: Any = holder.get
    else:
        get = partial(_attribute, holder)
    for name in names:
        value = get(name)
        if value is not None:
            return value
    return None


def label(value: object) -> str:
    """Return the text of a label, which may be an enum of an SDK; empty if it is neither."""
    text = getattr(value, "value", value)
    return text if isinstance(text, str) else ""


def number(holder: object, *names: str) -> int:
    """Return the first of these fields that is an integer, else 0."""
    return count(holder, *names) or 0


def count(holder: object, *names: str) -> int | None:
    """Return the first of these fields that is an integer, else None."""
    for name in names:
        value = look_up(holder, name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def text_of(holder: object, *names: str) -> str | None:
    """Return the first of these fields that is a text and not blank, else None."""
    for name in names:
        value = look_up(holder, name)
        if isinstance(value, str) and value.strip():
            return value
    return None


def _attribute(holder: object, name: str) -> Any:
    extra: Any = getattr(holder, "__pydantic_extra__", _NOT_PYDANTIC)
    if extra is not _NOT_PYDANTIC:  # its getattr takes microseconds to say no, and most questions to a chunk end so
        stored = holder.__dict__
        if name in stored:
            return stored[name]
        kind: Any = type(holder)
        if not (extra and name in extra) and not _may_answer(kind, name):
            return None
    return getattr(holder, name, None)


@lru_cache(maxsize=4_096)
def _may_answer(kind: type, name: str) -> bool:
    """Return whether a class has a property or a private field of this name, or answers for itself."""
    answers = (base for base in kind.__mro__ if "__getattr__" in vars(base))
    return hasattr(kind, name) or any(not base.__module__.startswith("pydantic") for base in answers)
