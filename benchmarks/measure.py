"""Interleaved timing: every contestant gets a turn in every round, so that a slow moment of the machine hits all."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Contestant", "Row", "compare"]


@dataclass(frozen=True, slots=True)
class Contestant:
    """One thing to time. ``before`` and ``after`` run outside of the timing, around each of its turns."""

    name: str
    work: Callable[[], object]
    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None


@dataclass(frozen=True, slots=True)
class Row:
    """The time of one contestant per call in µs, and as a multiple of the first one's, each round for itself."""

    name: str
    micros: float
    ratio: float
    lowest: float
    highest: float


def compare(contestants: Sequence[Contestant], *, rounds: int, calls: int) -> list[Row]:
    """Return a row per contestant: medians over the rounds, and the spread (5th to 95th percentile) of the ratios."""
    times: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    for _ in range(rounds):
        for contestant in contestants:
            times[contestant.name].append(_turn(contestant, calls))
    first = times[contestants[0].name]
    return [_row(contestant.name, times[contestant.name], first) for contestant in contestants]


def _turn(contestant: Contestant, calls: int) -> float:
    contestant.before()
    start = perf_counter_ns()
    for _ in range(calls):
        contestant.work()
    elapsed = perf_counter_ns() - start
    contestant.after()
    return elapsed / calls / 1_000


def _row(name: str, own: list[float], first: list[float]) -> Row:
    ratios = sorted(mine / its for mine, its in zip(own, first, strict=True))
    low, high = ratios[len(ratios) // 20], ratios[-1 - len(ratios) // 20]
    return Row(name, median(own), median(ratios), low, high)
