"""``manage.py budget_prune``: deletes old spend records and keeps what they came to, day by day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import CommandError
from django.db import Error as DatabaseError
from django.utils import timezone

from ...periods import from_ms
from ..backlog import server_now
from ..command import UNAVAILABLE, BudgetCommand, a_day
from ..pruning import Pruning, latest_day

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import date

    from django.core.management.base import CommandParser

    from ...manager import BudgetManager

BATCH_SIZE: Final = 2_000
LARGEST_BATCH: Final = 50_000
#: So many entries may stay in the journal after it was drained: such as come just now, or that the database refuses.
STILL_WAITING: Final = 10_000


class Command(BudgetCommand):
    """Has ``Pruning`` do it, once nothing of those days is on its way any more."""

    help = (
        "Delete the spend records booked before a day, and keep what they came to: a sum for each day, user, project, "
        "model and kind. Reports, the overview and accounts show the same as before, to the nano-dollar. What is gone "
        "are the single records: their charge ids, metadata, and that they can be refunded. The last five weeks "
        "cannot be pruned. Stop it when you like and start it again: it goes on. The exit code is 0 if all was "
        "pruned, 1 if records had to stay, which is said, or if the day is too young, 2 if Redis or the database does "
        "not answer."
    )
    example = (
        "Example, on the first of each month, what is older than a quarter of a year:\n"
        "  %(prog)s --before \"$(date -d '3 months ago' +%%F)\""
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add which records, and how."""
        parser.add_argument(
            "--before",
            type=a_day,
            required=True,
            metavar="DAY",
            help="The first day of which records stay, as 2026-08-01, in the budget's time zone.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Only say how many records that would be.")
        parser.add_argument(
            "--batch-size",
            type=int,
            default=BATCH_SIZE,
            metavar="N",
            help=f"So many records are pruned in a transaction, 1 to {LARGEST_BATCH}. Default: {BATCH_SIZE}.",
        )

    def work(self, budget: BudgetManager, options: dict[str, Any]) -> None:
        """Prune, and say what was pruned and what had to stay."""
        before, batch_size = options["before"], options["batch_size"]
        if not 1 <= batch_size <= LARGEST_BATCH:
            raise CommandError(f"--batch-size must be 1 to {LARGEST_BATCH}, not {batch_size}.")
        self._refuse_young(budget, before)
        try:
            if not options["dry_run"]:
                _write_what_waits(budget)
            pruning = Pruning(before, budget.config.time_zone, batch_size, _waiting(budget))
            self._prune(pruning, is_real=not options["dry_run"])
        except DatabaseError as error:
            raise CommandError(f"The database cannot be used: {error}", returncode=UNAVAILABLE) from error

    def _refuse_young(self, budget: BudgetManager, before: date) -> None:
        # By the earlier of two clocks: one that is ahead must not make records look old.
        now = min(timezone.now(), from_ms(budget.drive(server_now(budget.ledger))))
        latest = latest_day(now, budget.config.time_zone)
        if before > latest:
            raise CommandError(
                f"--before {before} is too young: accounts, refunds and redelivered charges may still need the records "
                f"of those days. The latest day that can be given is {latest}."
            )

    def _prune(self, pruning: Pruning, *, is_real: bool) -> None:
        done = self._carried_out(pruning) if is_real else pruning.count()
        staying = pruning.count_staying()
        verb = "pruned; their daily sums are kept" if is_real else "would be pruned"
        self.stdout.write(f"{_records(done)} before {pruning.before} {verb}.")
        if staying:
            self.stdout.write(
                f"{_records(staying)} of these days {'stays' if staying == 1 else 'stay'}: not counted by the ledger "
                "yet, or still in its journal. Run manage.py budget_drain, look at what it says, and prune again."
            )
            self.end_as_found()

    def _carried_out(self, pruning: Pruning) -> int:
        is_watched = self.stderr.isatty()
        total = pruning.count() if is_watched else 0
        done = 0
        for pruned in pruning.batches():
            done += pruned
            if is_watched:
                self.stderr.write(f"\r{done} of {_records(max(done, total))} pruned", str, ending="")
                self.stderr.flush()
        if is_watched and done:
            self.stderr.write("")
        return done


def _write_what_waits(budget: BudgetManager) -> None:
    """Write the journal's entries, and count the records that Redis was not told of."""
    journal = budget.ledger.journal
    budget.drive(journal.drain())
    while budget.drive(journal.tell()):
        pass


def _waiting(budget: BudgetManager) -> Collection[str]:
    waiting: set[str] = budget.drive(budget.ledger.journal.charge_ids(STILL_WAITING))
    if len(waiting) > STILL_WAITING:
        raise CommandError(
            f"More than {STILL_WAITING} charges wait in the journal: run manage.py budget_drain before.",
        )
    return waiting


def _records(number: int) -> str:
    return "1 record" if number == 1 else f"{number} records"
