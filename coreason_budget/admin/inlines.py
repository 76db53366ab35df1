"""``UserLimitInline``: a user's limits on the user's own page of the project's admin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin

from ..models import UserLimit
from .conflicts import SEEN, locked
from .fields import AMOUNT_FIELDS
from .limit_forms import LimitForm

if TYPE_CHECKING:
    from typing import Any

    from django.db.models import QuerySet
    from django.http import HttpRequest

    UserLimitStackedInline = admin.StackedInline[UserLimit, Any]
else:
    UserLimitStackedInline = admin.StackedInline

__all__ = ["UserLimitInline"]


class UserLimitInline(UserLimitStackedInline):
    """
    The limits of a user on the user's form. It asks Redis nothing.

    >>> from django.contrib.auth.admin import UserAdmin
    >>> from coreason_budget.admin import UserLimitInline
    >>> class MyUserAdmin(UserAdmin):
    ...     inlines = [UserLimitInline]
    """

    model = UserLimit
    form = LimitForm
    formfield_overrides = AMOUNT_FIELDS
    fields = (("period", "amount_usd", "unlimited"), ("boost_usd", "boost_until"), "reason", SEEN)
    extra = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[UserLimit]:
        """Return the limits, when they are saved as they stay until then."""
        found = super().get_queryset(request)
        return locked(found) if request.method == "POST" else found
