"""What it costs to know afterwards why a call was refused: the caller's time, the server's, and its memory."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from statistics import median
from time import process_time_ns
from typing import TYPE_CHECKING

from coreason_budget import BudgetExceededError
from coreason_budget.ledger.outcomes import Refused
from coreason_budget.periods import PERIODS, from_ms, window_at
from coreason_budget.refusals.places import Place, placed
from coreason_budget.scopes import subjects_of

from .measure import Contestant, compare, rows_of
from .server import managers
from .tables import Row, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coreason_budget import BudgetManager

    from .stage import Options

__all__ = ["measure"]

PLACE = Place(lambda: "shop.views.assistant.ask", "/shop/assistant/ask/")


def measure(options: Options) -> Iterator[Row]:
    """Return the times of refusals that are noted and of such that are not, and the bytes of a note."""
    (many,) = options.sizes(full=(10_000,), quick=(1_000,))
    with managers({0: {"refusals_kept": 0}, many: {"refusals_kept": many}}) as made:
        without, noting = made[0], made[many]
        before = "a refused reserve, counted alone"
        contestants = [
            Contestant(before, lambda: _refused(without, "ann")),
            Contestant("a refused reserve of a client that hammers", lambda: _refused(noting, "ann"), than=before),
        ]
        times = compare(contestants, rounds=options.rounds, calls=options.calls)
        yield from rows_of("refusals", contestants, times)
        yield from _notes(noting, options)
        yield _memory(noting, many)


def _refused(manager: BudgetManager, user: str) -> None:
    with placed(PLACE), suppress(BudgetExceededError):
        manager.reserve(user, "search", amount="1000")


@dataclass(frozen=True, slots=True)
class _Refusals:
    """Refusals as the ledger gives them, without asking it."""

    manager: BudgetManager

    def note(self, user: str) -> None:
        """Have one noted."""
        ledger = self.manager.ledger
        deposit = ledger.deposit(subjects_of(user, "search"))
        now = ledger.now()
        window = window_at(PERIODS[0], from_ms(now), ledger.config.time_zone).id
        told = Refused(deposit.subjects[0], PERIODS[0], window, 853_456_789, 12_000_000, 10**9, first=False, now=now)
        with placed(PLACE):
            self.manager.guard.refusals.note(told, deposit, 250_000_000)


def _notes(manager: BudgetManager, options: Options) -> Iterator[Row]:
    """Return the caller's CPU for a note, with that of the thread that writes them."""
    numbers = count()
    refusals = _Refusals(manager)
    kinds: dict[str, Callable[[], str]] = {
        "a note of a client that hammers: CPU of the process": lambda: "7b9e6f0a",
        "a note of a client that was not seen before: CPU of the process": lambda: f"user-{next(numbers)}",
    }
    for name, user in kinds.items():
        micros = []
        for _ in range(options.rounds):
            start = process_time_ns()
            for _ in range(options.calls):
                refusals.note(user())
            manager.guard.refusals.flush(60)
            micros.append((process_time_ns() - start) / options.calls / 1_000)
        yield Row("refusals", name, median(micros), "µs", spread=spread(micros))


def _memory(manager: BudgetManager, many: int) -> Row:
    """Return the server's bytes for a note, of as many as are kept."""
    client = manager.ledger.connections.client()
    keys = manager.ledger.keys
    client.delete(keys.refusals, keys.refusal_times)
    before = client.info("memory")["used_memory"]
    refusals = _Refusals(manager)
    for number in range(many):
        refusals.note(f"7b9e6f0a-{number:06}")
        if number % 500 == 0:
            manager.guard.refusals.flush(60)
    manager.guard.refusals.flush(60)
    if (kept := client.hlen(keys.refusals)) != many:
        raise RuntimeError(f"{kept} notes of {many} are kept")
    return Row("refusals", f"a note, of {many:,}", (client.info("memory")["used_memory"] - before) / many, "bytes")
