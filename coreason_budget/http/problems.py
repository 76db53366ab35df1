"""
Why a visitor was not let through, as a visitor may know it (RFC 9457), in the words of the answer and of the page.

A visitor sees figures of the own account only; of a project or the site only whose budget it is and when it resets.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _

from ..exceptions import BudgetExceededError, BudgetUnavailableError
from ..refusals.reasons import Reason, reason_of

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from .budget import RequestBudget

__all__ = ["Problem", "problem_of"]

_AMOUNTS: Final = ("limit", "spent", "held", "remaining", "requested")


@dataclass(frozen=True, slots=True)
class Problem:
    """
    Why a call was refused. Amounts are USD, ``retry_after`` is in seconds; what does not apply is None.

    By the ``reference`` administrators find the decision; ``instance`` is the same as a URI.
    """

    type: str
    status: int
    title: str
    detail: str
    instance: str | None = None
    reference: str | None = None
    scope: str | None = None
    period: str | None = None
    resets_at: datetime | None = None
    retry_after: int | None = None
    limit: Decimal | None = None
    spent: Decimal | None = None
    held: Decimal | None = None
    remaining: Decimal | None = None
    requested: Decimal | None = None

    def members(self) -> dict[str, Any]:
        """Return the members of the JSON answer: amounts are strings of USD, instants ISO 8601."""
        found: dict[str, Any] = {}
        for name, value in asdict(self).items():
            if value is None:
                continue
            if name in _AMOUNTS:
                found[f"{name}_usd"] = f"{value:f}"
            else:
                found[name] = value.isoformat() if name == "resets_at" else value
        return found

    def headers(self) -> dict[str, str]:
        """Return the headers of the answer that are of the problem alone."""
        found = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return found if self.reference is None else {**found, "X-Budget-Reference": self.reference}


def problem_of(error: BudgetExceededError | BudgetUnavailableError, budget: RequestBudget) -> Problem:
    """Return what an error is to the visitor whose budget this is."""
    if isinstance(error, BudgetUnavailableError):
        return Problem(
            type="urn:coreason-budget:unavailable",
            status=HTTPStatus.SERVICE_UNAVAILABLE,
            title=_("Budget unavailable"),
            detail=_("The budget cannot be checked at the moment, so this request was not carried out."),
            retry_after=error.retry_after,
        )
    is_own = error.scope == "user" and budget.knows(error.subject)
    figures = {name: getattr(error, name) for name in _AMOUNTS} if is_own else {}
    kind, title, detail = _why(error, "own" if is_own else error.scope)
    return Problem(
        type=f"urn:coreason-budget:{kind}",
        status=HTTPStatus.TOO_MANY_REQUESTS,
        title=title,
        detail=detail,
        instance=f"urn:coreason-budget:refusal:{error.reference}" if error.reference else None,
        reference=error.reference or None,
        scope=error.scope,
        period=error.period,
        resets_at=error.resets_at,
        retry_after=error.retry_after,
        **figures,
    )


def _why(error: BudgetExceededError, whose: str) -> tuple[str, str, str]:
    """Return the kind of refusal, its title and its detail."""
    if whose == "run":
        return (
            "run-exhausted",
            _("Budget of this task used up"),
            _("What this task may cost in all is used up, so it was stopped."),
        )
    reason = reason_of(limit=error.limit, spent=error.spent, asked=error.requested)
    match reason:
        case Reason.BLOCKED:
            return reason, _("Budget blocked"), _blocked(whose)
        case Reason.TOO_LARGE:
            return reason, _("Request too large for the budget"), _too_large(whose)
        case Reason.IN_USE:
            return reason, _("Budget in use"), _in_use(whose)
        case Reason.EXCEEDED:
            return reason, _("Budget used up"), _used_up(whose, error.period)


def _used_up(whose: str, period: str) -> str:
    return {
        ("own", "day"): _("Your budget for today does not cover this request."),
        ("own", "week"): _("Your budget for this week does not cover this request."),
        ("own", "month"): _("Your budget for this month does not cover this request."),
        ("user", "day"): _("The budget of this user for today does not cover this request."),
        ("user", "week"): _("The budget of this user for this week does not cover this request."),
        ("user", "month"): _("The budget of this user for this month does not cover this request."),
        ("project", "day"): _("The budget of this project for today does not cover this request."),
        ("project", "week"): _("The budget of this project for this week does not cover this request."),
        ("project", "month"): _("The budget of this project for this month does not cover this request."),
        ("global", "day"): _("The budget of this site for today does not cover this request."),
        ("global", "week"): _("The budget of this site for this week does not cover this request."),
        ("global", "month"): _("The budget of this site for this month does not cover this request."),
    }[whose, period]


def _too_large(whose: str) -> str:
    return {
        "own": _("This request may cost more than your whole budget."),
        "user": _("This request may cost more than the whole budget of this user."),
        "project": _("This request may cost more than the whole budget of this project."),
        "global": _("This request may cost more than the whole budget of this site."),
    }[whose]


def _in_use(whose: str) -> str:
    reserved = {
        "own": _("What is left of your budget is reserved for other requests."),
        "user": _("What is left of the budget of this user is reserved for other requests."),
        "project": _("What is left of the budget of this project is reserved for other requests."),
        "global": _("What is left of the budget of this site is reserved for other requests."),
    }[whose]
    remedy = _("They may give some of it back soon.")
    return f"{reserved} {remedy}"


def _blocked(whose: str) -> str:
    blocked = {
        "own": _("Your budget is blocked, so this request was not carried out."),
        "user": _("The budget of this user is blocked, so this request was not carried out."),
        "project": _("The budget of this project is blocked, so this request was not carried out."),
        "global": _("The budget of this site is blocked, so this request was not carried out."),
    }[whose]
    remedy = _("Waiting does not help here: please ask an administrator.")
    return f"{blocked} {remedy}"
