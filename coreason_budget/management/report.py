"""``Report``: what was spent in days of the budget's calendar, summed up by whatever is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Count, Sum

from ..models import SpendRecord
from ..money import to_usd
from ..periods import Period, Window, window_at, window_named
from .names import user_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date
    from decimal import Decimal
    from zoneinfo import ZoneInfo

    from django.db.models import QuerySet

__all__ = ["COLUMNS", "PERIODS_OF", "Line", "Report"]

#: What can be asked for, and the column of the records that has it.
COLUMNS: Final = {"user": "user_id", "project": "project_id", "model": "model", "kind": "kind"}
PERIODS_OF: Final = {period.value: period for period in Period}

_READ_AT_ONCE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Line:
    """One sum: by what it is, in the order that was asked for, USD, records, and tokens (0 where none were noted)."""

    of: tuple[str, ...]
    user_name: str  # empty if it is not by user, or if there is no such user any more
    cost: Decimal
    records: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Report:
    """
    The sums of all records from a day to another, both included, ``by`` columns and at most one period.

    Lines come as the database has them, those of a period together and the greatest first; memory does not grow with
    their number.
    """

    first: date
    last: date
    zone: ZoneInfo
    by: Sequence[str]

    def lines(self) -> Iterator[Line]:
        """Yield the sums: a query for each period, and one for the users' names of some thousand lines."""
        for window_id, start, end in self._stretches():
            columns = [COLUMNS[name] for name in self.by if name in COLUMNS]
            rows = _sums(SpendRecord.objects.filter(at__gte=start, at__lt=end), columns)
            while some := list(islice(rows, _READ_AT_ONCE)):
                names = user_names({row["user_id"] for row in some}) if "user" in self.by else {}
                for row in some:
                    if row["records"]:
                        yield self._line(row, window_id, names)

    def _line(self, row: dict[str, Any], window_id: str, names: dict[str, str]) -> Line:
        return Line(
            of=tuple(window_id if name in PERIODS_OF else row[COLUMNS[name]] for name in self.by),
            user_name=names.get(row.get("user_id", ""), ""),
            cost=to_usd(int(row["nanos"])),
            records=row["records"],
            input_tokens=int(row["input_tokens"] or 0),
            output_tokens=int(row["output_tokens"] or 0),
        )

    def _stretches(self) -> Iterator[tuple[str, Any, Any]]:
        """Yield the windows of the period, cut where the report begins and ends; all days as one without a period."""
        whole = [window_named(Period.DAY, day.isoformat(), self.zone) for day in (self.first, self.last)]
        start, end = whole[0].start, whole[1].end
        period = next((PERIODS_OF[name] for name in self.by if name in PERIODS_OF), None)
        if period is None:
            yield "", start, end
            return
        at = start
        while at < end:
            window: Window = window_at(period, at, self.zone)
            yield window.id, at, min(window.end, end)
            at = window.end


def _sums(records: QuerySet[SpendRecord], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    sums = {
        "nanos": Sum("cost_nanos"),
        "records": Count("*"),
        "input_tokens": Sum("input_tokens"),
        "output_tokens": Sum("output_tokens"),
    }
    if not columns:
        return iter([records.aggregate(**sums)])
    found: Any = records.values(*columns).annotate(**sums).order_by("-nanos", *columns)
    rows: Iterator[dict[str, Any]] = found.iterator(_READ_AT_ONCE)
    return rows
