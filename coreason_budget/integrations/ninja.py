"""
For django-ninja: refusals of undecorated operations, budgets of streaming ones, and who its authentication has found.

Other operations are decorated with ``@budgeted``, below the router's decorator.
"""

from __future__ import annotations

from functools import partial, wraps
from typing import TYPE_CHECKING, Any, TypeVar

from django.http import StreamingHttpResponse
from ninja.decorators import decorate_view

from .. import service
from ..decorators import terms_of
from ..http.budget import budget_of
from ..http.calls import Call, roll_back
from ..http.responses import REFUSALS, refusal
from ..http.steps import is_async
from ..ledger.steps import Twin
from ..metering.steps import Invoke

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.http import HttpRequest, HttpResponse
    from ninja import NinjaAPI

    from ..http.calls import Terms
    from ..ledger.steps import Operation
    from ..money import Amount

__all__ = ["add_handlers", "budgeted_stream", "user_id"]

V = TypeVar("V", bound="Callable[..., Any]")


def add_handlers(api: NinjaAPI) -> None:
    """Have an API answer every BudgetExceededError with 429 and every BudgetUnavailableError with 503."""
    for kind in REFUSALS:
        api.add_exception_handler(kind, _answer)


def user_id(request: HttpRequest) -> Any:
    """
    Return the key of the user whom ninja's authentication has found, else of Django's, None if nobody is logged in.

    It is for the setting USER_ID: ninja leaves what an authenticator returns in ``request.auth``, and ``request.user``
    as it is. Where that is no user (an API key, say) write a function of your own.
    """
    found: tuple[Any, ...] = (getattr(request, "auth", None), getattr(request, "user", None))
    for who in found:
        if getattr(who, "is_authenticated", False):
            return who.pk
    return None


def budgeted_stream(
    *,
    project: str | Callable[..., Any] | None = None,
    estimate: Amount | Callable[..., Any] | None = None,
    model: str | None = None,
) -> Callable[[V], V]:
    """
    Hold money for an operation that streams what it yields (``response=SSE[...]`` or ``JSONL[...]``).

    It goes below the router's decorator, takes what ``@budgeted`` takes, and holds once ninja has checked the request::

        @api.get("/ask", response=SSE[Word])
        @budgeted_stream(estimate="0.02")
        async def ask(request, q: str):
            async for word in answer_to(q):
                yield Word(text=word)
            await request.budget.acharge(cost=...)

    The hold lives until the stream ends or the client is gone. ``project`` and the functions see the URL's keywords.
    """
    terms = terms_of(project, estimate, model)

    def decorated(operation: V) -> V:
        name = f"{operation.__module__}.{operation.__qualname__}"
        return decorate_view(partial(_holding, terms, name))(operation)

    return decorated


def _answer(request: HttpRequest, error: Any) -> HttpResponse:
    roll_back()
    return refusal(request, error, budget_of(request))


def _holding(terms: Terms, name: str, run: Callable[..., Any]) -> Callable[..., Any]:
    """Return an operation's run() that holds money for the stream it has made, of which nothing is produced yet."""

    def life(request: HttpRequest, keywords: Mapping[str, Any]) -> Operation[Any]:
        response = yield Invoke(partial(run, request, **keywords))
        if not isinstance(response, StreamingHttpResponse):
            return response
        return (yield Twin(Call(terms, request, keywords, lambda: response, lambda: name), "answer"))

    if is_async(run):

        @wraps(run)
        async def arunning(request: HttpRequest, **keywords: Any) -> Any:
            return await service.manager().adrive(life(request, keywords))

        return arunning

    @wraps(run)
    def running(request: HttpRequest, **keywords: Any) -> Any:
        return service.manager().drive(life(request, keywords))

    return running
