"""``manage.py budget_drain``: writes the charges that wait in the journal to the database, at once or as they come."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import CommandError

from ...exceptions import BudgetUnavailableError
from ..backlog import overdue_holds
from ..command import BudgetCommand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.core.management.base import CommandParser

    from ...ledger.redis import RedisLedger
    from ...manager import BudgetManager

#: How long --follow waits when there was nothing to do: from the first to the second, doubling, in seconds.
SHORTEST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 8.0


@dataclass(frozen=True, slots=True)
class Drained:
    """What one round did: entries written, overdue holds ended, records that Redis was told of."""

    written: int
    ended: int
    told: int

    def __bool__(self) -> bool:
        return bool(self.written or self.ended or self.told)

    def __str__(self) -> str:
        return (
            f"{_count(self.written, 'charge')} written, {_count(self.ended, 'overdue hold')} ended, "
            f"{_count(self.told, 'uncounted record')} counted."
        )


class Command(BudgetCommand):
    """Does by hand, and for all entries, what workers do for each other after responses."""

    help = (
        "Write all charges that wait in the journal to the database, end holds past their deadline, and count records "
        "that were written while Redis was down. Workers do this by themselves; run it after an outage, or with "
        "--follow where there is not always traffic."
    )
    example = (
        "Example, as a service that leaves the workers what they are writing just now:\n"
        "  %(prog)s --follow --older-than 30"
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stop = threading.Event()

    def add_arguments(self, parser: CommandParser) -> None:
        """Add how long, and which entries."""
        parser.add_argument("--follow", action="store_true", help="Go on until SIGINT or SIGTERM.")
        parser.add_argument(
            "--older-than",
            type=float,
            default=0.0,
            metavar="SECONDS",
            help="Leave younger entries to the workers that made them. Default: take all.",
        )

    def work(self, budget: BudgetManager, options: dict[str, Any]) -> None:
        """Drain once, or until it is told to stop."""
        older_than = options["older_than"]
        if not 0 <= older_than < float("inf"):
            raise CommandError(f"--older-than must be 0 or more seconds, not {older_than}.")
        if not options["follow"]:
            self.stdout.write(str(self._drain(budget, older_than)))
            return
        with _set_by_signals(self.stop):
            self._follow(budget, older_than)

    def _follow(self, budget: BudgetManager, older_than: float) -> None:
        wait = 0.0
        while not self.stop.wait(wait):
            drained = self._drain_if_possible(budget, older_than)
            if drained:
                self.stdout.write(str(drained))
            wait = 0.0 if drained else min(max(2 * wait, SHORTEST_WAIT), LONGEST_WAIT)
        self.stdout.write("Stopped.")

    def _drain_if_possible(self, budget: BudgetManager, older_than: float) -> Drained | None:
        try:
            return self._drain(budget, older_than)
        except BudgetUnavailableError as error:
            self.stderr.write(f"Trying again: {error}")
            return None

    def _drain(self, budget: BudgetManager, older_than: float) -> Drained:
        written = self._write(budget, older_than)
        return Drained(written, _sweep(budget), _tell(budget.ledger))

    def _write(self, budget: BudgetManager, older_than: float) -> int:
        journal = budget.ledger.journal
        if not self.stdout.isatty():
            return budget.drive(journal.drain(older_than))
        total, _ = budget.drive(journal.backlog())
        written = budget.drive(journal.drain(older_than, progress=lambda done: self._show(done, total)))
        if written:
            self.stdout.write("")
        return written

    def _show(self, done: int, total: int) -> None:
        self.stdout.write(f"\r{done} of {_count(max(done, total), 'charge')} written", ending="")
        self.stdout.flush()


def _sweep(budget: BudgetManager) -> int:
    """End all overdue holds and return how many they were."""
    ledger = budget.ledger
    before, _ = budget.drive(overdue_holds(ledger))
    left, previous = before, before + 1
    while 0 < left < previous:
        for booking in budget.drive(ledger.journal.sweep()):
            budget.guard.report_swept(booking)
        previous, (left, _) = left, budget.drive(overdue_holds(ledger))
    return max(0, before - left)


def _tell(ledger: RedisLedger) -> int:
    """Tell Redis of all uncounted records and return how many they were."""
    told = 0
    while batch := ledger.run(ledger.journal.tell()):
        told += batch
    return told


@contextmanager
def _set_by_signals(stop: threading.Event) -> Iterator[None]:
    """Have SIGINT and SIGTERM set an event, where signals can be handled: on the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def set_aside(*_: object) -> None:
        # On a thread of its own: the interrupted one may hold the event's lock just now.
        threading.Thread(target=stop.set).start()

    before = {number: signal.signal(number, set_aside) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
