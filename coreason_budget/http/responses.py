"""
What a visitor gets who is not let through: problem+json (RFC 9457) or a page, and the ``X-Budget`` headers.

A visitor sees figures of the own account only; of a project or the site only whose budget it is and when it resets.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.template import Context, Engine, TemplateDoesNotExist, loader
from django.templatetags.static import static
from django.utils.cache import add_never_cache_headers, patch_cache_control, patch_vary_headers
from django.utils.translation import gettext as _

from ..exceptions import BudgetExceededError, BudgetUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.http import HttpRequest

    from ..results import AccountStatus
    from .budget import RequestBudget

__all__ = ["REFUSALS", "Problem", "add_headers", "refusal"]

#: The errors that become answers.
REFUSALS: Final = (BudgetExceededError, BudgetUnavailableError)

_MEDIA_TYPES: Final = ("application/problem+json", "application/json", "text/html")
_TEMPLATES: Final = Path(__file__).resolve().parent.parent / "templates"
_LIBRARIES: Final = {
    "coreason_budget": "coreason_budget.templatetags.coreason_budget",
    "i18n": "django.templatetags.i18n",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a call was refused, as a visitor may know it. Amounts are USD, ``retry_after`` is in seconds."""

    type: str
    status: int
    title: str
    detail: str
    scope: str | None = None
    period: str | None = None
    resets_at: datetime | None = None
    retry_after: int | None = None
    limit: Decimal | None = None
    spent: Decimal | None = None
    remaining: Decimal | None = None
    requested: Decimal | None = None


def refusal(
    request: HttpRequest, error: BudgetExceededError | BudgetUnavailableError, budget: RequestBudget
) -> HttpResponse:
    """Return the answer to a request that was refused. It makes no query and no round trip."""
    problem = _problem(error, budget)
    wants = request.get_preferred_type(list(_MEDIA_TYPES))
    response = _page(request, problem) if wants == "text/html" else _json(problem)
    if problem.retry_after is not None:
        response["Retry-After"] = str(problem.retry_after)
    add_never_cache_headers(response)
    patch_vary_headers(response, ["Accept"])
    if problem.remaining is not None:
        _set(response, "Remaining-USD", problem.remaining)
        _set(response, "Reset", problem.resets_at)
    _add(response, budget)  # what was learnt later replaces it: what a hold gave back, or what remains after a charge
    return response


def add_headers(response: object, budget: RequestBudget) -> None:
    """Tell what the request cost and what its user has left, if it used the budget and is no stream."""
    if budget.is_used and isinstance(response, HttpResponseBase) and not response.streaming:
        _add(response, budget)
        patch_cache_control(response, private=True)  # a shared cache would tell others what is left


def _add(response: HttpResponseBase, budget: RequestBudget) -> None:
    _set(response, "Cost-USD", budget.cost)
    tightest = _tightest(budget.latest)
    if tightest is not None:
        _set(response, "Remaining-USD", tightest.remaining)
        _set(response, "Reset", tightest.resets_at)


def _tightest(accounts: Iterable[AccountStatus]) -> AccountStatus | None:
    limited = [account for account in accounts if account.scope == "user" and account.remaining is not None]
    return min(limited, key=lambda account: account.remaining or Decimal(0), default=None)


def _set(response: HttpResponseBase, name: str, value: Decimal | datetime | None) -> None:
    response[f"X-Budget-{name}"] = f"{value:f}" if isinstance(value, Decimal) else value.isoformat() if value else ""


# the problem ---------------------------------------------------------------------------------------------------------


def _problem(error: BudgetExceededError | BudgetUnavailableError, budget: RequestBudget) -> Problem:
    if isinstance(error, BudgetUnavailableError):
        return Problem(
            type="urn:coreason-budget:unavailable",
            status=503,
            title=_("Budget unavailable"),
            detail=_("The budget cannot be checked at the moment, so nothing was done. Please try again shortly."),
            retry_after=error.retry_after,
        )
    is_own = error.scope == "user" and budget.knows(error.subject)
    return Problem(
        type="urn:coreason-budget:exceeded",
        status=429,
        title=_("Budget blocked") if not error.limit else _("Budget used up"),
        detail=_detail(error),
        scope=error.scope,
        period=error.period,
        resets_at=error.resets_at,
        retry_after=error.retry_after,
        limit=error.limit if is_own else None,
        spent=error.spent if is_own else None,
        remaining=error.remaining if is_own else None,
        requested=error.requested if is_own else None,
    )


def _detail(error: BudgetExceededError) -> str:
    if not error.limit:
        return {
            "user": _("Your budget is blocked. Please ask an administrator."),
            "project": _("The budget of this project is blocked. Please ask an administrator."),
            "global": _("The budget of this site is blocked. Please ask an administrator."),
        }[error.scope]
    whose = {
        ("user", "day"): _("Your budget for today has no room for this call."),
        ("user", "week"): _("Your budget for this week has no room for this call."),
        ("user", "month"): _("Your budget for this month has no room for this call."),
        ("project", "day"): _("The budget of this project for today has no room for this call."),
        ("project", "week"): _("The budget of this project for this week has no room for this call."),
        ("project", "month"): _("The budget of this project for this month has no room for this call."),
        ("global", "day"): _("The budget of this site for today has no room for this call."),
        ("global", "week"): _("The budget of this site for this week has no room for this call."),
        ("global", "month"): _("The budget of this site for this month has no room for this call."),
    }[error.scope, error.period]
    resets = _("It resets at %(time)s.") % {"time": error.resets_at.isoformat()}
    return f"{whose} {resets}"


def _json(problem: Problem) -> HttpResponse:
    amounts = ("limit", "spent", "remaining", "requested")
    members: dict[str, Any] = {}
    for name, value in asdict(problem).items():
        if value is None:
            continue
        if name in amounts:
            members[f"{name}_usd"] = f"{value:f}"
        else:
            members[name] = value.isoformat() if name == "resets_at" else value
    return JsonResponse(members, status=problem.status, content_type="application/problem+json")


def _page(request: HttpRequest, problem: Problem) -> HttpResponse:
    """Return the page for browsers; a project without a template engine gets the app's own, without its overrides."""
    name = f"coreason_budget/{problem.status}.html"
    context = {"problem": problem, "stylesheet": _stylesheet()}
    try:
        text = loader.render_to_string(name, context, request)
    except (TemplateDoesNotExist, ImproperlyConfigured):
        engine = Engine(dirs=[str(_TEMPLATES)], libraries=_LIBRARIES)
        text = engine.get_template(name).render(Context(context))
    return HttpResponse(text, status=problem.status)


def _stylesheet() -> str | None:
    """Return the address of the style sheet; a site without static files gets a plain page instead of an error."""
    if not settings.STATIC_URL:
        return None
    try:
        return static("coreason_budget/page.css")
    except (ImproperlyConfigured, ValueError):  # a manifest that does not know the file
        return None
