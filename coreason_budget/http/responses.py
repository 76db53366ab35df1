"""What a visitor gets who is not let through: problem+json (RFC 9457) or a page, and the ``X-Budget`` headers."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.template import Context, Engine, TemplateDoesNotExist, loader
from django.templatetags.static import static
from django.utils.cache import add_never_cache_headers, patch_cache_control, patch_vary_headers

from ..exceptions import BudgetExceededError, BudgetUnavailableError
from .problems import problem_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.http import HttpRequest

    from ..results import AccountStatus
    from .budget import RequestBudget
    from .problems import Problem

__all__ = ["REFUSALS", "add_headers", "refusal"]

#: The errors that become answers.
REFUSALS: Final = (BudgetExceededError, BudgetUnavailableError)

_MEDIA_TYPES: Final = ("application/problem+json", "application/json", "text/html")
_TEMPLATES: Final = Path(__file__).resolve().parent.parent / "templates"
_LIBRARIES: Final = {
    "coreason_budget": "coreason_budget.templatetags.coreason_budget",
    "i18n": "django.templatetags.i18n",
}


def refusal(
    request: HttpRequest, error: BudgetExceededError | BudgetUnavailableError, budget: RequestBudget
) -> HttpResponse:
    """Return the answer to a request that was refused. It makes no query and no round trip."""
    problem = problem_of(error, budget)
    wants = request.get_preferred_type(list(_MEDIA_TYPES))
    response = _page(request, problem) if wants == "text/html" else _json(problem)
    for name, value in problem.headers().items():
        response[name] = value
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
    if budget.refusal is not None and budget.refusal.reference:  # of a throttle, whose answer is not ours
        response["X-Budget-Reference"] = budget.refusal.reference
    tightest = _tightest(budget.latest)
    if tightest is not None:
        _set(response, "Remaining-USD", tightest.remaining)
        _set(response, "Reset", tightest.resets_at)


def _tightest(accounts: Iterable[AccountStatus]) -> AccountStatus | None:
    limited = [account for account in accounts if account.scope == "user" and account.remaining is not None]
    return min(limited, key=lambda account: account.remaining or Decimal(0), default=None)


def _set(response: HttpResponseBase, name: str, value: Decimal | datetime | None) -> None:
    response[f"X-Budget-{name}"] = f"{value:f}" if isinstance(value, Decimal) else value.isoformat() if value else ""


# the two forms --------------------------------------------------------------------------------------------------------


def _json(problem: Problem) -> HttpResponse:
    return JsonResponse(problem.members(), status=problem.status, content_type="application/problem+json")


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
