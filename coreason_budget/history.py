"""
``History``: what was spent, whether it is still there record by record or only as daily sums (``budget_prune``).

Each question is one statement over both tables: a record that is pruned meanwhile is seen in one of them, never in
both or in none.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from django.db import connections
from django.db.models import Aggregate, Count, IntegerField, Max, Q, Sum, Value

from .models import DailySum, SpendRecord
from .periods import Period, window_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date
    from zoneinfo import ZoneInfo

    from django.db.models import Model, QuerySet

__all__ = [
    "CHARGES",
    "EXPIRED",
    "GIVEN_BACK",
    "INPUT_TOKENS",
    "NANOS",
    "OUTPUT_TOKENS",
    "RECORDS",
    "Figure",
    "History",
    "kept_from",
]

_READ_AT_ONCE: Final = 2_000
_IS_CHARGE: Final = Q(kind=SpendRecord.Kind.CHARGE)


@dataclass(frozen=True, slots=True)
class Figure:
    """What is summed up: over records, and over daily sums. All are integers."""

    of_records: Aggregate
    of_sums: Aggregate

    @classmethod
    def cost(cls, only: Q | None = None) -> Figure:
        """Return the cost in nano-USD, ``only`` of what meets a condition on columns that both tables have."""
        each = Sum("cost_nanos", filter=only)
        return cls(each, each)


NANOS: Final = Figure.cost()
EXPIRED: Final = Figure.cost(Q(kind=SpendRecord.Kind.EXPIRED))
GIVEN_BACK: Final = Figure(Sum("cost_nanos", filter=Q(cost_nanos__lt=0)), Sum("given_back_nanos"))
RECORDS: Final = Figure(Count("*"), Sum("records"))
CHARGES: Final = Figure(Count("pk", filter=_IS_CHARGE), Sum("records", filter=_IS_CHARGE))
INPUT_TOKENS: Final = Figure(Sum("input_tokens"), Sum("input_tokens"))
OUTPUT_TOKENS: Final = Figure(Sum("output_tokens"), Sum("output_tokens"))


@dataclass(frozen=True, slots=True)
class History:
    """
    All that was spent, or what meets conditions: ``of`` both tables, ``of_records`` of the records alone.

    It is asked of the database ``using``, by default the one that the router names for reading records.
    """

    of: Q = field(default_factory=Q)
    of_records: Q = field(default_factory=Q)
    using: str | None = None

    def filter(self, *conditions: Q, **values: Any) -> History:
        """Return what meets these conditions too; daily sums are of whole days of the budget's calendar."""
        return replace(self, of=self.of & Q(*conditions, **values))

    def sums(self, figures: Mapping[str, Figure]) -> dict[str, int]:
        """Return the figures over all of it."""
        return self.sums_in([Q()], figures)[0]

    def sums_in(self, parts: Sequence[Q], figures: Mapping[str, Figure]) -> list[dict[str, int]]:
        """Return the figures over each part: a range of an index for each."""
        sums = [dict.fromkeys(figures, 0) for _ in parts]
        for place, row in self._rows(parts, figures):
            for name, value in zip(figures, row, strict=True):
                sums[place][name] += int(value or 0)
        return sums

    def sums_and_last(self, figures: Mapping[str, Figure]) -> tuple[dict[str, int], datetime | None]:
        """Return the figures over all of it, and when (UTC) the last of it was spent, None if nothing was."""
        last = Figure(Max("at"), Max("at"))
        sums, latest = dict.fromkeys(figures, 0), list[datetime]()
        for _place, (*row, at) in self._rows([Q()], {**figures, "last": last}):
            latest += [at] if at else []  # a table without such rows has no last
            for name, value in zip(figures, row, strict=True):
                sums[name] += int(value or 0)
        return sums, max(latest, default=None)

    def sums_by(
        self, columns: Sequence[str], figures: Mapping[str, Figure], most: int | None = None
    ) -> Iterator[tuple[tuple[str, ...], dict[str, int]]]:
        """
        Yield the values of columns with their figures, the greatest first figure first, at most so many.

        They come as the database has them: memory does not grow with their number.
        """
        connection = connections[self._alias]
        quote = connection.ops.quote_name
        grouped = [
            rows.values(*columns).annotate(**sums).values_list(*columns, *sums) for rows, sums in self._tables(figures)
        ]
        both, params = grouped[0].union(grouped[1], all=True).query.sql_with_params()
        by = ", ".join(map(quote, columns))
        first, *others = [f"SUM({quote(name)})" for name in figures]
        limit = connection.ops.limit_offset_sql(0, most) if most is not None else ""
        statement = (
            f"WITH spent ({', '.join(map(quote, (*columns, *figures)))}) AS ({both}) "  # noqa: S608 - names are columns
            f"SELECT {by}, {', '.join((first, *others))} FROM spent GROUP BY {by} ORDER BY {first} DESC, {by} {limit}"
        )
        with closing(connection.chunked_cursor()) as cursor:
            cursor.execute(statement, params)
            rows: Iterator[Any] = iter(lambda: cursor.fetchmany(_READ_AT_ONCE), [])
            for row in (row for some in rows for row in some):
                values = iter(row)
                names = tuple(islice(values, len(columns)))
                yield names, {name: int(value or 0) for name, value in zip(figures, values, strict=True)}

    @property
    def _alias(self) -> str:
        return self.using or SpendRecord.objects.db

    def _tables(self, figures: Mapping[str, Figure]) -> list[tuple[QuerySet[Any], dict[str, Aggregate]]]:
        """Return the rows of each table, with the figures over them."""
        tables: tuple[tuple[type[Model], Q, str], ...] = (
            (SpendRecord, self.of & self.of_records, "of_records"),
            (DailySum, self.of, "of_sums"),
        )
        return [
            (
                model._default_manager.using(self._alias).filter(condition).order_by(),
                {name: getattr(figure, side) for name, figure in figures.items()},
            )
            for model, condition, side in tables
        ]

    def _rows(self, parts: Sequence[Q], figures: Mapping[str, Figure]) -> Iterator[tuple[int, Sequence[Any]]]:
        each = [
            rows.filter(part)
            .annotate(place=Value(place, output_field=IntegerField()))
            .values("place")
            .annotate(**sums)
            .values_list("place", *sums)
            for rows, sums in self._tables(figures)
            for place, part in enumerate(parts)
        ]
        for place, *row in each[0].union(*each[1:], all=True):
            yield place, row


def kept_from(zone: ZoneInfo, using: str | None = None) -> date | None:
    """Return the first day of which single records are kept, None if none were ever pruned. One query."""
    sums = DailySum.objects.using(using) if using else DailySum.objects
    last = sums.aggregate(last=Max("at"))["last"]
    return window_at(Period.DAY, window_at(Period.DAY, last, zone).end, zone).first_day if last else None
