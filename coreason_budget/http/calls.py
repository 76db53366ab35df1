"""
The life of a decorated call, from the hold to the headers: one body for sync and async views.

It is an operation like those of the ledger (a generator that yields steps) and is driven by the manager.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.http.response import HttpResponseBase, StreamingHttpResponse

from .. import service
from ..exceptions import BudgetExceededError, BudgetUnavailableError
from ..ledger.steps import Twin
from ..log import logger
from ..metering.current import Payer
from ..metering.steps import Invoke, Settle
from ..refusals.places import Place, placed
from .budget import Frame, budget_of
from .callers import http_request, project_of, user_of
from .responses import REFUSALS, add_headers, refusal
from .steps import Hook
from .streams import hold_while_streaming

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from decimal import Decimal

    from ..ledger.steps import Operation
    from ..money import Amount

__all__ = ["Call", "Terms", "roll_back"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a decorator was given: whose project, how much to hold in USD, and which model it is for."""

    project: str | Callable[..., Any] | None = None
    estimate: Amount | Callable[..., Any] | None = None
    model: str | None = None


class Call:
    """One call of a decorated view."""

    def __init__(
        self, terms: Terms, request: Any, kwargs: Mapping[str, Any], view: Callable[[], Any], name: Callable[[], str]
    ) -> None:
        self._terms = terms
        self._request = request  # as the view sees it: REST framework's has the data, and the user
        self._kwargs = kwargs
        self._view = view
        self._name = name
        self._budget = budget_of(request)
        self._manager = service.manager()

    def answer(self) -> Any:
        """Call the view and return its answer, or the refusal. An awaitable if the view turns out to be async."""
        return self._manager.drive(self._life())

    async def aanswer(self) -> Any:
        """See answer()."""
        return await self._manager.adrive(self._life())

    # the body --------------------------------------------------------------------------------------------------------

    def _life(self) -> Operation[Any]:
        if self._request.method == "OPTIONS":  # asks what may be asked, and calls no model
            return (yield Invoke(self._view))
        try:
            frame = yield from self._begin()
        except REFUSALS as error:
            return (yield from self._refused(error))
        return (yield from self._under(frame, self._view))

    def _begin(self) -> Operation[Frame]:
        config = self._manager.config
        user = yield from user_of(self._request, config)
        self._budget.identify(user)
        project = yield from project_of(self._request, self._terms.project, self._kwargs, config)
        amount = yield from self._amount()
        name = self._name()
        place = Place(lambda: name, http_request(self._request).path)
        try:
            with placed(place):
                hold = yield Twin(self._manager, "reserve", (user, project, amount))
        except BudgetExceededError as error:
            yield from self._look_at(user, error)
            raise
        frame = Frame(self._budget, hold, Payer(user, project, view=name), place, self._terms.model)
        self._budget.push(frame)
        return frame

    def _amount(self) -> Operation[Amount]:
        """Return what to hold, in USD: as the decorator says, else as much as its model may cost, never nothing."""
        amount: Amount | None = self._terms.estimate if not callable(self._terms.estimate) else None
        if callable(self._terms.estimate):
            amount = yield Hook(self._terms.estimate, (self._request,), self._kwargs)
        if amount is None and self._terms.model is not None:
            amount = (yield Twin(self._manager, "reckon", (self._estimate, (self._terms.model,)))) or None
        return self._manager.config.default_hold_usd if amount is None else amount

    def _estimate(self) -> Decimal:
        """Return what a call of the decorator's model may cost, in USD, when nothing else is known of it."""
        tokens = self._manager.config.estimate_output_tokens
        return self._manager.pricing.estimate(str(self._terms.model), input_tokens=tokens)

    def _under(self, frame: Frame, view: Callable[[], Any]) -> Operation[Any]:
        """Call the view under its hold."""
        try:
            with frame.entered():
                response = yield Invoke(view)
        except GeneratorExit:  # the event loop was closed under the view: nothing can be awaited any more
            frame.hold.abandon()
            raise
        except BaseException as error:
            yield Settle(self._end(frame))
            if not isinstance(error, REFUSALS):
                raise
            response = yield from self._refused(error)
            if self._budget.hold is None:  # else the view around this one goes on, and may need what it has written
                roll_back()
            return response
        if isawaitable(response):
            # A plain callable of an asynchronous view: whoever called it awaits what it returns.
            return self._manager.adrive(self._under(frame, lambda: response))
        good = _is_good(response)
        if isinstance(response, StreamingHttpResponse):
            # The stream must not refer to its response: that is to go as soon as nobody has it any more.
            return hold_while_streaming(response, frame, lambda went_well: self._end(frame, is_good=good and went_well))
        yield from self._end(frame, is_good=good)
        if not self._budget.has_middleware:  # which adds them outside of what caches the answers of views
            add_headers(response, self._budget)
        return response

    def _end(self, frame: Frame, *, is_good: bool = False) -> Operation[None]:
        """Give back what is left of the hold. A view that gave a good answer and charged nothing is reported."""
        yield Twin(frame.hold, "release")
        self._budget.pop(frame)
        if is_good and not frame.is_charged:
            logger.warning(
                "{} charged nothing: its hold of {:f} USD was given back. Call request.budget.charge(response), or do "
                "not decorate it.",
                self._name(),
                frame.hold.amount,
            )

    def _refused(self, error: BudgetExceededError | BudgetUnavailableError) -> Operation[HttpResponseBase]:
        response: HttpResponseBase = yield Hook(refusal, (http_request(self._request), error, self._budget))
        return response

    def _look_at(self, user: str, error: BudgetExceededError) -> Operation[None]:
        """Learn what the headers of a refusal say: how the user stands, whoever had no room."""
        self._budget.note(())
        if error.scope != "user":
            with suppress(BudgetUnavailableError):  # the answer then says nothing of what is left
                self._budget.note((yield Twin(self._manager, "status", (user,))))


def _is_good(response: Any) -> bool:
    status = getattr(response, "status_code", HTTPStatus.OK)  # of a response, or of what a framework makes one of
    return response is not None and status < HTTPStatus.BAD_REQUEST


def roll_back() -> None:
    """Have the transaction around a view (ATOMIC_REQUESTS, @atomic) undo what it did: that sees an answer, no error."""
    for connection in connections.all(initialized_only=True):
        around = connection.atomic_blocks[-1:]
        if around and not getattr(around[0], "_from_testcase", False):
            connection.set_rollback(True)
