"""What was spent, as the overview asks the database: exact sums, each kind in one query whatever is shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final

from django.db.models import Q
from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from ..history import EXPIRED, GIVEN_BACK, INPUT_TOKENS, NANOS, OUTPUT_TOKENS, RECORDS, Figure
from ..periods import PERIODS, Period, Window, window_at, window_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from zoneinfo import ZoneInfo

    from ..history import History

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


def amounts_in(spent: History, stretches: Sequence[Stretch | Window]) -> list[Amounts]:
    """Return what was spent in each stretch: one query, a range of an index for each."""
    return [Amounts((), row["nanos"]) for row in spent.sums_in(_ranges(stretches), {"nanos": NANOS})]


def charted(
    spent: History, stretches: Sequence[Stretch], column: str, names: Sequence[str]
) -> tuple[list[Amounts], Summary]:
    """Return what was spent in each stretch, by the names in a column, and the sums over all of them, by one query."""
    parts = {f"part_{place}": Figure.cost(Q(**{column: name})) for place, name in enumerate(names)}
    rows = spent.sums_in(_ranges(stretches), {**_SUMMARY, **parts})
    amounts = [Amounts(tuple(row[part] for part in parts), row["nanos"]) for row in rows]
    return amounts, Summary(**{name: sum(row[name] for row in rows) for name in _SUMMARY})


def rank(spent: History, column: str, most: int) -> list[Ranked]:
    """Return the names in a column that spent most: one query."""
    rows = spent.sums_by([column], {"nanos": NANOS, "records": RECORDS}, most)
    return [Ranked(name, sums["nanos"], sums["records"]) for (name,), sums in rows]


_SUMMARY: Final = {
    "nanos": NANOS,
    "records": RECORDS,
    "given_back": GIVEN_BACK,
    "expired": EXPIRED,
    "input_tokens": INPUT_TOKENS,
    "output_tokens": OUTPUT_TOKENS,
}


def _ranges(stretches: Sequence[Stretch | Window]) -> list[Q]:
    return [Q(at__gte=stretch.start, at__lt=stretch.end) for stretch in stretches]


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
