"""Reads fields of responses, be they objects of an SDK or plain dicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["count", "label", "look_up", "number", "text_of"]


def look_up(holder: object, *names: str) -> Any:
    """Return the first of these fields that an object or a mapping has and that is not None."""
    for name in names:
        value = holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
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
