"""The admin of users, with their budgets in it: add the inline to your own user admin in the same way."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User

from coreason_budget.admin import UserLimitInline

__all__ = ["BudgetUserAdmin"]

admin.site.unregister(User)


@admin.register(User)
class BudgetUserAdmin(UserAdmin):  # type: ignore[type-arg]  # takes arguments for type checkers only
    """Django's own, and what the user may spend."""

    inlines = (UserLimitInline,)
