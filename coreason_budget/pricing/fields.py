"""Reads fields of responses, be they objects of an SDK or plain dicts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["count", "getter", "label", "look_up", "names_in", "number", "text_of"]

_NOT_PYDANTIC: Final = object()


def look_up(holder: object, *names: str) -> Any:
    """Return the first of these fields that an object or a mapping has and that is not None."""
    get = getter(holder)
    for name in names:
        value = get(name)
        if value is not None:
            return value
    return None


def getter(holder: Any) -> Callable[[str], Any]:
    """Return what tells a field of an object or a mapping by its name, None if it has none of that name."""
    kind: Any = type(holder)
    if kind is dict or _is_mapping(kind):
        get: Callable[[str], Any] = holder.get
        return get
    return _nothing if holder is None else partial(_attribute, holder)


def names_in(holder: Any, asked: frozenset[str]) -> frozenset[str]:
    """Return those of the names that are worth asking an object or a mapping for: the others it does not have."""
    kind: Any = type(holder)
    if kind is dict:
        return asked.intersection(holder)
    extra: Any = getattr(holder, "__pydantic_extra__", _NOT_PYDANTIC)
    if extra is _NOT_PYDANTIC:
        return asked
    return _answered(kind, asked).union(asked.intersection(holder.__dict__), asked.intersection(extra or ()))


def label(value: object) -> str:
    """Return the text of a label, which may be an enum of an SDK; empty if it is neither."""
    text = getattr(value, "value", value)
    return text if isinstance(text, str) else ""


def number(holder: object, *names: str) -> int:
    """Return the first of these fields that is an integer, else 0."""
    return count(holder, *names) or 0


def count(holder: object, *names: str) -> int | None:
    """Return the first of these fields that is an integer, else None."""
    get = getter(holder)
    for name in names:
        value = get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def text_of(holder: object, *names: str) -> str | None:
    """Return the first of these fields that is a text and not blank, else None."""
    get = getter(holder)
    for name in names:
        value = get(name)
        if isinstance(value, str) and value.strip():
            return value
    return None


def _nothing(_: str) -> None:
    return None


@lru_cache(maxsize=4_096)
def _is_mapping(kind: type) -> bool:
    return issubclass(kind, Mapping)  # the abstract class takes its time


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
def _answered(kind: type, names: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name in names if _may_answer(kind, name))


@lru_cache(maxsize=4_096)
def _may_answer(kind: type, name: str) -> bool:
    """Return whether a class has a property or a private field of this name, or answers for itself."""
    answers = (base for base in kind.__mro__ if "__getattr__" in vars(base))
    return hasattr(kind, name) or any(not base.__module__.startswith("pydantic") for base in answers)
