"""``request.budget``: the budget of whoever is asking, and the holds of the decorated calls that are under way."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import service
from ..ledger.steps import Twin
from ..metering.current import asking, paying
from ..metering.purse import purse_of
from ..metering.steps import Settle
from ..refusals.places import Place, placed
from ..results import AccountStatus
from .callers import http_request, known_user, project_of, user_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from django.http import HttpRequest

    from ..exceptions import BudgetExceededError
    from ..ledger.steps import Operation
    from ..manager import BudgetManager
    from ..metering.current import Payer
    from ..money import Amount
    from ..reservation import Reservation
    from ..results import Receipt

__all__ = ["Frame", "RequestBudget", "budget_of"]

_frame: ContextVar[Frame | None] = ContextVar("coreason_budget_frame", default=None)


class Frame:
    """One decorated call under way: its hold, and who pays, which is who asked and for which project, and where."""

    __slots__ = ("budget", "hold", "manager", "model", "payer", "place", "purse")

    def __init__(self, budget: RequestBudget, hold: Reservation, payer: Payer, place: Place, model: str | None) -> None:
        self.budget = budget
        self.manager = budget.manager
        self.hold = hold
        self.purse = purse_of(hold)
        self.payer = replace(payer, purse=self.purse)
        self.place = place
        self.model = model

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make this the innermost call of whatever runs in the block."""
        before = _frame.get()
        _frame.set(self)
        try:
            with paying(self.payer), placed(self.place):
                yield
        finally:
            _frame.set(before)  # by value: the block may end in another context, where no token is valid

    @property
    def is_charged(self) -> bool:
        """Whether anything was charged to this call or to one inside it."""
        return self.budget.is_charged_since(self)


