"""Filters of the lists of limits: by how much room there is, by what counts at this moment, and by boost."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from ..templatetags.bars import State
from . import words
from .live import live_figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.functional import _StrPromise

    from ..models import BudgetLimit

__all__ = ["STATUSES", "BoostFilter", "StateFilter", "StatusFilter"]

#: How much room there is, in words.
STATUSES: Final = {
    State.OK: pgettext_lazy("status", "ok"),
    State.NEAR: pgettext_lazy("status", "nearly used up"),
    State.OVER: pgettext_lazy("status", "used up"),
    State.BLOCKED: pgettext_lazy("status", "blocked"),
    State.UNLIMITED: pgettext_lazy("status", "unlimited"),
}

#: So many accounts are looked at in one round trip, which holds up Redis for a moment, and so many at all.
_AT_ONCE: Final = 200
MOST_LOOKED_AT: Final = 10_000


class StatusFilter(admin.SimpleListFilter):
    """How much room there is at this moment, which only Redis knows: all limits of the list are looked at."""

    title = _("status")
    parameter_name = "room"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, _StrPromise]]:
        """Return what an account can be like."""
        return [(state.value, label) for state, label in STATUSES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[BudgetLimit]) -> QuerySet[BudgetLimit]:
        """Return the limits whose accounts are like that now; none if there are too many to look at them all."""
        wanted = self.value()
        if wanted not in {state.value for state in STATUSES}:
            return queryset
        limits = list(queryset.order_by()[: MOST_LOOKED_AT + 1])
        if len(limits) > MOST_LOOKED_AT:
            said = gettext("Filter by something else first: the status of at most %(count)s limits is looked at.")
            messages.warning(request, said % {"count": words.number(MOST_LOOKED_AT)})
            return queryset.none()
        found, rest = list[Any](), iter(limits)
        while some := list(islice(rest, _AT_ONCE)):
            figures = live_figures(some)
            if figures.problem:
                messages.warning(request, gettext("Who is near a limit is unknown at the moment: %s") % figures.problem)
                return queryset.none()
            found += [each.pk for each in some if (live := figures.of(each)) and State.of(live) == wanted]
        return queryset.filter(pk__in=found)


class StateFilter(admin.SimpleListFilter):
    """What counts at this moment, boosts included."""

    title = _("limit now")
    parameter_name = "now"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, _StrPromise]]:
        """Return the states that a limit can be in."""
        return [
            ("blocked", pgettext_lazy("limit", "blocked")),
            ("limited", pgettext_lazy("limit", "limited")),
            ("unlimited", pgettext_lazy("limit", "unlimited")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[BudgetLimit]) -> QuerySet[BudgetLimit]:
        """Return the limits that are in the chosen state."""
        boosted = _boosted()
        match self.value():
            case "blocked":
                return queryset.filter(boosted & Q(boost_usd=0) | ~boosted & Q(amount_usd=0))
            case "limited":
                return queryset.filter(boosted & Q(boost_usd__gt=0) | ~boosted & Q(amount_usd__gt=0))
            case "unlimited":
                return queryset.filter(~boosted, amount_usd__isnull=True)
            case _:
                return queryset


class BoostFilter(admin.SimpleListFilter):
    """Whether a boost counts at this moment."""

    title = _("boost")
    parameter_name = "boost"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, _StrPromise]]:
        """Return what can be said of a boost."""
        return [("now", _("boosted now")), ("ended", _("boost has ended")), ("none", _("no boost"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[BudgetLimit]) -> QuerySet[BudgetLimit]:
        """Return the limits of which the chosen is true."""
        match self.value():
            case "now":
                return queryset.filter(_boosted())
            case "ended":
                return queryset.filter(~_boosted(), boost_until__isnull=False)
            case "none":
                return queryset.filter(boost_until__isnull=True)
            case _:
                return queryset


def _boosted() -> Q:
    return Q(boost_until__gt=timezone.now())
