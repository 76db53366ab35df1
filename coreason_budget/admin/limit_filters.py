"""Filters of the lists of limits: by what counts at this moment, and by boost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.functional import _StrPromise

    from ..models import BudgetLimit

__all__ = ["BoostFilter", "StateFilter"]


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
