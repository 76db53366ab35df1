"""The events that a reader of an SDK's stream gets: without those that only we have asked for, and once."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Self

from ...exceptions import StreamConsumedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .answers import Wire

__all__ = ["relay"]


def relay(stream: Any, wire: Wire, hides: Callable[[Any], bool]) -> Any:
    """Have an SDK's stream, whose response is metered, give its events to its reader through us; return it."""
    # Of a copy: a generator that referred to the stream would form a cycle with it, and a stream that is thrown away
    # would end only when cycles are collected.
    source = copy(stream)
    vars(source).pop("_iterator", None)
    vars(stream)["_iterator"] = _Events(source.__stream__(), wire, hides)
    return stream


class _Events:
    """Events of a plain or an asynchronous stream."""

    def __init__(self, events: Any, wire: Wire, hides: Callable[[Any], bool]) -> None:
        self._events = events
        self._wire = wire
        self._hides = hides
        self._is_over = False

    def __del__(self) -> None:
        self._wire.abandon()  # before the SDK closes the response, which would look as if the reader had done so

    def __iter__(self) -> Self:
        self._begin()
        return self

    def __aiter__(self) -> Self:
        self._begin()
        return self

    def __next__(self) -> Any:
        self._is_over = True
        event = next(self._events)
        while self._hides(event):
            event = next(self._events)
        self._is_over = False
        return event

    async def __anext__(self) -> Any:
        self._is_over = True
        event = await anext(self._events)
        while self._hides(event):
            event = await anext(self._events)
        self._is_over = False
        return event

    def _begin(self) -> None:
        if self._is_over:
            raise StreamConsumedError(
                "This stream was read to its end: a provider sends an answer once. Keep its chunks in a list to go "
                "through them again."
            )
