"""
What moves between Redis and the database: writing charges through, draining, sweeping dead holds, telling.

The order is what keeps a charge from being lost or counted twice: a row is committed before its entry leaves the
journal, and a rebuild (see ``rebuild.py``) reads the journal before it sums the rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from ..exceptions import BudgetUnavailableError
from ..log import logger
from ..scopes import Scope, Subject
from .scripts import Booking, Charge, Deposit, parse_entry
from .steps import Command, Operation, Query, Write

if TYPE_CHECKING:
    from .redis import RedisLedger

__all__ = ["Journal", "subjects"]

PAGE: Final = 500
BATCH: Final = 500
KEPT_IN_MEMORY: Final = 10_000


class Journal:
    """The ledger's way to the database and back. Part of ``RedisLedger``, which it uses to run scripts."""

    def __init__(self, ledger: RedisLedger) -> None:
        self._ledger = ledger
        self._pending: deque[Booking] = deque()
        self._aside: set[str] = set()
        self._shouted: set[str] = set()  # a record is logged once, however often it cannot be written

    # writing ---------------------------------------------------------------------------------------------------------

    def writer(self, bookings: Sequence[Booking]) -> Callable[[], int]:
        """Take bookings over and return the work that writes them, together with what others left to be written."""
        full = len(self._pending) >= KEPT_IN_MEMORY  # then the journal has those with a place in it
        self._pending.extend(booking for booking in bookings if not full or booking.journal_id is None)
        return self.write_pending

    def write_pending(self) -> int:
        """
        Write what this process has taken over and return how many rows that were.

        What cannot be written stays: raises BudgetUnavailableError or django.db.Error.
        """
        written = 0
        while batch := self._take():
            try:
                self.write(batch)
            except BaseException:
                self._put_back(batch)
                raise
            self._shouted.difference_update(booking.charge.charge_id for booking in batch)
            written += len(batch)
        return written

    @property
    def pending(self) -> int:
        """How many bookings this process still has to write."""
        return len(self._pending)

    def _take(self) -> list[Booking]:
        batch: list[Booking] = []
        with suppress(IndexError):  # others take too; a deque needs no lock, which a fork could leave locked
            while len(batch) < BATCH:
                batch.append(self._pending.popleft())
        return batch

    def _put_back(self, batch: Sequence[Booking]) -> None:
        for booking in (*batch, *self._pending.copy()):
            if booking.journal_id is None and booking.charge.charge_id not in self._shouted:
                self._shouted.add(booking.charge.charge_id)
                logger.critical("A charge is only in this process' memory, neither store answers: {}", booking)
        if len(self._pending) >= KEPT_IN_MEMORY:  # the journal has those with a place in it
            batch = [booking for booking in batch if booking.journal_id is None]
        self._pending.extendleft(reversed(batch))

    def write(self, bookings: Sequence[Booking]) -> None:
        """Insert bookings, then take their entries out of the journal. Runs where the database work is done."""
        from .records import VALUE_ERRORS, PoisonError, store

        try:
            hows = store(bookings)
        except PoisonError as error:
            self._set_aside(bookings[0], error)
            return
        except VALUE_ERRORS:
            if len(bookings) == 1:
                raise
            for booking in bookings:
                self.write([booking])
            return
        acked = [(booking, how) for booking, how in zip(bookings, hows, strict=True) if booking.journal_id is not None]
        if acked:
            try:
                self._ledger.run(self._ack(acked))
            except BudgetUnavailableError as error:
                logger.warning("{} written charges stay in the journal until it answers: {}", len(acked), error)

    def _ack(self, acked: Sequence[tuple[Booking, str]]) -> Operation[list[str]]:
        keys = [self._ledger.keys.journal]
        places: dict[str, int] = {}
        args: list[str] = []
        for booking, how in acked:
            accounts = self._ledger.keys.accounts(subjects(booking.charge))
            for key in accounts:
                if key not in places:
                    keys.append(key)
                    places[key] = len(keys)
            indexes = ",".join(str(places[key]) for key in accounts)
            args += [booking.journal_id or "", booking.charge.charge_id, how, indexes]
        return (yield from self._ledger.call("ack", keys, args))

    def _set_aside(self, booking: Booking, error: Exception) -> None:
        if booking.journal_id is None:
            logger.critical("The database refuses a charge that no journal has: {}: {}", error, booking)
        elif booking.journal_id not in self._aside:
            self._aside.add(booking.journal_id)
            logger.error("The database refuses a charge; it stays in the journal: {}: {}", error, booking)

    def abandon(self, hold_id: str, deposit: Deposit) -> None:
        """
        Release a hold in the background: nobody waits for it, or nobody knows whether it was made.

        Does no input or output here and may be called from a destructor.
        """
        note = Charge(f"release:{hold_id}", 0, deposit.user_id, deposit.project_id, kind="adjustment", hold_id=hold_id)
        durable = not self._ledger.database.is_inline()

        def release() -> None:
            try:
                self._ledger.run(self._ledger.release(hold_id, deposit))
            except BudgetUnavailableError:
                if durable:
                    self.writer([Booking(note, None, self._ledger.now())])()

        if not self._ledger.database.post(release):
            self.writer([Booking(note, None, self._ledger.now())])

    def reversal(self, hold_id: str, journal_id: str, at: str, amount: str, payload: str) -> Booking:
        """Return what a late release booked: an expired hold is given back."""
        charge = Charge.from_payload(
            payload, charge_id=f"{hold_id}~refund", cost=-int(amount), kind="refund", hold_id=hold_id
        )
        return Booking(charge, journal_id, int(at))

    # draining --------------------------------------------------------------------------------------------------------

    def drain(
        self, older_than: float = 0.0, until: str = "+", progress: Callable[[int], object] | None = None
    ) -> Operation[int]:
        """
        Write journal entries older than that many seconds, whoever made them. Return how many were written.

        ``progress`` is told after each batch how many it has been so far.
        """
        if older_than:
            seconds, micros = yield Command(("TIME",))
            until = str(int(seconds) * 1000 + int(micros) // 1000 - round(older_than * 1000))
        start, drained = "-", 0
        while True:
            entries = yield from self._page(start, until)
            bookings = [booking for journal_id, fields in entries if (booking := self._read(journal_id, fields))]
            if bookings:
                yield Query(lambda batch=bookings: self.write(batch))  # type: ignore[misc]
                drained += sum(booking.journal_id not in self._aside for booking in bookings)
                if progress is not None:
                    progress(drained)
            if len(entries) < PAGE:
                return drained
            start = f"({entries[-1][0]}"

    def _page(self, start: str, until: str) -> Operation[list[tuple[str, Mapping[str, str]]]]:
        reply = yield Command(("XRANGE", self._ledger.keys.journal, start, until, "COUNT", PAGE))
        return [(_text(journal_id), _fields(fields)) for journal_id, fields in reply or ()]

    def _read(self, journal_id: str, fields: Mapping[str, str]) -> Booking | None:
        if "mark" in fields or journal_id in self._aside:
            return None
        try:
            return parse_entry(journal_id, fields)
        except (KeyError, ValueError, TypeError) as error:
            self._aside.add(journal_id)
            logger.error("A journal entry cannot be read and is left alone: {} {}: {!r}", journal_id, fields, error)
            return None

    def bookings_of(self, subject: Subject, until: str, most: int) -> Operation[dict[str, Booking]]:
        """
        Return what the journal has of a subject, by charge id, up to a place in it.

        It stops when it has found more than ``most``.
        """
        start, found = "-", dict[str, Booking]()
        while True:
            entries = yield from self._page(start, until)
            for journal_id, fields in entries:
                booking = self._read_for_sum(journal_id, fields)
                if booking is not None and subject in subjects(booking.charge):
                    found.setdefault(booking.charge.charge_id, booking)
            if len(entries) < PAGE or len(found) > most:
                return found
            start = f"({entries[-1][0]}"

    def charge_ids(self, most: int) -> Operation[set[str]]:
        """Return the charge ids that the journal has, also of entries that cannot be read; stop above ``most``."""
        start, found = "-", set[str]()
        while True:
            entries = yield from self._page(start, "+")
            found.update(fields["c"] for _, fields in entries if "c" in fields)
            if len(entries) < PAGE or len(found) > most:
                return found
            start = f"({entries[-1][0]}"

    def _read_for_sum(self, journal_id: str, fields: Mapping[str, str]) -> Booking | None:
        # An entry that the database refuses is still money that was spent.
        try:
            return None if "mark" in fields else parse_entry(journal_id, fields)
        except (KeyError, ValueError, TypeError):
            return None

    def backlog(self) -> Operation[tuple[int, float]]:
        """Return how many entries the journal has and the age of the oldest in seconds."""
        length = int((yield Command(("XLEN", self._ledger.keys.journal))))
        oldest = yield Command(("XRANGE", self._ledger.keys.journal, "-", "+", "COUNT", 1))
        if not oldest:
            return length, 0.0
        seconds, _ = yield Command(("TIME",))
        return length, max(0.0, int(seconds) - int(_text(oldest[0][0]).split("-")[0]) / 1000)

    # sweeping and telling --------------------------------------------------------------------------------------------

    def sweep(self, limit: int = 50) -> Operation[list[Booking]]:
        """End holds that are past their deadline, each by its policy. Return what was booked for them."""
        ledger = self._ledger
        now = ledger.injected_now()
        if not now:
            seconds, micros = yield Command(("TIME",))
            now = str(int(seconds) * 1000 + int(micros) // 1000)
        due = yield Command(("ZRANGEBYSCORE", ledger.keys.deadlines, "-inf", now, "LIMIT", 0, limit))
        booked: list[Booking] = []
        for hold_id in map(_text, due):
            accounts = yield Command(("HGET", ledger.keys.hold(hold_id), "acc"))
            keys = _text(accounts).split(" ") if accounts else []
            reply = yield from ledger.ask(
                "sweep", [ledger.keys.hold(hold_id), ledger.keys.deadlines, ledger.keys.journal, *keys]
            )
            if reply[0] == "expired":
                _, journal_id, at, amount, payload = reply
                charge = Charge.from_payload(
                    payload, charge_id=f"expired:{hold_id}", cost=int(amount), kind="expired", hold_id=hold_id
                )
                booked.append(Booking(charge, journal_id, int(at)))
                self.writer(booked[-1:])  # at once: whatever fails next, it is not only in the journal
        if booked:
            yield Write(self.write_pending)
        return booked

    def tell(self, limit: int = 100) -> Operation[int]:
        """
        Tell Redis of records that were written while it did not answer: their holds end, their accounts are rebuilt.

        Return how many were told.
        """
        from .records import mark_counted, uncounted

        ledger = self._ledger
        bookings: list[Booking] = yield Query(lambda: uncounted(limit))
        for booking in bookings:
            charge = booking.charge
            accounts = subjects(charge)
            keys = [ledger.keys.journal, *ledger.keys.accounts(accounts)]
            indexes = ",".join(str(i + 2) for i in range(len(accounts)))
            # Doubt first: what the hold gives back must not be had before the charge is counted.
            yield from ledger.call("ack", keys, ["", charge.charge_id, "doubt", indexes])
            if charge.hold_id:
                yield from ledger.release(charge.hold_id, ledger.deposit(accounts))
            yield Query(lambda c=charge: mark_counted([c.charge_id]))  # type: ignore[misc]
        return len(bookings)


def subjects(charge: Charge) -> tuple[Subject, ...]:
    """Return the accounts that a charge counts in."""
    project = (Subject(Scope.PROJECT, charge.project_id),) if charge.project_id else ()
    return (Subject(Scope.USER, charge.user_id), *project, Subject(Scope.GLOBAL))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _fields(fields: Mapping[Any, Any] | Iterable[Any] | None) -> Mapping[str, str]:
    if fields is None:
        return {"mark": "1"}
    if isinstance(fields, Mapping):
        return {_text(name): _text(value) for name, value in fields.items()}
    flat = [_text(part) for part in fields]
    return dict(zip(flat[::2], flat[1::2], strict=True))
