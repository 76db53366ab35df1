"""For Django REST framework: a throttle that asks the budget, and an exception handler that says why it said no."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.exceptions import BadRequest
from rest_framework import views
from rest_framework.exceptions import APIException, ParseError, Throttled
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from .. import service
from ..exceptions import BudgetExceededError, BudgetUnavailableError
from ..http.budget import budget_of
from ..http.callers import http_request, project_of, user_of
from ..http.problems import problem_of
from ..http.responses import REFUSALS
from ..http.steps import Hook
from ..ledger.steps import Twin
from ..refusals.places import Place, placed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rest_framework.request import Request
    from rest_framework.views import APIView

    from ..http.problems import Problem
    from ..ledger.steps import Operation
    from ..manager import BudgetManager
    from ..money import Amount

__all__ = ["BudgetThrottle", "ServiceUnavailableError", "exception_handler"]


class ServiceUnavailableError(APIException):
    """The budget cannot be checked; REST framework answers it with 503 and ``Retry-After``."""

    status_code = 503
    default_code = "budget_unavailable"

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.wait = problem.retry_after  # REST framework's exception handler makes it the header


class BudgetThrottle(BaseThrottle):
    """
    Lets a request through while the budgets of its user, its project and the site have room for it.

    It holds nothing: it spares who has no room the work of a view, and leaves the exact decision to ``@budgeted`` or a
    reservation in the view. Name it in ``throttle_classes``, or in DEFAULT_THROTTLE_CLASSES for all views.

    ``project`` is the name of a URL keyword or a method ``(request, **url_keywords)`` that returns an id or None; by
    default what PROJECT_ID says. ``amount`` is what must be free, in USD, or such a method; 0 asks whether anything is
    left at all. A view's ``budget_project`` and ``budget_amount`` go before those of the throttle.
    """

    project: str | Callable[..., Any] | None = None
    amount: Amount | Callable[..., Any] = 0

    def __init__(self) -> None:
        self._refusal: BudgetExceededError | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        """
        Return whether there is room.

        Raise ServiceUnavailableError if that cannot be told, ParseError for a project id that cannot be one.
        """
        if request.method == "OPTIONS":  # asks what may be asked, and calls no model
            return True
        manager, budget = service.manager(), budget_of(request)
        try:
            manager.drive(self._check(manager, request, view))
        except BudgetExceededError as error:
            self._refusal = error
            budget.refuse(error)
            return False
        except BudgetUnavailableError as error:
            raise ServiceUnavailableError(problem_of(error, budget)) from error
        except BadRequest as error:
            raise ParseError(str(error)) from error
        return True

    def wait(self) -> float | None:
        """Return the seconds until the budget that had no room resets, None if its limit is 0: waiting is no use."""
        return self._refusal.retry_after if self._refusal is not None else None

    def _check(self, manager: BudgetManager, request: Request, view: APIView) -> Operation[None]:
        user = yield from user_of(request, manager.config)
        budget_of(request).identify(user)
        wanted = getattr(view, "budget_project", self.project)
        project = yield from project_of(request, wanted, view.kwargs, manager.config)
        amount = getattr(view, "budget_amount", self.amount)
        if callable(amount):
            amount = yield Hook(amount, (request,), view.kwargs)
        with placed(Place(partial(_name_of, view), http_request(request).path)):
            yield Twin(manager, "check", (user, project, amount))


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """
    Answer what the budget refused with its problem details (RFC 9457), the rest as REST framework does.

    It is for the setting EXCEPTION_HANDLER, or to be called by your own. It answers a BudgetExceededError and a
    BudgetUnavailableError that a view raises, and adds to REST framework's 429 why BudgetThrottle said no.
    """
    request = context["request"]
    error = _refusal_behind(exc, request)
    if error is None:
        return views.exception_handler(exc, dict(context))
    problem = problem_of(error, budget_of(request))
    if isinstance(exc, Throttled) and problem.retry_after is not None:
        patience = exc.wait  # type: ignore[attr-defined]  # of the most patient throttle; its stubs do not know it
        problem = replace(problem, retry_after=patience)
    views.set_rollback()
    return Response(problem.members(), status=problem.status, headers=problem.headers())


def _name_of(view: APIView) -> str:
    return f"{type(view).__module__}.{type(view).__name__}"  # of a function @api_view sets these two


def _refusal_behind(exc: Exception, request: Request) -> BudgetExceededError | BudgetUnavailableError | None:
    if isinstance(exc, Throttled):
        return budget_of(request).refusal
    found = exc.__cause__ if isinstance(exc, ServiceUnavailableError) else exc
    return found if isinstance(found, REFUSALS) else None
