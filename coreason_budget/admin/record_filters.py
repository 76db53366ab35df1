"""Filters of the list of records: by days of the budget's calendar, by names, and by what is not counted yet."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .. import service
from ..periods import Period, window_at, window_named
from .user_choice import users_named

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from django.contrib.admin.views.main import ChangeList
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.functional import _StrPromise

    from ..models import SpendRecord

__all__ = ["FROM", "KIND", "NAMES", "UNTIL", "DaysFilter", "NamesFilter", "UncountedFilter", "day_ranges"]

FROM: Final = "from"
UNTIL: Final = "until"
KIND: Final = "kind__exact"  # so Django's own filter names it
#: What can be named in the address, with the columns; an index leads to each.
NAMES: Final = {"user": "user_id", "project": "project_id", "model": "model"}


class FormFilter(admin.ListFilter):
    """A filter with a form, whose fields are parameters of the list; all other parameters are kept in it."""

    #: The parameters that this filter reads.
    names: Collection[str]

    def __init__(
        self, request: HttpRequest, params: dict[str, list[str]], model: type[SpendRecord], model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.values = {name: params.pop(name, [""])[-1].strip() for name in self.names}
        self.kept: list[tuple[str, str]] = []

    def has_output(self) -> bool:
        """Tell Django that there is always something to fill in."""
        return True

    def expected_parameters(self) -> list[str | None]:
        """Return the parameters that this filter reads."""
        return list(self.names)

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        """Return no links, and learn what else the list was asked for."""
        params = changelist.filter_params.items()
        self.kept = [(name, value) for name, values in params if name not in self.names for value in values]
        return iter(())


class DaysFilter(FormFilter):
    """The days on which records were booked, both included, as ranges that an index answers."""

    title = _("day")
    template = "admin/coreason_budget/days_filter.html"
    names = (FROM, UNTIL)

    def __init__(
        self, request: HttpRequest, params: dict[str, list[str]], model: type[SpendRecord], model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.zone = service.manager().config.time_zone
        self.days = {name: _day(value) for name, value in self.values.items()}

    @property
    def first(self) -> str:
        """The first day as a date input takes it."""
        return _text(self.days[FROM])

    @property
    def last(self) -> str:
        """The last day as a date input takes it."""
        return _text(self.days[UNTIL])

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        """Return links to the ranges that are asked for most."""
        yield from super().choices(changelist)
        for label, first, last in day_ranges(window_at(Period.DAY, timezone.now(), self.zone).first_day):
            yield {
                "selected": self.days == {FROM: first, UNTIL: last},
                "query_string": changelist.get_query_string({FROM: _text(first) or None, UNTIL: _text(last) or None}),
                "display": label,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[SpendRecord]) -> QuerySet[SpendRecord]:
        """Return the records of the chosen days."""
        first, last = self.days[FROM], self.days[UNTIL]
        try:
            if first is not None:
                queryset = queryset.filter(at__gte=window_named(Period.DAY, first.isoformat(), self.zone).start)
            if last is not None:
                queryset = queryset.filter(at__lt=window_named(Period.DAY, last.isoformat(), self.zone).end)
        except OverflowError as error:  # the last day that a calendar has
            raise IncorrectLookupParameters(error) from error
        return queryset


class NamesFilter(FormFilter):
    """The user, the project and the model, each by its exact name."""

    title = _("user, project, model")
    template = "admin/coreason_budget/names_filter.html"
    names = NAMES

    def queryset(self, request: HttpRequest, queryset: QuerySet[SpendRecord]) -> QuerySet[SpendRecord]:
        """Return the records of the user, whose name or id it may be, and of the project and the model."""
        for name, value in self.values.items():
            if "\0" in value:  # PostgreSQL takes none
                raise IncorrectLookupParameters
            if value:
                meant = dict.fromkeys((value, *users_named(value))) if name == "user" else (value,)
                queryset = queryset.filter(**{f"{NAMES[name]}__in": meant})
        return queryset


class UncountedFilter(admin.SimpleListFilter):
    """Records that were written while Redis was down and that the ledger does not know of yet."""

    title = _("ledger")
    parameter_name = "uncounted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, _StrPromise]]:
        """Return the one thing that is asked for."""
        return [("1", _("not counted yet"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SpendRecord]) -> QuerySet[SpendRecord]:
        """Return the records of which the ledger does not know."""
        return queryset.filter(journal_id__isnull=True) if self.value() == "1" else queryset


def day_ranges(today: date) -> Iterator[tuple[_StrPromise, date | None, date | None]]:
    """Yield the ranges of days that are asked for most, with their names."""
    first = today.replace(day=1)
    last_month = first - timedelta(days=1)
    yield _("Any day"), None, None
    yield _("Today"), today, today
    yield _("Yesterday"), today - timedelta(days=1), today - timedelta(days=1)
    yield _("Past 7 days"), today - timedelta(days=6), today
    yield _("This month"), first, today
    yield _("Last month"), last_month.replace(day=1), last_month


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise IncorrectLookupParameters(error) from error


def _text(day: date | None) -> str:
    return "" if day is None else day.isoformat()
