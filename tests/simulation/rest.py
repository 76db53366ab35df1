"""What must hold once all is quiet: the rest of a world, with nobody in it who does harm."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from coreason_budget import BudgetExceededError, BudgetUnavailableError

from . import windows
from .clock import HOUR, MINUTE, SECOND
from .model import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .model import Entry
    from .process import Process
    from .world import World

__all__ = ["Rest"]

#: What a hold of a worker lasts at most, and what housekeeping needs to find orphans.
LONGEST_HOLD: Final = 11 * MINUTE
ORPHANED: Final = 40 * SECOND
STEPS_AT_MOST: Final = 20_000


class Rest:
    """Lets a site come to rest, and looks at it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._auditor = world.auditor

    def settle(self) -> None:
        """Check that dead holds end, charges are written, and counters say what was spent. Raise BrokenPromiseError."""
        self._calm()
        for wait in (ORPHANED, LONGEST_HOLD, ORPHANED):
            self._pass(wait, self._world.visitors[:1])
        self._pass(ORPHANED, self._world.visitors)
        self._world.note("rest", "all is quiet")
        self._check_records()
        self._check_holds()
        self._check_thresholds()
        self._check_spent(exactly=not self._world.has_lost_data)
        if self._world.has_lost_data or self._world.seed % 4 == 0:
            for _ in range(2):
                self._pass(self._verify_every(), self._world.visitors)
            self._check_spent(exactly=True)
        if any(self._auditor.server.leaks.values()) or self._left_open():
            for wait in (26 * HOUR, 50 * HOUR, HOUR, 50 * HOUR, HOUR):
                self._pass(wait, self._world.visitors)
            self._check_nothing_is_held()

    def _verify_every(self) -> int:
        return round(self._world.config.verify_every * SECOND) + SECOND

    # letting time pass -----------------------------------------------------------------------------------------------

    def _pass(self, ms: int, callers: Sequence[tuple[Any, Any]]) -> None:
        """Let time pass, and have somebody call, so that house is kept."""
        self._world.clock.now += ms
        for process in self._world.processes:
            if process is self._world.processes[0] or process.budget.ledger.journal.pending:
                self._world.scheduler.spawn("caller", partial(self._call, process, callers), process)
        self._calm()

    def _call(self, process: Process, callers: Sequence[tuple[Any, Any]]) -> None:
        process.budget.guard.housekeeper.hurry()
        for user, project in callers:
            try:
                process.budget.check(user, project)
            except BudgetExceededError:
                continue
            except BudgetUnavailableError as error:
                self._auditor.broken("12. nothing stays unopened", user, project, error)

    def _calm(self) -> None:
        world = self._world
        for _ in range(STEPS_AT_MOST):
            tasks = world.scheduler.tasks
            if not any(task.name in {"later", "caller"} for task in tasks) and not any(
                process.is_busy for process in world.processes
            ):
                return
            world.step()
        self._auditor.broken("12. everything comes to rest", [task.name for task in world.scheduler.tasks])

    # looking at it ---------------------------------------------------------------------------------------------------

    def _check_records(self) -> None:
        """Check that what was accepted or booked is in the database, unless two things have failed at once."""
        auditor, world = self._auditor, self._world
        auditor.see_rows()
        rows = auditor.truth.rows
        auditor.require("10. the journal is empty", not auditor.server.journal, auditor.server.journal)
        for charge_id, booked in auditor.booked.items():
            alive = any(not process.dead for process in booked.makers)
            excused = booked.is_endangered and not alive
            auditor.require("10. nothing booked is lost", charge_id in rows or excused, charge_id, booked)
            if charge_id in rows:
                costs = {booked.entry.cost, *(other.cost for other in world.accepted if other.charge_id == charge_id)}
                by_its_cost = rows[charge_id].cost in costs or booked.times > 1
                auditor.require("3. by its cost", by_its_cost, booked, rows[charge_id])
                as_reset = rows[charge_id].reset == booked.entry.reset or booked.times > 1
                auditor.require("3. by what was reset", as_reset, booked, rows[charge_id])
        for accepted in world.accepted:
            booked_once = auditor.booked.get(accepted.charge_id)
            excused = accepted.process.dead and (booked_once is None or booked_once.is_endangered)
            auditor.require("10. nothing accepted is lost", accepted.charge_id in rows or excused, accepted)
        for row in rows.values():
            auditor.require("10. every record was told of", row.journal_id is not None, row)

    def _check_holds(self) -> None:
        """Check that of an expired hold that much was refunded as was taken back, and that nothing due is held."""
        auditor = self._auditor
        rows = auditor.truth.rows
        # A charge that comes again when its id is forgotten takes the money back twice, and the database once.
        repeated = {booked.entry.hold_id for booked in auditor.booked.values() if booked.times > 1}
        for hold_id, hold in auditor.server.holds.items():
            if hold.state == "expired" and not self._world.has_lost_data and hold_id not in repeated:
                kept = [row for row in rows.values() if row.hold_id == hold_id and row.kind in {"expired", "refund"}]
                net = sum(row.cost for row in kept)
                auditor.require("a late charge never pays twice", net == hold.rest, hold_id, hold, net, kept)
            if hold.state == "open" and hold.run == auditor.server.run and hold_id in auditor.server.deadlines:
                due = hold.deadline <= self._world.clock.server
                auditor.require("6. nothing stays held after its deadline", not due, hold_id, hold)

    def _left_open(self) -> bool:
        """Whether a hold is open that no sweep will find: its deadline was lost."""
        server = self._auditor.server
        return any(hold.state == "open" and hold.run == server.run and hold.left for hold in server.holds.values())

    def _check_nothing_is_held(self) -> None:
        for subject, account in self._world.gateway.accounts():
            if self._auditor.is_open(account):
                held = (account.held, account.held_before)
                self._auditor.require("6. what has leaked drops out by itself", held == (0, 0), subject, account)

    def _check_spent(self, *, exactly: bool) -> None:
        """
        Check that every counter says what was spent.

        After a loss that may take until the account has been verified: if who wrote a record died before it could say.
        """
        auditor, world = self._auditor, self._world
        for subject, account in world.gateway.accounts():
            if not auditor.is_open(account):
                auditor.broken("12. nothing stays unopened", subject, account)
            for code, state in account.periods.items():
                if not state.verified or not state.window:
                    continue
                span = windows.span(code, state.window, auditor.zone)
                rows = [row for row in auditor.truth.rows.values() if counted(row, subject, span)]
                total = sum(counted(row, subject, span) for row in rows)
                if not exactly and state.spent != total:
                    auditor.counts["wrong until verified"] += 1
                    excused = [*self._unsettled(subject), *self._gone(subject)]
                    auditor.require("7. a counter is wrong for a reason", excused, subject, code, state, total, rows)
                    continue
                auditor.require(
                    "7. spent is what was recorded", state.spent == total, subject, code, state, total, rows
                )

    def _unsettled(self, subject: str) -> list[str]:
        return [charge_id for charge_id, waiting in self._auditor.truth.unsettled.items() if subject in waiting]

    def _gone(self, subject: str) -> Iterator[Entry]:
        truth = self._auditor.truth
        for entry in truth.floating.values():
            row = truth.rows.get(entry.charge_id)
            if subject in entry.subjects and (row is None or truth.lost_twin(row) is not None):
                yield entry

    def _check_thresholds(self) -> None:
        """Check that every threshold that a charge passed was told, unless who should have is dead or was stopped."""
        for owed, charge_id in self._auditor.owed.items():
            booked = self._auditor.booked[charge_id]
            makers = booked.makers
            excused = not any(not process.dead for process in makers) or self._world.has_interrupted or booked.times > 1
            told = owed in self._world.ears.thresholds
            self._auditor.require("9. every threshold is told", told or excused, owed, charge_id, makers)
