"""``Report``: what was spent in days of the budget's calendar, summed up by whatever is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from ..history import INPUT_TOKENS, NANOS, OUTPUT_TOKENS, RECORDS, History
from ..money import to_usd
from ..periods import Period, Window, window_at, window_named
from .names import user_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date
    from decimal import Decimal
    from zoneinfo import ZoneInfo

__all__ = ["COLUMNS", "PERIODS_OF", "Line", "Report"]

#: What can be asked for, and the column of the records that has it.
COLUMNS: Final = {"user": "user_id", "project": "project_id", "model": "model", "kind": "kind"}
PERIODS_OF: Final = {period.value: period for period in Period}

_READ_AT_ONCE: Final = 2_000
_FIGURES: Final = {
    "nanos": NANOS,
    "records": RECORDS,
    "input_tokens": INPUT_TOKENS,
    "output_tokens": OUTPUT_TOKENS,
}


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
    The sums of all that was spent from a day to another, both included, ``by`` columns and at most one period.

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
            rows = self._sums(History().filter(at__gte=start, at__lt=end))
            while some := list(islice(rows, _READ_AT_ONCE)):
                names = user_names({of["user_id"] for of, _ in some}) if "user" in self.by else {}
                for of, sums in some:
                    if sums["records"]:
                        yield self._line(of, sums, window_id, names)

    def _sums(self, spent: History) -> Iterator[tuple[dict[str, str], dict[str, int]]]:
        columns = [COLUMNS[name] for name in self.by if name in COLUMNS]
        if not columns:
            yield {}, spent.sums(_FIGURES)
            return
        for values, sums in spent.sums_by(columns, _FIGURES):
            yield dict(zip(columns, values, strict=True)), sums

    def _line(self, of: dict[str, str], sums: dict[str, int], window_id: str, names: dict[str, str]) -> Line:
        return Line(
            of=tuple(window_id if name in PERIODS_OF else of[COLUMNS[name]] for name in self.by),
            user_name=names.get(of.get("user_id", ""), ""),
            cost=to_usd(sums["nanos"]),
            records=sums["records"],
            input_tokens=sums["input_tokens"],
            output_tokens=sums["output_tokens"],
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
