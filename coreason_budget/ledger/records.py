"""The ledger's queries: spend records written and summed. Runs where ``database.py`` says, never on an event loop."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

from django.db import DEFAULT_DB_ALIAS, DataError, IntegrityError, connections, router, transaction
from django.db.models import Max, Q, Sum

from ..history import Figure, History, kept_from
from ..log import logger
from ..models import SpendRecord
from ..periods import Period, Window, from_ms, to_ms
from ..scopes import Scope, Subject
from .adjustments import RESET_PREFIX, Adjustment, adjusted
from .scripts import Booking, Charge, journal_number, journal_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import date
    from zoneinfo import ZoneInfo

    from django.db.models import QuerySet

__all__ = [
    "VALUE_ERRORS",
    "How",
    "Original",
    "PoisonError",
    "adjustments",
    "first_day_kept",
    "highest_journal_id",
    "is_kept",
    "mark_counted",
    "original",
    "place_of",
    "store",
    "total",
    "totals",
    "uncounted",
]

#: How a booking came into the database: inserted now, there already under this journal id, or under another one.
How = Literal["new", "same", "other"]


#: What a database raises for values it cannot store; all else (down, read-only, not migrated) may be better soon.
VALUE_ERRORS: Final = (DataError, IntegrityError, ValueError, TypeError, OverflowError)


#: So many rows go into one statement; SQLite takes 999 values. Oracle takes one row.
AT_ONCE: Final = 75
MANY_ROWS: Final = {"sqlite", "postgresql", "mysql"}


class PoisonError(Exception):
    """The database refuses this booking whatever is tried."""


def _alias() -> str:
    return router.db_for_write(SpendRecord) or DEFAULT_DB_ALIAS


def _records() -> QuerySet[SpendRecord]:
    return SpendRecord.objects.using(_alias())


def store(bookings: Sequence[Booking]) -> list[How]:
    """
    Insert bookings, ignoring charge ids that are there already, and tell of each how it came in.

    Raise PoisonError if there is a single one and the database refuses its values; django.db.Error otherwise.
    """
    try:
        if len(bookings) == 1 or (len(bookings) <= AT_ONCE and connections[_alias()].vendor in MANY_ROWS):
            _insert([_row(booking) for booking in bookings])
        else:
            with transaction.atomic(using=_alias()):
                _records().bulk_create([_row(booking) for booking in bookings])
    except IntegrityError:
        return _store_carefully(bookings)
    except VALUE_ERRORS as error:
        if len(bookings) == 1:
            raise PoisonError(f"{type(error).__name__}: {error}") from error
        raise
    return ["new"] * len(bookings)


def _insert(rows: Sequence[SpendRecord]) -> None:
    """Insert rows, all or none: one statement, which costs less than half of what bulk_create() spends on a few."""
    alias = _alias()
    connection = connections[alias]
    fields = [field for field in SpendRecord._meta.concrete_fields if not field.primary_key]
    values = [field.get_db_prep_save(getattr(row, field.attname), connection) for row in rows for field in fields]
    undone = transaction.atomic(using=alias) if connection.in_atomic_block else nullcontext()
    with undone, connection.cursor() as cursor:
        cursor.execute(_insertion(alias, len(rows)), values)


@cache
def _insertion(alias: str, count: int) -> str:
    quote, meta = connections[alias].ops.quote_name, SpendRecord._meta
    columns = [quote(str(field.column)) for field in meta.concrete_fields if not field.primary_key]
    row = f"({', '.join(['%s'] * len(columns))})"
    return f"INSERT INTO {quote(meta.db_table)} ({', '.join(columns)}) VALUES {', '.join([row] * count)}"  # noqa: S608


def _store_carefully(bookings: Sequence[Booking]) -> list[How]:
    ids = [booking.charge.charge_id for booking in bookings]
    before = _journal_ids(ids)
    fresh = {
        booking.charge.charge_id: booking for booking in reversed(bookings) if booking.charge.charge_id not in before
    }
    try:
        with transaction.atomic(using=_alias()):
            _records().bulk_create([_row(booking) for booking in fresh.values()], ignore_conflicts=True)
    except IntegrityError as error:
        if len(bookings) == 1:
            raise PoisonError(f"{type(error).__name__}: {error}") from error
        raise
    after = _journal_ids(list(fresh))
    if len(bookings) == 1 and not before and not after:
        raise PoisonError("the row was ignored without a conflict of its charge id")
    hows: list[How] = []
    for booking in bookings:
        charge_id, number = booking.charge.charge_id, _number(booking)
        if charge_id in before:
            hows.append("same" if before[charge_id] == number else "other")
        else:
            hows.append("new" if after.get(charge_id, -1) == number else "other")
    _report_reused([booking for booking, how in zip(bookings, hows, strict=True) if how == "other"])
    return hows


def _report_reused(bookings: Sequence[Booking]) -> None:
    """Log charges whose id an older record has with another cost or owner: the older one stays, these do not count."""
    rows = _records().filter(charge_id__in=[booking.charge.charge_id for booking in bookings])
    known = {row[0]: row[1:] for row in rows.values_list("charge_id", "cost_nanos", "user_id", "project_id")}
    for booking in bookings:
        charge = booking.charge
        if known.get(charge.charge_id) != (charge.cost, charge.user_id, charge.project_id):
            logger.error("The charge id was used before for another charge, this one is not recorded: {}", booking)


def _journal_ids(charge_ids: Sequence[str]) -> dict[str, int | None]:
    return dict(_records().filter(charge_id__in=charge_ids).values_list("charge_id", "journal_id"))


def _number(booking: Booking) -> int | None:
    return None if booking.journal_id is None else journal_number(booking.journal_id)


def _row(booking: Booking) -> SpendRecord:
    charge = booking.charge
    return SpendRecord(
        charge_id=charge.charge_id,
        journal_id=_number(booking),
        hold_id=charge.hold_id,
        user_id=charge.user_id,
        project_id=charge.project_id,
        model=charge.model,
        cost_nanos=charge.cost,
        input_tokens=charge.input_tokens,
        output_tokens=charge.output_tokens,
        kind=charge.kind,
        at=from_ms(booking.at),
        metadata=dict(charge.metadata),
    )


def _charge(record: SpendRecord) -> Charge:
    return Charge(
        charge_id=record.charge_id,
        cost=record.cost_nanos,
        user_id=record.user_id,
        project_id=record.project_id,
        model=record.model,
        kind=record.kind,
        hold_id=record.hold_id,
        input_tokens=record.input_tokens,
        output_tokens=record.output_tokens,
        metadata=record.metadata,
    )


def is_kept(booking: Booking) -> bool:
    """Tell whether a booking that was written is the one of its charge id in the database, and not an earlier one."""
    number = _number(booking)
    return _journal_ids([booking.charge.charge_id]).get(booking.charge.charge_id, number) == number


def place_of(charge_id: str) -> str | None:
    """Return the journal id that the record of a charge came with, empty if with none; None if there is no record."""
    number = _journal_ids([charge_id]).get(charge_id, -1)
    return None if number == -1 else journal_text(number) if number else ""


def highest_journal_id() -> str:
    """Return the highest journal id in the database as a stream id, empty if there is none."""
    number = _records().aggregate(highest=Max("journal_id"))["highest"]
    return journal_text(number) if number else ""


def total(
    subject: Subject, windows: Mapping[Period, Window], point: str, without: Collection[str]
) -> tuple[dict[Period, int], int]:
    """
    Return what a subject spent in windows, in nano-USD, and when (ms) it last spent in or after them.

    It counts records up to a point of the journal and those that have no place in it, not the charge ids ``without``,
    and daily sums of pruned records: the journal has none of those any more. What was reset of the windows is one
    query more.
    """
    if not windows:
        return {}, 0
    counted = Q(journal_id__lte=journal_number(point)) | Q(journal_id__isnull=True)
    if without:
        counted &= ~Q(charge_id__in=without)
    since = min(window.start for window in windows.values())
    spent = History(_of([subject]), counted, _alias()).filter(at__gte=since)
    sums, last = spent.sums_and_last(_figures(windows))
    resets = adjusted(adjustments(windows, counted), subject, windows)
    found = _by_period(windows, sums)
    return {period: found[period] + resets[period] for period in found}, to_ms(last) if last else 0


def totals(subjects: Sequence[Subject], windows: Mapping[Period, Window]) -> dict[Subject, dict[Period, int]]:
    """
    Return what subjects of one scope spent in windows, in nano-USD: one query.

    It counts all records that there are, pruned ones too; who has none is left out.
    """
    spent, scope = History(_of(subjects) & _within(windows), using=_alias()), subjects[0].scope
    if scope is Scope.GLOBAL:
        return {subjects[0]: _by_period(windows, spent.sums(_figures(windows)))}
    rows = spent.sums_by([_COLUMNS[scope]], _figures(windows))
    return {Subject(scope, name): _by_period(windows, sums) for (name,), sums in rows}


def adjustments(windows: Mapping[Period, Window], counted: Q | None = None) -> list[Adjustment]:
    """
    Return what was reset of anybody's windows, in records that meet a condition: one query.

    It is a range of the index by kind: there are as many such records as admins have made, and as holds were given back
    while the server did not answer.
    """
    rows = _records().filter(
        Q() if counted is None else counted,
        _within(windows),
        kind=SpendRecord.Kind.ADJUSTMENT,
        charge_id__startswith=RESET_PREFIX,
    )
    found = (Adjustment.read(*row) for row in rows.values_list("charge_id", "metadata"))
    return [each for each in found if each is not None]


_COLUMNS: Final = {Scope.USER: "user_id", Scope.PROJECT: "project_id"}


def _of(subjects: Sequence[Subject]) -> Q:
    """Return what the rows of subjects of one scope have in common."""
    column = _COLUMNS.get(subjects[0].scope)
    ids = [subject.id for subject in subjects]
    if column is None:
        return Q()
    return Q(**{column: ids[0]} if len(ids) == 1 else {f"{column}__in": ids})


def _within(windows: Mapping[Period, Window]) -> Q:
    return Q(
        at__gte=min(window.start for window in windows.values()),
        at__lt=max(window.end for window in windows.values()),
    )


def _figures(windows: Mapping[Period, Window]) -> dict[str, Figure]:
    return {period.value: Figure.cost(Q(at__gte=window.start, at__lt=window.end)) for period, window in windows.items()}


def _by_period(windows: Iterable[Period], sums: Mapping[str, int]) -> dict[Period, int]:
    return {period: sums[period.value] for period in windows}


def uncounted(limit: int) -> list[Booking]:
    """Return records that were written while the server did not answer and that it has not been told of."""
    records = _records().filter(journal_id__isnull=True).order_by("pk")[:limit]
    return [Booking(_charge(record), None, 0) for record in records]


def mark_counted(charge_ids: Sequence[str]) -> None:
    """Note that the server has been told of these records."""
    _records().filter(charge_id__in=charge_ids, journal_id__isnull=True).update(journal_id=0)


@dataclass(frozen=True, slots=True)
class Original:
    """A record that may be refunded: how it was booked, and what nobody has taken back of it yet (nano-USD)."""

    charge: Charge
    left: int
    is_refundable: bool
    is_refunded: bool


def original(charge_id: str, refund_id: str) -> Original | None:
    """Return the record with this charge id, None if there is none. ``refund_id`` is the charge id of its refund."""
    rows = {record.charge_id: record for record in _records().filter(charge_id__in=[charge_id, refund_id])}
    record = rows.get(charge_id)
    if record is None:
        return None
    return Original(
        charge=_charge(record),
        left=record.cost_nanos - _taken_back(record),
        is_refundable=record.is_refundable,
        is_refunded=refund_id in rows,
    )


def first_day_kept(zone: ZoneInfo) -> date | None:
    """Return the first day of which single records are kept, None if none were ever pruned."""
    return kept_from(zone, _alias())


def _taken_back(record: SpendRecord) -> int:
    """Return what late charges and releases have taken back of an expired hold: their refunds carry its id."""
    if record.kind != SpendRecord.Kind.EXPIRED:
        return 0
    since = record.at - timedelta(days=1)  # they came later, by clocks that may differ; the index is by user and time
    refunds = _records().filter(
        user_id=record.user_id,
        at__gte=since,
        hold_id=record.hold_id,
        kind=SpendRecord.Kind.REFUND,
    )
    return -int(refunds.aggregate(nanos=Sum("cost_nanos"))["nanos"] or 0)
