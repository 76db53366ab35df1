"""Connections of threads: one that is not fit to be used again is dropped, and its place is free."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget.ledger.wires import Wires

if TYPE_CHECKING:
    from collections.abc import Iterator


class Wire:
    """A connection to a server that answers at once, on a real socket."""

    def __init__(self) -> None:
        self.unread = 0
        self._sock, self.far_end = socket.socketpair()
        self._parser = SimpleNamespace(_buffer=SimpleNamespace(unread_bytes=lambda: self.unread))

    def send_packed_command(self, command: list[bytes]) -> None:
        self.sent = command

    def read_response(self) -> str:
        return "PONG"

    def disconnect(self) -> None:
        self._sock.close()
        self.far_end.close()


class Pool:
    """Has room for one connection."""

    max_connections = 1

    def __init__(self) -> None:
        self.made: list[Wire] = []
        self.released: list[Wire] = []

    def get_connection(self) -> Wire:
        self.made.append(Wire())
        return self.made[-1]

    def release(self, wire: Wire) -> None:
        self.released.append(wire)


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool()
    yield made
    for wire in made.made:
        wire.disconnect()


def test_a_quiet_connection_is_used_again(pool: Pool) -> None:
    wires = Wires(pool, 5.0)  # type: ignore[arg-type]

    assert [wires.execute(("PING",)) for _ in range(3)] == ["PONG"] * 3
    assert (len(pool.made), pool.released) == (1, [])


def _ended(wire: Wire) -> None:
    wire.far_end.close()


def _spoke(wire: Wire) -> None:
    wire.far_end.send(b"+forgotten\r\n")


def _was_heard(wire: Wire) -> None:
    wire.unread = 12


def _closed(wire: Wire) -> None:
    wire._sock.close()


@pytest.mark.parametrize("happens", [_ended, _spoke, _was_heard, _closed])
def test_one_that_ended_or_has_something_to_read_is_dropped(pool: Pool, happens: Any) -> None:
    wires = Wires(pool, 5.0)  # type: ignore[arg-type]
    wires.execute(("PING",))
    happens(pool.made[0])

    assert [wires.execute(("PING",)) for _ in range(2)] == ["PONG"] * 2
    assert (len(pool.made), pool.released) == (2, [pool.made[0]])
