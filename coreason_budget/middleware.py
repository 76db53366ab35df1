"""``BudgetMiddleware``: gives every request its budget, and every refused one a clear answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

from .http.budget import RequestBudget, budget_of
from .http.responses import REFUSALS, add_headers, refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

__all__ = ["BudgetMiddleware"]


class BudgetMiddleware:
    """
    Sets ``request.budget`` and adds the ``X-Budget`` headers.

    A BudgetExceededError of any view becomes a 429, a BudgetUnavailableError a 503. It asks the ledger nothing before
    a view uses the budget.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Give the request its budget, and its answer the headers."""
        if self._is_async:
            return self.__acall__(request)
        budget = self._begin(request)
        with budget.answering():
            response: HttpResponseBase = self.get_response(request)
        add_headers(response, budget)
        return response

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """See __call__()."""
        budget = self._begin(request)
        with budget.answering():
            response: HttpResponseBase = await self.get_response(request)
        add_headers(response, budget)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """Answer the errors of a budget. Django calls this synchronously under ASGI too: no I/O here."""
        if isinstance(exception, REFUSALS):
            return refusal(request, exception, budget_of(request))
        return None

    def _begin(self, request: HttpRequest) -> RequestBudget:
        budget = budget_of(request)
        budget.has_middleware = True
        return budget
