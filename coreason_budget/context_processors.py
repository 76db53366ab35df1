"""``coreason_budget.context_processors.budget``: the accounts of whoever is asking, for every template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.functional import SimpleLazyObject

from .exceptions import BudgetUnavailableError
from .http import budget_of
from .scopes import Scope

if TYPE_CHECKING:
    from django.http import HttpRequest

    from .results import AccountStatus

__all__ = ["budget"]


def budget(request: HttpRequest) -> dict[str, Any]:
    """
    Give templates ``budget_accounts``: how the limits of whoever is asking stand, one AccountStatus for each period.

    Nothing is asked unless a template looks at it, and then once; it is empty if the budget cannot be checked.
    """
    return {"budget_accounts": SimpleLazyObject(lambda: _own_accounts(request))}


def _own_accounts(request: HttpRequest) -> tuple[AccountStatus, ...]:
    try:
        accounts = budget_of(request).status()
    except BudgetUnavailableError:
        return ()  # the page goes on; the guard has logged it
    return tuple(account for account in accounts if account.scope == Scope.USER)
