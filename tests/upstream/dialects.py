"""What a provider's protocol must be able to say, and the two ways to write an event of a stream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .calls import Call, Piece

__all__ = ["Dialect", "StreamDialect", "data", "event"]


class Dialect(Protocol):
    """A provider's protocol. Everything is said of a call as far as it is booked."""

    def produce(self, call: Call) -> None:
        """Book all of a plain answer."""

    def whole(self, call: Call) -> Mapping[str, Any]:
        """Return the plain answer."""

    def refusal(self, status: int) -> Mapping[str, Any]:
        """Return the body of an error."""


@runtime_checkable
class StreamDialect(Dialect, Protocol):
    """A protocol that has streams too."""

    def opening(self, call: Call) -> Iterator[bytes]:
        """Return the events before the first piece."""

    def piece(self, call: Call, piece: Piece) -> Iterator[bytes]:
        """Return the events of one piece."""

    def closing(self, call: Call) -> Iterator[bytes]:
        """Return the events after the last piece, the usage among them."""

    def failing(self, call: Call) -> Iterator[bytes]:
        """Return the events with which a stream fails in its middle."""


def data(value: Mapping[str, Any]) -> bytes:
    """Return an event that has no name."""
    return f"data: {json.dumps(value)}\n\n".encode()


def event(value: Mapping[str, Any]) -> bytes:
    """Return an event under the name of its type."""
    return f"event: {value['type']}\n".encode() + data(value)
