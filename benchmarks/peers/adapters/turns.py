"""The turns that an adapter takes when it is told to on its standard input: a JSON object a line, there and back."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import version
from statistics import median
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

__all__ = ["PROJECT", "STORE", "WIDE", "Adapter", "Way", "micros", "serve"]

#: Where the peer keeps its counters; the program that runs the adapter says so.
STORE: Final = os.environ.get("PEER_STORE", "")
PROJECT: Final = "search"
#: A limit in USD that nobody reaches.
WIDE: Final = "100000"
#: How many of a kind are timed before those of the other: the first of them find caches cold, the median does not.
IN_A_ROW: Final = 10


@dataclass(frozen=True, slots=True)
class Way:
    """
    A way to call a peer, with functions or with ones that return awaitables.

    ``call`` asks for an estimate (USD, as text), waits for ``during`` and books a cost. It raises one of the adapter's
    ``refusals`` if the budget says no. A variant of another way differs from it only in time, and shares its ping.
    """

    ping: Callable[[], Any]
    call: Callable[[str, str, Callable[[], Any]], Any]
    is_async: bool = False
    variant_of: str = ""


class Adapter:
    """A peer, as its documentation says it is used."""

    distribution = ""
    client = "redis"
    refusals: tuple[type[Exception], ...] = ()

    def open(self, user: str, limit: str, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> dict[str, Way]:
        """Return the ways to call for a user with a limit in USD; project and site have WIDE ones."""
        raise NotImplementedError

    def begin(self, way: str) -> None:
        """Keep still until settle() what works in the background and would disturb the figures of this way."""

    def settle(self) -> None:
        """Wait until all is done that the peer leaves to the background."""


def micros(usd: str) -> int:
    """Return an amount in millionths of a USD, for peers that count whole numbers."""
    return int(Decimal(usd) * 1_000_000)


def serve(adapter: Adapter) -> None:
    """Take turns until standard input ends."""
    talk = _Talk()
    with asyncio.Runner() as runner:
        turns = _Turns(adapter, runner, talk)
        client = f"{'redis-py' if adapter.client == 'redis' else adapter.client} {version(adapter.client)}"
        talk.say(version=version(adapter.distribution), client=client)
        for line in talk.lines:
            order = json.loads(line)
            talk.say(**getattr(turns, order.pop("do"))(**order))


class _Talk:
    """The pipe to the program that tells the adapter its turns; whatever else is printed goes to standard error."""

    def __init__(self) -> None:
        self.lines = sys.stdin
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def say(self, **answer: object) -> None:
        print(json.dumps(answer), file=self._answers, flush=True)

    def pause(self) -> None:
        """Tell that a call is under way and wait until it may go on."""
        self.say(paused=True)
        self.lines.readline()


class _Turns:
    """What an adapter may be told to do, each with the answer that it gives."""

    def __init__(self, adapter: Adapter, runner: asyncio.Runner, talk: _Talk) -> None:
        self._adapter = adapter
        self._runner = runner
        self._talk = talk
        self._ways: dict[str, Way] = {}

    def open(self, user: str, limit: str) -> dict[str, object]:
        self._ways = self._adapter.open(user, limit, self._runner.run)
        variants = {name: way.variant_of for name, way in self._ways.items() if way.variant_of}
        return {"ways": list(self._ways), "variants": variants}

    def turn(self, way: str, calls: int, estimate: str, cost: str) -> dict[str, object]:
        """Ask the store and call, some of each in turn; return medians in µs, which other work hardly moves."""
        chosen = self._ways[way]
        during = _anothing if chosen.is_async else _nothing
        times: dict[str, list[int]] = {"ping": [], "call": []}
        self._adapter.begin(way)
        while len(times["call"]) < calls:
            times["ping"] += self._timed(chosen, chosen.ping)
            times["call"] += self._timed(chosen, lambda: chosen.call(estimate, cost, during))
        self._adapter.settle()
        return {name: median(each) / 1_000 for name, each in times.items()}

    def watched(self, way: str, estimate: str, cost: str) -> dict[str, object]:
        """Call once, with a pause after asking and a pause after booking; then settle."""
        chosen = self._ways[way]
        self._adapter.begin(way)
        if chosen.is_async:
            self._runner.run(_awaited(chosen.call(estimate, cost, self._apause)))
        else:
            chosen.call(estimate, cost, self._talk.pause)
        self._talk.pause()
        self._adapter.settle()
        return {}

    def crowd(self, way: str, callers: int, amount: str) -> dict[str, object]:
        """Let all ask at once; whoever may calls, and all calls are under way before the first is booked."""
        chosen = self._ways[way]
        results = self._tasks(chosen, callers, amount) if chosen.is_async else self._threads(chosen, callers, amount)
        self._adapter.settle()
        failures = {result for result in results if result not in {"called", "refused"}}
        return {"called": results.count("called"), "failures": sorted(failures)}

    async def _apause(self) -> None:
        self._talk.pause()

    def _timed(self, way: Way, work: Callable[[], Any]) -> list[int]:
        return self._runner.run(_arepeated(work)) if way.is_async else _repeated(work)

    def _threads(self, way: Way, callers: int, amount: str) -> list[str]:
        barrier = threading.Barrier(callers)

        def caller(_: int) -> str:
            asked = threading.Event()

            def during() -> None:
                asked.set()
                barrier.wait()

            try:
                way.call(amount, amount, during)
            except Exception as error:  # noqa: BLE001 - whatever fails is told
                if not asked.is_set():
                    barrier.wait()
                return self._told(error, was_called=asked.is_set())
            return "called"

        with ThreadPoolExecutor(callers) as pool:
            return list(pool.map(caller, range(callers)))

    def _tasks(self, way: Way, callers: int, amount: str) -> list[str]:
        async def caller(barrier: asyncio.Barrier) -> str:
            asked = asyncio.Event()

            async def during() -> None:
                asked.set()
                await barrier.wait()

            try:
                await way.call(amount, amount, during)
            except Exception as error:  # noqa: BLE001 - whatever fails is told
                if not asked.is_set():
                    await barrier.wait()
                return self._told(error, was_called=asked.is_set())
            return "called"

        async def all_callers() -> list[str]:
            barrier = asyncio.Barrier(callers)
            return await asyncio.gather(*(caller(barrier) for _ in range(callers)))

        return self._runner.run(all_callers())

    def _told(self, error: Exception, *, was_called: bool) -> str:
        if was_called:
            return "called"  # the money is gone, whatever became of its booking
        return "refused" if isinstance(error, self._adapter.refusals) else f"{type(error).__name__}: {error}"


def _repeated(work: Callable[[], object]) -> list[int]:
    times = []
    for _ in range(IN_A_ROW):
        start = perf_counter_ns()
        work()
        times.append(perf_counter_ns() - start)
    return times


async def _arepeated(work: Callable[[], Awaitable[object]]) -> list[int]:
    times = []
    for _ in range(IN_A_ROW):
        start = perf_counter_ns()
        await work()
        times.append(perf_counter_ns() - start)
    return times


def _nothing() -> None:
    pass


async def _anothing() -> None:
    pass


async def _awaited(awaitable: Awaitable[object]) -> None:
    await awaitable
