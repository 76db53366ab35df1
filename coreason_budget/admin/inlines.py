"""``UserLimitInline``: a user's limits on the user's own page of the project's admin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin

from ..models import UserLimit
from .fields import AMOUNT_FIELDS
from .limit_forms import LimitForm

if TYPE_CHECKING:
    from typing import Any

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
    form = LimitForm  # type: ignore[assignment]  # the form of every kind of limit
    formfield_overrides = AMOUNT_FIELDS
    fields = (("period", "amount_usd", "unlimited"), ("boost_usd", "boost_until"), "reason")
    extra = 0