class RequestBudget:
    """
    The budget of one request; ``request.budget`` with the middleware or inside a decorated view.

    Who is asking is found out at each use, so a framework's own authentication may come later.
    """

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._frames: list[Frame] = []
        self._all: list[Frame] = []
        self._callers: set[str] = set()
        self._receipts: list[Receipt] = []
        self._latest: Callable[[], Sequence[AccountStatus]] = tuple
        self.refusal: BudgetExceededError | None = None
        self.is_used = False
        self.has_middleware = False

    def __repr__(self) -> str:
        return f"<RequestBudget: {self.cost:f} USD>"

    @property
    def manager(self) -> BudgetManager:
        """The manager of the project's settings."""
        return service.manager()

    @property
    def hold(self) -> Reservation | None:
        """The hold of the innermost decorated call, None outside of one."""
        frame = self._innermost()
        return frame.hold if frame is not None else None

    @property
    def cost(self) -> Decimal:
        """What was charged in this request so far, in USD."""
        bare = {receipt.charge_id: receipt.cost for receipt in self._receipts if receipt.first}
        return sum((*(frame.hold.cost for frame in self._all), *bare.values()), Decimal(0))

    def charge(
        self,
        response: object = None,
        *,
        cost: Amount | None = None,
        model: str | None = None,
        charge_id: str | None = None,
        final: bool = False,
    ) -> Receipt:
        """
        Book the cost of a response, or ``cost`` in USD: on the hold of the innermost decorated call, else without one.

        ``final`` ends the hold with the same round trip. Raise what ``Reservation.charge`` raises.
        """
        return self.manager.drive(self._charge(response, cost, model, charge_id, final=final))

    async def acharge(
        self,
        response: object = None,
        *,
        cost: Amount | None = None,
        model: str | None = None,
        charge_id: str | None = None,
        final: bool = False,
    ) -> Receipt:
        """See charge()."""
        return await self.manager.asettle(self._charge(response, cost, model, charge_id, final=final))

    def status(self) -> list[AccountStatus]:
        """Return how the accounts of whoever is asking stand. Raise BudgetUnavailableError."""
        return self.manager.drive(self._status())

    async def astatus(self) -> list[AccountStatus]:
        """See status()."""
        return await self.manager.adrive(self._status())

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Make this the request that the code in the block answers."""
        with asking(self.caller), placed(Place(self._view_name, self._request.path)):
            yield

    # decorated calls -------------------------------------------------------------------------------------------------

    def push(self, frame: Frame) -> None:
        """Note that a decorated call has begun."""
        self._frames.append(frame)
        self._all.append(frame)
        self.is_used = True

    def pop(self, frame: Frame) -> None:
        """Note that a decorated call has ended."""
        if frame in self._frames:
            self._frames.remove(frame)
            self._latest = partial(getattr, frame.hold, "status")

    def is_charged_since(self, frame: Frame) -> bool:
        """Return whether a call was charged that is this one or began after it."""
        return any(later.hold.is_charged for later in self._all[self._all.index(frame) :])

    @property
    def latest(self) -> Sequence[AccountStatus]:
        """The accounts as the last charge or the end of the last call left them; empty if nothing is known."""
        return self._latest()

    def note(self, accounts: Sequence[AccountStatus]) -> None:
        """Keep how the accounts stand for the headers of the answer."""
        self._latest = lambda: accounts

    def refuse(self, error: BudgetExceededError) -> None:
        """Keep why a throttle does not let the request through, for its answer and the headers of that."""
        self.refusal, self.is_used = error, True
        if error.scope == "user":
            names = ("scope", "subject", "period", "limit", "spent", "held", "remaining", "resets_at")
            self.note([AccountStatus(**{name: getattr(error, name) for name in names})])

    # the bodies ------------------------------------------------------------------------------------------------------

    def _charge(
        self, response: object, cost: Amount | None, model: str | None, charge_id: str | None, *, final: bool
    ) -> Operation[Receipt]:
        frame = self._own() or self._innermost()
        if frame is not None:
            named = frame.model if model is None and cost is not None else model
            options: dict[str, Any] = {"cost": cost, "model": named, "charge_id": charge_id}
            receipt: Receipt = yield from frame.hold.charging(response, options, final=final)
            self._latest = partial(getattr, frame.hold, "status")
            return receipt
        manager = self.manager
        spend = yield Twin(manager, "priced", (response,), {"cost": cost, "model": model, "charge_id": charge_id})
        user, project = yield from self.caller()
        receipt = yield Settle(manager.guard.charge(manager.guard.accounts(user, project), spend))
        self._receipts.append(receipt)
        self._latest, self.is_used = partial(getattr, receipt, "status"), True
        return receipt

    def _status(self) -> Operation[list[AccountStatus]]:
        # An answer that shows these figures must not be kept for others; this is what Django's cache goes by.
        self._request._cache_update_cache = False  # type: ignore[attr-defined]  # noqa: SLF001
        frame = self._innermost()
        whose = frame.payer.accounts if frame is not None else (yield from self.caller())
        found: list[AccountStatus] = yield Twin(self.manager, "status", whose)
        return found

    def caller(self) -> Operation[tuple[str, str | None]]:
        """Return who is asking, and for which project as PROJECT_ID says."""
        config = self.manager.config
        user = yield from user_of(self._request, config)
        self.identify(user)
        project = yield from project_of(self._request, None, {}, config)
        return user, project

    def identify(self, user: str) -> None:
        """Note that this is who is asking."""
        self._callers.add(user)

    def knows(self, user_id: str) -> bool:
        """Return whether this is the id of who is asking, as far as that can be told without any query."""
        return user_id in self._callers or known_user(self._request, self.manager.config) == user_id

    def _view_name(self) -> str:
        match = self._request.resolver_match
        return match.view_name if match is not None else ""

    def _innermost(self) -> Frame | None:
        frame = self._own()
        if frame is not None and frame in self._frames:
            return frame
        return self._frames[-1] if self._frames else None

    def _own(self) -> Frame | None:
        """Return the call that the running code belongs to, also if it has ended: it may have left a task behind."""
        frame = _frame.get()
        return frame if frame is not None and frame.budget is self else None


def budget_of(request: Any) -> RequestBudget:
    """Return the budget of a request (Django's, or one that wraps it as REST framework's does), made at first use."""
    base: Any = http_request(request)
    budget = getattr(base, "budget", None)
    if not isinstance(budget, RequestBudget):
        budget = base.budget = RequestBudget(base)
    return budget
