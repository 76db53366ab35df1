"""
The auditor: looks at every script that the server of a world has run, at what it held before and holds now, and says
what promise is broken.

The rules of each script are in ``decisions.py`` (what moves money) and ``repairs.py`` (what mends counters); what must
hold once all is quiet is in ``rest.py``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import decisions, repairs, windows
from .commands import booked_by
from .model import Booked, Entry, Server, Truth

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from .inspection import Account
    from .process import Process
    from .served import Served
    from .world import World

__all__ = ["Auditor", "BrokenPromiseError"]


class BrokenPromiseError(AssertionError):
    """A promise of the ledger does not hold."""


class Auditor:
    """Knows what the server must hold and what was spent, and compares."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.zone = world.config.time_zone
        self.server = Server(world.gateway.store.run_id)
        self.truth = Truth(self.server)
        self.booked: dict[str, Booked] = {}
        self.begun: dict[str, tuple[int, int]] = {}
        self.owed: dict[tuple[str, str, int, int], str] = {}
        self.steps = 0
        self.counts: Counter[str] = Counter()
        self._version = -1
        self._checks = decisions.CHECKS | repairs.CHECKS

    def broken(self, promise: str, *details: object) -> None:
        """Say that a promise is broken."""
        if promise in self.world.tolerated:
            self.counts[f"tolerated: {promise}"] += 1
            return
        complaint = f"{promise}: {' | '.join(map(str, details))}"
        self.world.complaints.append(complaint)  # whoever asked may swallow the error
        raise BrokenPromiseError(complaint)

    def require(self, promise: str, holds: object, *details: object) -> None:
        """Say that a promise is broken unless it holds."""
        if not holds:
            self.broken(promise, *details)

    # what happens ----------------------------------------------------------------------------------------------------

    def served(self, served: Served) -> None:
        """Look at a script that has run."""
        self.steps += 1
        self.see_rows()
        self.counts[f"{served.name} {served.reply[0]}"] += 1
        self._checks[served.name](self, served)
        self._compare_sizes(served)
        for subject in self.world.subjects:
            account = served.after.account(subject)
            if self.is_mine(account):
                self.check_held(subject, account)
            if self.is_open(account) and subject in self.server.opened:
                self.check_spent(subject, account)

    def delivered(self, args: Sequence[Any], reply: Any, process: Process) -> None:
        """Note that a process has heard a reply: what was booked is in its memory now."""
        for charge_id in booked_by(args, reply):
            booked = self.booked.get(charge_id)
            if booked is not None and process not in booked.makers:
                booked.makers.append(process)

    def see_rows(self) -> None:
        """Look at the database, if it has changed. A row that the journal has not may be news to the server."""
        tables = self.world.tables
        if tables.version == self._version:
            return
        self._version = tables.version
        known, self.truth.rows = self.truth.rows, tables.rows()
        for charge_id, row in self.truth.rows.items():
            old = known.get(charge_id)
            if old is None:
                self.truth.unsettled[charge_id] = dict.fromkeys(row.subjects, self.steps)
            elif (old.cost, old.subjects, old.at, old.reset) != (row.cost, row.subjects, row.at, row.reset):
                self.broken("10. a record never changes", old, row)
        for charge_id in known:
            self.require("10. a record never goes", charge_id in self.truth.rows, charge_id)

    def book(self, entry: Entry, process: Process | None) -> None:
        """Note a booking in the journal."""
        self.server.journal[entry.journal_id] = entry
        booked = self.booked.get(entry.charge_id)
        if booked is None:
            self.booked[entry.charge_id] = Booked(entry)
        else:
            booked.times += 1

    # what the adversary does -----------------------------------------------------------------------------------------

    def lost_all(self) -> None:
        """All data of the server is gone."""
        self._endanger(self.server.journal.values())
        self.server = Server(self.world.gateway.store.run_id)
        self.truth.server = self.server

    def restored(self, server: Server) -> None:
        """The data of an older dump is there, on a server of another run."""
        kept = {entry.journal_id for entry in server.journal.values()}
        self._endanger(entry for entry in self.server.journal.values() if entry.journal_id not in kept)
        self.server = server
        self.server.run = self.world.gateway.store.run_id
        self.truth.server = self.server

    def lost_key(self, key: str) -> None:
        """One key is gone, by the adversary or at the end of its life."""
        kind, _, name = key.partition("}:")[2].partition(":")
        match kind:
            case "a":
                self.server.opened.discard(name)
            case "r":
                self.server.forget_hold(name)
            case "c":
                self.server.memory.pop(name, None)
            case "journal":
                self._endanger(self.server.journal.values())
                self.server.journal.clear()
            case "deadlines":
                self.server.deadlines.clear()
            case _:
                self.broken("a key that nobody knows", key)

    def _endanger(self, entries: Any) -> None:
        self.see_rows()
        for entry in entries:
            self.booked[entry.charge_id].is_endangered = True
            self.truth.floating.setdefault(entry.charge_id, entry)

    # comparing -------------------------------------------------------------------------------------------------------

    def is_mine(self, account: Account, terms: Mapping[str, Sequence[Any]] | None = None) -> bool:
        """Whether an account belongs to the server's run, and is in no window after all that the caller knows."""
        if not account.exists or account.run != self.server.run:
            return False
        if terms is None:
            return True
        return all(not state.window or state.window <= terms[code][2] for code, state in account.periods.items())

    def is_open(self, account: Account, terms: Mapping[str, Sequence[Any]] | None = None) -> bool:
        """Whether an account says that it may be decided on."""
        return self.is_mine(account, terms) and bool(account.generation) and not account.doubt

    def is_beginning(self, account: Account, instant: int) -> bool:
        """Whether an account has to be summed before it enters the windows of an instant, where it has spent before."""
        return account.later and any(
            state.window and state.window < windows.window_at(code, instant, self.zone)
            for code, state in account.periods.items()
        )

    def is_entering(self, before: Account, after: Account) -> bool:
        """Whether an account has entered a window in which it may have spent before."""
        return before.later and any(
            was.window and was.window != after.periods[code].window for code, was in before.periods.items()
        )

    def moment(self, served: Served, subjects: Collection[str]) -> int:
        """Return the instant that counts for accounts: the server's, but in no window before one that they are in."""
        instant, terms = served.now, served.terms
        for subject in subjects:
            account = served.before.account(subject)
            if self.is_mine(account, terms):
                for code, state in account.periods.items():
                    if state.window:
                        instant = max(instant, windows.bounds(code, state.window, self.zone)[0])
        return instant

    def unchanged(self, served: Served) -> None:
        """Check that a script has left no trace."""
        self.moved(served, {}, served.now)
        self.require("5. no trace", served.before.sizes == served.after.sizes, served)

    def moved(
        self,
        served: Served,
        spends: Mapping[str, int],
        instant: int,
        *,
        rolls: Collection[str] = (),
        touched: Collection[str] = (),
        free: Collection[str] = (),
        only: str = "",
    ) -> None:
        """
        Check that accounts have spent so much more than before and no other has changed, and that holds are as known.

        They have in each period, or in the ``only`` one, by its code. ``rolls`` are those that must be in the windows
        of an instant now; of those ``touched`` only what is held may change; ``free`` may be anything.
        """
        for subject in self.world.subjects:
            if subject in free:
                continue
            if subject in touched:
                self._moved_one(served, subject, 0, None, "")
                continue
            if subject not in spends and subject not in rolls:
                old, new = served.before.lines[subject], served.after.lines[subject]
                self.require("5. no trace on an account", old == new, subject, old, new, served)
                continue
            self._moved_one(served, subject, spends.get(subject, 0), instant, only)
        for hold_id, line in served.after.lines.items():
            if hold_id in self.world.subjects:
                continue
            known, hold = self.server.holds.get(hold_id), served.after.hold(hold_id)
            if known is None:
                self.require("2. no hold that nobody made", not hold.state, hold_id, line, served)
            else:
                expected = (known.state, known.left, known.rest, known.run or hold.run)
                actual = (hold.state, hold.left, hold.rest, hold.run)
                self.require("2. a hold is as it must be", actual == expected, hold_id, actual, expected, served)
                if known.state == "open":
                    self.require("2. its deadline too", hold.deadline == known.deadline, hold_id, hold, known, served)

    def _moved_one(self, served: Served, subject: str, amount: int, instant: int | None, only: str) -> None:
        before, after = served.before.account(subject), served.after.account(subject)
        if not self.is_mine(before, served.terms):
            if self.is_mine(before):
                self._moved_ahead(served, subject, before, after)
            else:
                self.require("5. no trace on a foreign account", before == after, subject, before, after, served)
            return
        for code, state in after.periods.items():
            was = before.periods[code]
            if not was.window:
                continue
            window = was.window if instant is None else windows.window_at(code, instant, self.zone)
            self.require("windows roll in time", state.window == window, subject, code, state, window, served)
            expected = (was.spent if was.window == state.window else 0) + (amount if only in {"", code} else 0)
            self.require("3. spent changes by the cost", state.spent == expected, subject, code, was, state, served)
        if self.is_entering(before, after):
            self.require("7. it may have spent there", after.doubt, subject, before, after, served)
            self.server.opened.discard(subject)
            before = replace(before, doubt=after.doubt, verdicts=after.verdicts)
        same = (before.run, before.generation, before.generation_before, before.doubt, before.verdicts)
        self.require(
            "5. nothing else changes",
            same == (after.run, after.generation, after.generation_before, after.doubt, after.verdicts),
            subject, before, after, served,
        )  # fmt: skip

    def _moved_ahead(self, served: Served, subject: str, before: Account, after: Account) -> None:
        """Check an account that is in a window after all that are known: what is booked now it cannot count."""
        same = (before.run, before.generation, before.incarnation, before.periods)
        kept = (after.run, after.generation, after.incarnation, after.periods)
        self.require(
            "5. no trace but a doubt on an account that is ahead", same == kept, subject, before, after, served
        )
        if served.name in {"charge", "refund"} or served.reply[0] in {"expired", "refunded"}:
            self.require("7. an account that cannot count is doubted", after.doubt, subject, after, served)
            self.server.opened.discard(subject)

    def may_be_told_again(self, subject: str, code: str) -> bool:
        """
        Whether a threshold may be told twice: it was passed by a charge that found the account unknown, and since.

        That is so if the limit was edited or something was taken back before the account was opened for the charge; or
        if it was opened while a charge was only in the memory of its worker, after a loss; or if one that was booked
        twice has passed it, and the server has lost that it was told.
        """
        has_lost_data = self.world.has_lost_data
        lowered = any(
            (
                booked.entry.cost < 0
                or booked.entry.reset is not None
                or booked.is_endangered
                or (booked.times > 1 and has_lost_data)
            )
            and subject in booked.entry.subjects
            for booked in self.booked.values()
        )
        return lowered or self.world.limits.was_edited(subject, code)

    def check_held(self, subject: str, account: Account) -> None:
        """Check that an account holds the sum of its live holds, in both its generations."""
        held = self.server.held(subject, account.generation)
        self.require("2. held is the sum of live holds", account.held == held, subject, account, held)
        before = self.server.held(subject, account.generation_before)
        self.require("2. held before too", account.held_before == before, subject, account, before)

    def check_spent(self, subject: str, account: Account) -> None:
        """Check that an open account has spent what was booked in its windows."""
        for code, state in account.periods.items():
            if not state.window or not state.verified:
                continue
            low, high = self.truth.bounds(subject, windows.span(code, state.window, self.zone))
            ok = low <= state.spent <= high
            self.require("7. spent is what was booked", ok, subject, code, state, f"{low}..{high}")
            if low != high:
                self.counts["bounds were loose"] += 1

    def _compare_sizes(self, served: Served) -> None:
        length, deadlines, _ = map(int, served.after.sizes.split(" "))
        server, sizes = self.server, served.after.sizes
        self.require("10. the journal", length == len(server.journal), sizes, server.journal, served)
        self.require("6. deadlines", deadlines == len(server.deadlines), sizes, server.deadlines, served)
