"""Answers that litellm throws away to try again: the provider bills them too, and they say what they used."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["noting"]


def noting(tries: list[object], also: Any = None) -> Callable[[Mapping[str, Any]], None]:
    """
    Return a ``logger_fn`` for litellm that notes what came of each try. ``also`` is the caller's own.

    litellm calls it before each request and with the raw answer. It is a plain function because litellm copies its
    arguments deeply, and the copy of a function is that function.
    """

    def note(details: Mapping[str, Any]) -> None:
        if details.get("log_event_type") == "pre_api_call":
            tries.append(None)
        elif tries:
            tries[-1] = _fields(details.get("original_response"))
        if callable(also):
            also(details)

    return note


def _fields(raw: Any) -> Any:
    """Return a raw answer as fields, None if it is no JSON object: a stream, or half an answer."""
    try:
        answer = json.loads(raw) if isinstance(raw, (str, bytes)) else raw
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
