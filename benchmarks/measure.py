"""Interleaved timing: every contestant gets a turn in every round, so that a slow moment of the machine hits all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING, Any

from .tables import Row, spread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["Contestant", "Times", "compare", "rows_of"]


@dataclass(frozen=True, slots=True)
class Contestant:
    """
    One thing to time, a function or one that returns an awaitable; ``than`` names what it is compared with.

    ``before`` and ``after`` run outside of the timing, around each of its turns.
    """

    name: str
    work: Callable[[], Any]
    than: str = ""
    is_async: bool = False
    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None


@dataclass(frozen=True, slots=True)
class Times:
    """What a contestant took in each round, per call: µs of wall clock and µs of CPU of the whole process."""

    wall: list[float]
    cpu: list[float]


def compare(contestants: Sequence[Contestant], *, rounds: int, calls: int) -> dict[str, Times]:
    """Return the times of each contestant by its name."""
    times = {contestant.name: Times([], []) for contestant in contestants}
    with asyncio.Runner() as runner:
        for _ in range(rounds):
            for contestant in contestants:
                wall, cpu = _turn(contestant, calls, runner)
                times[contestant.name].wall.append(wall)
                times[contestant.name].cpu.append(cpu)
    return times


def rows_of(part: str, contestants: Sequence[Contestant], times: dict[str, Times]) -> list[Row]:
    """Return a row for each contestant: the median of its wall clock, and the ratio round by round."""
    rows = []
    for contestant in contestants:
        wall = times[contestant.name].wall
        base = times[contestant.than or contestant.name].wall
        ratios = [mine / its for mine, its in zip(wall, base, strict=True)]
        rows.append(Row(part, contestant.name, median(wall), "µs", ratio=median(ratios), spread=spread(ratios)))
    return rows


def _turn(contestant: Contestant, calls: int, runner: asyncio.Runner) -> tuple[float, float]:
    contestant.before()
    start, cpu = perf_counter_ns(), process_time_ns()
    if contestant.is_async:
        runner.run(_repeated(contestant.work, calls))
    else:
        for _ in range(calls):
            contestant.work()
    elapsed, spent = perf_counter_ns() - start, process_time_ns() - cpu
    contestant.after()
    return elapsed / calls / 1_000, spent / calls / 1_000


async def _repeated(work: Callable[[], Awaitable[object]], calls: int) -> None:
    for _ in range(calls):
        await work()
