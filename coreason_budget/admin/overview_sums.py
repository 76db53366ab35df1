"""What was spent, as the overview asks the database: exact sums, each kind in one query whatever is shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final

from django.db.models import Count, IntegerField, Q, Sum, Value
from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from ..periods import PERIODS, Period, Window, window_at, window_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from zoneinfo import ZoneInfo

    from django.db.models import QuerySet

    from ..models import SpendRecord

__all__ = [
    "Amounts",
    "Ranked",
    "Stretch",
    "Summary",
    "amounts_in",
    "charted",
    "days_between",
    "hours_of",
    "rank",
]

#: A chart has at most so many columns; more days become weeks, more weeks months.
MOST_COLUMNS: Final = 62


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time, its end not included, with its name in short and in full."""

    start: datetime
    end: datetime
    label: str
    title: str


@dataclass(frozen=True, slots=True)
class Amounts:
    """What was spent in a stretch, in nano-USD: of each name that was asked for, and in total."""

    parts: tuple[int, ...]
    total: int

    @property
    def rest(self) -> int:
        """What those spent who were not asked for."""
        return self.total - sum(self.parts)


@dataclass(frozen=True, slots=True)
class Ranked:
    """What one user, project or model spent, in nano-USD, in how many records."""

    name: str
    nanos: int
    records: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All of it: in nano-USD what was spent, what of that was given back (negative), and what expired holds took."""

    nanos: int
    records: int
    given_back: int
    expired: int
    input_tokens: int
    output_tokens: int


def amounts_in(records: QuerySet[SpendRecord], stretches: Sequence[Stretch | Window]) -> list[Amounts]:
    """Return what was spent in each stretch: one query, a range of an index for each."""
    return [Amounts((), row["nanos"]) for row in _sums_in(records, stretches, {"nanos": Sum("cost_nanos")})]


def charted(
    records: QuerySet[SpendRecord], stretches: Sequence[Stretch], column: str, names: Sequence[str]
) -> tuple[list[Amounts], Summary]:
    """Return what was spent in each stretch, by the names in a column, and the sums over all of them, by one query."""
    parts = {f"part_{place}": Sum("cost_nanos", filter=Q(**{column: name})) for place, name in enumerate(names)}
    rows = _sums_in(records, stretches, {**_SUMMARY, **parts})
    amounts = [Amounts(tuple(row[part] for part in parts), row["nanos"]) for row in rows]
    return amounts, Summary(**{name: sum(row[name] for row in rows) for name in _SUMMARY})


def rank(records: QuerySet[SpendRecord], column: str, most: int) -> list[Ranked]:
    """Return the names in a column that spent most: one query."""
    rows = records.values(column).annotate(nanos=Sum("cost_nanos"), count=Count("*")).order_by("-nanos", column)
    return [Ranked(row[column], int(row["nanos"]), row["count"]) for row in rows[:most]]


_SUMMARY: Final[dict[str, Sum | Count]] = {
    "nanos": Sum("cost_nanos"),
    "records": Count("*"),
    "given_back": Sum("cost_nanos", filter=Q(cost_nanos__lt=0)),
    "expired": Sum("cost_nanos", filter=Q(kind="expired")),
    "input_tokens": Sum("input_tokens"),
    "output_tokens": Sum("output_tokens"),
}


def _sums_in(
    records: QuerySet[SpendRecord], stretches: Sequence[Stretch | Window], sums: Mapping[str, Sum | Count]
) -> list[dict[str, int]]:
    each = [
        records.filter(at__gte=stretch.start, at__lt=stretch.end)
        .annotate(place=Value(place, output_field=IntegerField()))
        .values("place")
        .annotate(**sums)
        .values_list("place", *sums)
        for place, stretch in enumerate(stretches)
    ]
    found = {place: row for place, *row in each[0].union(*each[1:], all=True)}
    nothing = [0] * len(sums)
    return [
        {name: int(value or 0) for name, value in zip(sums, found.get(place, nothing), strict=True)}
        for place in range(len(stretches))
    ]


# stretches -----------------------------------------------------------------------------------------------------------


def hours_of(day: Window, zone: ZoneInfo) -> list[Stretch]:
    """Return the hours of a day; it has 23 or 25 of them when the clocks change."""
    hours, start = [], day.start
    while start < day.end:
        end = min(start + timedelta(hours=1), day.end)
        name = f"{start.astimezone(zone):%H:%M}"
        hours.append(Stretch(start, end, name, f"{name}\N{EN DASH}{end.astimezone(zone):%H:%M}"))
        start = end
    return hours


def days_between(first: date, last: date, zone: ZoneInfo) -> tuple[Period, list[Stretch]]:
    """Return the days from the first to the last, or the weeks or months if those are too many for a chart."""
    start, end = (window_named(Period.DAY, day.isoformat(), zone) for day in (first, last))
    period, windows = Period.DAY, list[Window]()
    for period in PERIODS:
        windows = list(islice(_windows(period, start.start, end.end, zone), MOST_COLUMNS + 1))
        if len(windows) <= MOST_COLUMNS:
            break
    return period, [
        Stretch(
            max(window.start, start.start),
            min(window.end, end.end),
            _LABELS[period](window.first_day),
            _TITLES[period](window.first_day),
        )
        for window in windows
    ]


def _windows(period: Period, start: datetime, end: datetime, zone: ZoneInfo) -> Iterator[Window]:
    while start < end:
        window = window_at(period, start, zone)
        yield window
        start = window.end


def _short(day: date) -> str:
    return formats.date_format(day, pgettext("date format of a chart", "j M"))


def _month(day: date) -> str:
    return formats.date_format(day, "YEAR_MONTH_FORMAT")


def _full(day: date) -> str:
    return formats.date_format(day, "DATE_FORMAT")


_LABELS: Final[dict[Period, Callable[[date], str]]] = {
    Period.DAY: _short,
    Period.WEEK: _short,
    Period.MONTH: lambda day: formats.date_format(day, "M Y"),
}
_TITLES: Final[dict[Period, Callable[[date], str]]] = {
    Period.DAY: _full,
    Period.WEEK: lambda day: _("Week from %(day)s") % {"day": _full(day)},
    Period.MONTH: _month,
}
