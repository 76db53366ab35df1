"""What a project may put into its URLs: how the budget of whoever is asking stands, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.http import JsonResponse
from django.utils.cache import add_never_cache_headers, patch_vary_headers
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from . import service
from .exceptions import BudgetUnavailableError
from .http import budget_of
from .http.callers import user_of
from .http.responses import refusal
from .scopes import ANONYMOUS, Scope

if TYPE_CHECKING:
    from decimal import Decimal

    from django.http import HttpRequest, HttpResponse

    from .results import AccountStatus

__all__ = ["own_status"]

_FORBIDDEN: Final = 403


@require_safe
def own_status(request: HttpRequest) -> HttpResponse:
    """
    Answer with the limits of whoever is asking, what is spent and left: amounts are strings of USD, None is unlimited.

    Who is not logged in gets 403: the account of all visitors is nobody's own. 503 if the budget cannot be checked.
    """
    budget = service.manager()
    user = budget.drive(user_of(request, budget.config))
    if user == ANONYMOUS:
        return _answer(_anonymous())
    try:
        accounts = budget.status(user)
    except BudgetUnavailableError as error:
        return refusal(request, error, budget_of(request))
    own = [_as_json(account) for account in accounts if account.scope == Scope.USER]
    return _answer(JsonResponse({"accounts": own}))


def _as_json(account: AccountStatus) -> dict[str, str | None]:
    return {
        "period": account.period,
        "limit_usd": _usd(account.limit),
        "spent_usd": _usd(account.spent),
        "held_usd": _usd(account.held),
        "remaining_usd": _usd(account.remaining),
        "resets_at": account.resets_at.isoformat(),
    }


def _usd(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"


def _anonymous() -> HttpResponse:
    problem = {
        "type": "about:blank",
        "status": _FORBIDDEN,
        "title": _("Not logged in"),
        "detail": _("Please log in to see your budget."),
    }
    return JsonResponse(problem, status=_FORBIDDEN, content_type="application/problem+json")


def _answer(response: HttpResponse) -> HttpResponse:
    add_never_cache_headers(response)
    patch_vary_headers(response, ["Cookie"])
    return response
