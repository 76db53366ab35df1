"""
``RedisLedger``: the ledger's operations on its live state in Redis, each a generator that either driver can run.

What needs more than a script has modules of its own: ``journal.py``, ``opening.py``, ``rebuild.py``, ``refunds.py``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, TypeVar

from redis.exceptions import NoScriptError

from ..exceptions import BudgetUnavailableError, ChargeConflictError, HoldClosedError
from ..scopes import Scope, Subject
from .connection import Connections
from .database import Database
from .holds import HoldRequest, ask_to_hold, overflow, reserve
from .journal import Journal
from .opening import opened
from .outcomes import Charged, Granted, Refused, Released, bookings_of
from .rebuild import Drift, rebuild
from .scripts import (
    AccountView,
    Booking,
    Call,
    Charge,
    Deposit,
    Keys,
    Terms,
    defaults_text,
    overrides_args,
    parse_accounts,
    parse_answer,
    parts_of,
    script,
)
from .steps import Command, LostReplyError, Operation, Query, Write, arun, run, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ..conf import BudgetConfig
    from ..periods import Period
    from .observations import Observation

__all__ = ["LimitSource", "RedisLedger"]

T = TypeVar("T")


class LimitSource(Protocol):
    """Where limits come from, in nano-USD by period; None is unlimited."""

    def defaults(self, subject: Subject) -> Mapping[Period, int | None]:
        """Return the limits of the settings."""

    def overrides(self, subject: Subject) -> Mapping[Period, int | None]:
        """Return the limits of the database that replace them; queries the database."""

    def overrides_of(self, subjects: Iterable[Subject]) -> Mapping[Subject, Mapping[Period, int | None]]:
        """Return the overrides of each subject; one query for each scope. See overrides()."""


class RedisLedger:
    """The live state of all accounts, and the database behind it. Amounts are nano-USD, times are milliseconds."""

    def __init__(
        self,
        config: BudgetConfig,
        limits: LimitSource,
        *,
        clock: Callable[[], int] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.config = config
        self.limits = limits
        self.keys = Keys(config.key_prefix)
        self.terms = Terms(config.time_zone, config)
        self.connections = Connections(config)
        self.database = Database(config)
        self.journal = Journal(self)
        self.sleep = sleep
        self._clock = clock
        self._skew = 0
        self._defaults: dict[tuple[Scope, bool], str] = {}
        self.lost = 0  # replies lost so far: a script may have run, or may still run, unseen

    # drivers ---------------------------------------------------------------------------------------------------------

    def run(self, operation: Operation[T]) -> T:
        """Drive an operation on this thread."""
        return run(operation, self)

    async def arun(self, operation: Operation[T]) -> T:
        """Drive an operation on the running event loop. See run()."""
        return await arun(operation, self)

    async def settle(self, operation: Operation[T]) -> T:
        """Drive an operation that a cancellation must not stop half-way."""
        return await settle(operation, self)

    # scripts and time ------------------------------------------------------------------------------------------------

    def call(self, name: str, keys: Sequence[str], args: Sequence[str | int]) -> Operation[list[str]]:
        """Run a script. One retry after a lost reply: every script gives a repeated call its first answer."""
        request = Call(script(name), keys, args)
        command, lost = request.command(), False
        while True:
            try:
                reply = yield Command(command)
            except NoScriptError:
                command = request.command_with_source()
            except LostReplyError:
                self.lost += 1
                if lost:
                    raise
                lost = True
            except BudgetUnavailableError as error:
                if lost:  # the first try may have been executed all the same
                    raise LostReplyError(str(error)) from error
                raise
            else:
                return parts_of(reply)

    def ask(self, name: str, keys: Sequence[str], *args: str | int) -> Operation[list[str]]:
        """Run a script that is told the windows; again with better ones if the server's clock is far from ours."""
        for _ in range(2):
            reply = yield from self.call(name, keys, (self.injected_now(), self.terms.text(self.now()), *args))
            if reply[0] != "clock":
                return reply
            self._skew = int(reply[1]) - self._own_now()
        raise BudgetUnavailableError("The clock of the Redis server moves too fast to find the current window.")

    def injected_now(self) -> str:
        """Return the time that scripts are given: none, they ask the server, unless a test injected a clock."""
        return "" if self._clock is None else str(self._clock())

    def now(self) -> int:
        """Return this process's best guess of the server's time in ms; scripts decide by the server's own."""
        return self._own_now() + self._skew

    def _own_now(self) -> int:
        return time.time_ns() // 1_000_000 if self._clock is None else self._clock()

    # operations ------------------------------------------------------------------------------------------------------

    def deposit(self, subjects: tuple[Subject, ...]) -> Deposit:
        """Return the accounts of a call with their default limits."""
        ids = {subject.scope: subject.id for subject in subjects}
        user_id, project_id = ids.get(Scope.USER, ""), ids.get(Scope.PROJECT, "")
        return Deposit(
            subjects=subjects,
            keys=tuple(self.keys.accounts(subjects)),
            defaults="|".join(map(self._defaults_text, subjects)),
            user_id=user_id,
            project_id=project_id,
            payload=Charge("", 0, user_id, project_id).payload(),
        )

    def _defaults_text(self, subject: Subject) -> str:
        kind = (subject.scope, bool(subject.id))  # an anonymous visitor has limits of his own
        text = self._defaults.get(kind)
        if text is None:
            text = self._defaults[kind] = defaults_text(self.limits.defaults(subject))
        return text

    def reserve(
        self, hold_id: str, deposit: Deposit, amount: int, ttl: int, *, least: int | None = None
    ) -> Operation[Granted | Refused]:
        """
        Hold an amount on all accounts, or tell why not; with a ttl of 0 only decide.

        Where the amount has no room, what has is held if that is ``least`` or more (default: all or nothing).
        Raise BudgetUnavailableError, and HoldClosedError or ChargeConflictError for an id that was used before.
        """
        return (yield from reserve(self, HoldRequest(hold_id, deposit, amount, ttl, least)))

    def top_up(
        self,
        hold_id: str,
        deposit: Deposit,
        amount: int,
        ttl: int,
        *,
        nonce: str,
        least: int | None = None,
    ) -> Operation[Granted | Refused]:
        """
        Hold that much more on an open hold and move its deadline to ttl from now; once for each nonce. See reserve().

        Raise HoldClosedError if the hold has ended or is unknown.
        """
        return (yield from ask_to_hold(self, HoldRequest(hold_id, deposit, amount, ttl, least, nonce)))

    def status(self, deposit: Deposit) -> Operation[tuple[AccountView, ...]]:
        """Return all accounts of a call as they stand now."""
        reply = yield from opened(self, deposit, lambda: self.ask("status", deposit.keys, deposit.defaults))
        return parse_accounts(reply[2:])

    def charge(
        self,
        charge: Charge,
        deposit: Deposit,
        *,
        nonce: str,
        final: bool = False,
        observed: Observation | None = None,
    ) -> Operation[Charged]:
        """
        Book a cost on all accounts and hand its record to the database. It is never refused: the money is gone.

        If Redis does not answer, the record goes straight to the database and is counted later.
        Raise ChargeConflictError if the charge id was used with another cost or other accounts.
        """
        keys = [
            self.keys.charge(charge.charge_id),
            self.keys.hold(charge.hold_id),
            self.keys.deadlines,
            self.keys.journal,
            self.keys.learned("" if observed is None else observed.slot),
            *deposit.keys,
        ]
        try:
            reply = yield from self.ask(
                "charge",
                keys,
                deposit.defaults,
                charge.cost,
                "1" if final else "0",
                nonce,
                charge.payload(),
                charge.kind,
                "" if observed is None else observed.text,
            )
        except BudgetUnavailableError as error:
            yield Write(self.journal.writer([Booking(charge, None, self.now())]))
            return Charged(None, first=True, error=error)
        except BaseException:
            self.database.post(self.journal.writer([Booking(charge, None, self.now())]))
            raise
        if reply[0] == "conflict":
            raise ChargeConflictError(
                f"The charge id {charge.charge_id!r} was used before with another cost or for other accounts; "
                "use a new id for a new charge."
            )
        if reply[0] == "overflow":
            raise overflow(deposit.subjects[int(reply[1]) - 1])
        answer = parse_answer(reply[2])
        first = reply[1] == "1"
        if first:
            yield Write(self.journal.writer(bookings_of(charge, answer)))
        if observed is not None:
            observed.learn(reply[3:])
        return Charged(answer, first)

    def release(self, hold_id: str, deposit: Deposit) -> Operation[Released]:
        """Give back what is left of a hold."""
        keys = [self.keys.hold(hold_id), self.keys.deadlines, self.keys.journal, *deposit.keys]
        reply = yield from self.ask("release", keys, deposit.defaults)
        match reply:
            case ["released", _, *shown]:
                return Released(now=True, shown=shown)
            case ["refunded", journal_id, at, amount, payload, *shown]:
                refund = self.journal.reversal(hold_id, journal_id, at, amount, payload)
                yield Write(self.journal.writer([refund]))
                return Released(now=True, shown=shown)
            case _:
                return Released(now=False, shown=reply[1:])

    def extend(self, hold_id: str, deposit: Deposit, ttl: int) -> Operation[int]:
        """Move the deadline of a hold to ttl from now and return it. Raise HoldClosedError if the hold has ended."""
        keys = [self.keys.hold(hold_id), self.keys.deadlines, *deposit.keys]
        reply = yield from self.call("extend", keys, (self.injected_now(), ttl))
        if reply[0] != "ok":
            raise HoldClosedError(f"The hold {hold_id!r} cannot be extended: it has ended or is unknown.")
        return int(reply[1])

    def rebuild(self, subject: Subject, mode: str = "open", every: float | None = None) -> Operation[Drift]:
        """
        Open an account, or with mode ``verify`` prove an open one, from the database and the journal.

        One that was verified less than ``every`` seconds ago (default VERIFY_EVERY) is left alone by ``verify``.
        Raise BudgetUnavailableError if Redis or the database does not answer.
        """
        return (yield from rebuild(self, subject, mode, self.config.verify_every if every is None else every))

    def outdate(self, subject: Subject, version: str) -> Operation[None]:
        """Have the next call read a subject's limits afresh, and read them now so that it need not wait."""
        keys = [self.keys.account(subject)]
        reply = yield from self.call("limits", keys, (self.injected_now(), "", version, "", "", ""))
        if reply[0] == "outdated":
            yield from self.reload_limits(subject, version)

    def reload_limits(self, subject: Subject, version: str) -> Operation[None]:
        """Read a subject's limits and put them into its account, unless a newer version was declared meanwhile."""
        overrides = yield Query(lambda: self.limits.overrides(subject))
        keys = [self.keys.account(subject)]
        yield from self.call("limits", keys, (self.injected_now(), version, "", *overrides_args(overrides)))
