"""
How records are found among millions: exact searches that an index answers, and counts that stop.

A term is looked up as a charge id, then as a user and a project, and only what was found becomes a condition, so that
the list itself is one range of one index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Q
from django.utils.functional import cached_property

from ..models import SpendRecord
from .record_filters import FROM, KIND, NAMES, UNTIL
from .user_choice import users_named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet
    from django.http import HttpRequest

    RecordPaginator = Paginator[SpendRecord]
else:
    RecordPaginator = Paginator

__all__ = ["MAX_COUNT", "BoundedPaginator", "RecordList", "search"]

#: So many records are counted and can be paged through; older ones are reached by searching and filtering.
MAX_COUNT: Final = 10_000


class BoundedPaginator(RecordPaginator):
    """Pages through the newest records without counting the others."""

    @cached_property
    def reached(self) -> int:
        """Count the records, up to one more than are shown."""
        records: QuerySet[SpendRecord] = self.object_list  # type: ignore[assignment]  # of a list of the admin
        return records.order_by()[: MAX_COUNT + 1].count()

    @property
    def count(self) -> int:
        """The number of records that can be paged through."""
        return min(self.reached, MAX_COUNT)

    @property
    def has_more(self) -> bool:
        """Whether there are records that the pages do not reach."""
        return self.reached > MAX_COUNT


class RecordList(ChangeList):
    """The list of records, always in an order that an index has."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[SpendRecord]) -> list[Any]:
        """Return the newest first: by time where an index leads to a range of it, else by primary key."""
        by_time = self.query or {FROM, UNTIL, KIND, *NAMES} & set(self.params)
        return ["-at", "-pk"] if by_time else ["-pk"]


def search(queryset: QuerySet[SpendRecord], term: str) -> QuerySet[SpendRecord]:
    """Return the records whose charge id, user or project is exactly this."""
    if not term:
        return queryset
    records = SpendRecord.objects.using(queryset.db)
    charges = [term, f"refund:{term}", f"{term}~refund"]
    if records.filter(charge_id=term).exists():
        return queryset.filter(charge_id__in=charges)
    condition = Q()
    for name, value in _owners(term):
        if records.filter(**{name: value}).exists():
            condition |= Q(**{name: value})
    return queryset.filter(condition) if condition else queryset.none()


def _owners(term: str) -> Iterator[tuple[str, Any]]:
    yield "project_id", term
    for user_id in dict.fromkeys((term, *users_named(term))):
        yield "user_id", user_id
