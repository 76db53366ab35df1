"""What visitors may see of their own: the accounts of whoever is asking, not those of projects or the site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..scopes import Scope
from .budget import budget_of

if TYPE_CHECKING:
    from django.http import HttpRequest

    from ..results import AccountStatus

__all__ = ["own_accounts"]


def own_accounts(request: HttpRequest) -> tuple[AccountStatus, ...]:
    """Return how each limit of whoever is asking stands. Raise BudgetUnavailableError."""
    return tuple(account for account in budget_of(request).status() if account.scope == Scope.USER)
