"""The way from a process to the server, on which requests and replies are delayed, lost and doubled."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import redis

from .commands import name_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from .process import Process

__all__ = ["Fate", "Wires"]


class Fate(Enum):
    """What becomes of a command."""

    ARRIVES = auto()
    REFUSED = auto()  # nobody listens
    LOST = auto()  # the request
    LATE = auto()  # it is executed after the client has given up
    UNANSWERED = auto()  # the reply is lost
    DOUBLED = auto()  # it is executed again after its reply


class Wires:
    """What ``ledger.connection.Connections`` is to a ledger; it leads to the server of a world."""

    def __init__(self, process: Process, timeout: float) -> None:
        self.timeout = timeout
        self._process = process
        self._timeout_ms = round(timeout * 1000)

    def execute(self, args: Sequence[Any]) -> Any:
        """Send a command from a thread."""
        scheduler, exchange = self._process.world.scheduler, self._exchange(args)
        try:
            while True:
                scheduler.park(next(exchange))
        except StopIteration as stop:
            return stop.value

    async def aexecute(self, args: Sequence[Any]) -> Any:
        """Send a command from an event loop."""
        scheduler, exchange = self._process.world.scheduler, self._exchange(args)
        while True:
            try:
                wait = next(exchange)
            except StopIteration as stop:
                return stop.value
            await scheduler.apark(wait)

    def close(self) -> None:
        """Nothing is open."""

    async def aclose(self) -> None:
        """Nothing is open."""

    def _exchange(self, args: Sequence[Any]) -> Generator[int, None, Any]:
        """Yield how long to wait, in ms; return the reply."""
        world, adversary = self._process.world, self._process.world.adversary
        yield adversary.delay()
        fate = adversary.fate(args)
        if fate is not Fate.ARRIVES:
            world.note(self._process.name, f"{name_of(args) or args[0]} {fate.name}")
        if fate is Fate.REFUSED:
            raise redis.ConnectionError("refused") from ConnectionRefusedError()
        if fate is Fate.LATE:
            world.send_later(adversary.lateness(self._timeout_ms), args)
        if fate in {Fate.LOST, Fate.LATE}:
            yield self._timeout_ms
            raise redis.TimeoutError("no answer")
        reply = world.gateway.serve(args, self._process)
        if fate is Fate.DOUBLED:
            world.send_later(adversary.lateness(0), args)
        if fate is Fate.UNANSWERED:
            yield self._timeout_ms
            raise redis.TimeoutError("no answer")
        yield adversary.delay()
        if isinstance(reply, Exception):
            raise reply
        world.auditor.delivered(args, reply, self._process)
        return reply
