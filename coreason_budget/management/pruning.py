"""``Pruning``: old records turned into daily sums, a batch in a transaction, so that what was spent stays the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.db import DEFAULT_DB_ALIAS, OperationalError, router, transaction

from ..ledger.adjustments import RESET_PREFIX
from ..models import DailySum, SpendRecord
from ..periods import Period, Window, window_at, window_named

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from django.db.models import QuerySet

__all__ = ["Pruning", "latest_day"]

#: A batch that another writer of the same rows undoes is done anew, so often.
ATTEMPTS: Final = 5
#: So many values go into one condition: old builds of SQLite take 999.
AT_ONCE: Final = 500

_SAFE_DAYS: Final = 35
_REFUNDS_STAY: Final = timedelta(days=1)
_COLUMNS: Final = (
    "pk",
    "user_id",
    "project_id",
    "model",
    "kind",
    "cost_nanos",
    "input_tokens",
    "output_tokens",
)

_Key = tuple[str, str, str, str]
T = TypeVar("T")


def latest_day(now: datetime, zone: ZoneInfo) -> date:
    """
    Return the latest day before which records may be pruned: what is younger, the ledger may still have to look at.

    - The windows of now, of which accounts are rebuilt, and their journal entries: a month goes back 31 days. The day
      of a sum is that of the time zone then; records stay for changes of the zone and clocks that are wrong.
    - Once Redis has forgotten a charge id, its record is what keeps a redelivered charge from counting twice. Records
      stay five times as long as ``CHARGE_ID_TTL`` can be, so that they also do where Redis has lost its memory.
    - Late charges on expired holds, and refunds of them, come within two days.
    """
    return window_at(Period.DAY, now, zone).first_day - timedelta(days=_SAFE_DAYS)


class OvertakenError(OperationalError):
    """Another writer has deleted rows of this batch; nothing of it was done."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """
    Prunes the records booked before a day of the budget's calendar, ``batch_size`` in a transaction.

    ``waiting`` are charge ids that the journal still has. Their records stay: whoever rebuilds an account leaves out
    the record of what he has found in the journal, and could not leave it out of a sum. Uncounted records stay too,
    and resets of windows for good: they cost nothing, and only they say who did it and why.
    """

    before: date
    zone: ZoneInfo
    batch_size: int
    waiting: Collection[str] = ()

    def count(self) -> int:
        """Return how many records there are to prune. One query."""
        return self._prunable().count()

    def count_staying(self) -> int:
        """Return how many records of those days have to stay: uncounted or in the journal. One query."""
        waiting = self._records().filter(charge_id__in=self.waiting)
        return (self._records().filter(journal_id__isnull=True) | waiting).filter(at__lt=self._end).count()

    def batches(self) -> Iterator[int]:
        """
        Prune, and yield after each batch how many records it was.

        Each batch is whole or was not: whoever is stopped in between goes on another time, and others may prune too.
        Raise django.db.Error if the database does not do it.
        """
        day = self._next_day()
        while day is not None:
            while pruned := self._prune_with_others(day):
                yield pruned
            day = self._next_day(day.end)

    @property
    def _end(self) -> datetime:
        return window_named(Period.DAY, self.before.isoformat(), self.zone).start

    def _prunable(self) -> QuerySet[SpendRecord]:
        """Return the records; refunds stay a day longer, or by clocks that differ one could go before its original."""
        records = self._records().filter(at__lt=self._end, journal_id__isnull=False)
        records = records.exclude(kind=SpendRecord.Kind.ADJUSTMENT, charge_id__startswith=RESET_PREFIX)
        records = records.exclude(kind=SpendRecord.Kind.REFUND, at__gte=self._end - _REFUNDS_STAY)
        return records.exclude(charge_id__in=self.waiting) if self.waiting else records

    def _next_day(self, start: datetime | None = None) -> Window | None:
        records = self._prunable().filter(at__gte=start) if start else self._prunable()
        at = records.order_by("at").values_list("at", flat=True).first()
        return window_at(Period.DAY, at, self.zone) if at else None

    def _prune_with_others(self, day: Window) -> int:
        for _ in range(ATTEMPTS - 1):
            try:
                return self._prune_batch(day)
            except OperationalError:  # a deadlock, a transaction that could not be serialized, a locked database
                continue
        return self._prune_batch(day)

    def _prune_batch(self, day: Window) -> int:
        alias = _alias()
        with transaction.atomic(using=alias):
            # SQLite: whoever reads before he writes fails if somebody else has written in between; a write waits.
            self._sums().filter(pk=0).update(records=0)
            within = self._prunable().filter(at__gte=day.start, at__lt=day.end).order_by("at", "pk")
            rows = list(within.select_for_update().values_list(*_COLUMNS)[: self.batch_size])
            deleted = 0
            for keys in _parts([row[0] for row in rows]):
                deleted += self._records().filter(pk__in=keys).delete()[0]
            if deleted != len(rows):
                raise OvertakenError(f"{len(rows) - deleted} of {len(rows)} records were pruned by somebody else.")
            self._add(day, rows)
            return len(rows)

    def _add(self, day: Window, rows: Iterable[Sequence[Any]]) -> None:
        middle = day.start + (day.end - day.start) / 2
        sums: dict[_Key, DailySum] = {}
        for _pk, *key, cost, input_tokens, output_tokens in rows:
            _count(sums, middle, key, cost, min(cost, 0), 1, input_tokens or 0, output_tokens or 0)
        for users in _parts(sorted({key[0] for key in sums})):
            older = self._sums().filter(at=middle, user_id__in=users).select_for_update().order_by("pk")
            replaced = [each for each in older if _key(each) in sums]
            for each in replaced:
                figures = (each.cost_nanos, each.given_back_nanos, each.records, each.input_tokens, each.output_tokens)
                _count(sums, middle, _key(each), *figures)
            for keys in _parts([each.pk for each in replaced]):
                self._sums().filter(pk__in=keys).delete()
        self._sums().bulk_create(sums.values(), batch_size=AT_ONCE)

    def _records(self) -> QuerySet[SpendRecord]:
        return SpendRecord.objects.using(_alias())

    def _sums(self) -> QuerySet[DailySum]:
        return DailySum.objects.using(_alias())


def _alias() -> str:
    return router.db_for_write(SpendRecord) or DEFAULT_DB_ALIAS


def _key(each: DailySum) -> _Key:
    return each.user_id, each.project_id, each.model, each.kind


def _count(sums: dict[_Key, DailySum], at: datetime, key: Sequence[str], *figures: int) -> None:
    """Add figures to the sum of a key: cost, what of it was negative, records, tokens in and out."""
    user_id, project_id, model, kind = key
    each = sums.setdefault(
        (user_id, project_id, model, kind),
        DailySum(
            at=at,
            user_id=user_id,
            project_id=project_id,
            model=model,
            kind=kind,
            cost_nanos=0,
            given_back_nanos=0,
            records=0,
            input_tokens=0,
            output_tokens=0,
        ),
    )
    cost, given_back, records, input_tokens, output_tokens = figures
    each.cost_nanos += cost
    each.given_back_nanos += given_back
    each.records += records
    each.input_tokens += input_tokens
    each.output_tokens += output_tokens


def _parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), AT_ONCE):
        yield values[start : start + AT_ONCE]
