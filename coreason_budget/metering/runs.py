"""``budgeted_run``: one hold that many calls draw on, for agents and other work that makes calls as it goes."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Final, Literal, ParamSpec, Self, TypeVar

from .. import service
from ..exceptions import HoldClosedError, Refusal, RunExhaustedError
from ..ledger.steps import Twin
from ..money import to_nanos, to_usd
from .current import payer_of, paying
from .purse import DrawnFunds, HeldFunds, Purse
from .steps import Settle

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal
    from types import TracebackType

    from ..ledger.steps import Operation
    from ..manager import BudgetManager
    from ..money import Amount
    from ..results import Receipt
    from ..spends import Spend
    from .current import Payer
    from .purse import Draw, Funds

__all__ = ["BudgetedRun", "budgeted_run"]

P = ParamSpec("P")
T = TypeVar("T")

_CHOICES: Final = ("extend", "stop")


def budgeted_run(
    user: object = None,
    project: object = None,
    amount: Amount | None = None,
    *,
    on_exhausted: Literal["extend", "stop"] = "extend",
) -> BudgetedRun:
    """
    Return a context manager (``with`` and ``async with``) for calls that draw on one hold together.

        with budgeted_run(user.pk, "research", amount="0.50") as run:
            agent.invoke(question)  # its calls of litellm, openai or anthropic draw on the run
            run.charge(cost="0.003", model="search")  # and so does what is charged by hand

    ``amount`` is in USD (default DEFAULT_HOLD_USD). When it is used up the run asks the budget for as much again
    (``on_exhausted="extend"``), or raises RunExhaustedError (``"stop"``). A run inside a run, or inside a decorated
    view, of the same user and project draws on the hold that is there. Without a user it is whoever pays here.

    Tasks of asyncio and ``asyncio.to_thread`` belong to the run that they were started in; for threads of your own
    there is ``run.bound(function)``. Entering raises BudgetExceededError, BudgetUnavailableError or MissingUserError.
    """
    return BudgetedRun(user, project, amount, on_exhausted)


class BudgetedRun:
    """A hold with the calls that draw on it. See budgeted_run()."""

    def __init__(self, user: object, project: object, amount: Amount | None, on_exhausted: str) -> None:
        if on_exhausted not in _CHOICES:
            raise ValueError(f"on_exhausted must be 'extend' or 'stop', not {on_exhausted!r}.")
        self._manager: BudgetManager = service.manager()
        self._nanos = to_nanos(self._manager.config.default_hold_usd if amount is None else amount, "amount")
        if not self._nanos:
            raise ValueError(f"amount must be more than 0 USD, got {amount!r}.")
        self._whose = (user, project)
        self._on_exhausted = on_exhausted
        self._funds: Funds | None = None
        self._payer: Payer | None = None
        self._close: Callable[[], Operation[None]] = _nothing
        self._entered = ExitStack()

    def __repr__(self) -> str:
        state = "not begun" if self._funds is None else f"{self.cost:f} of {self.amount:f} USD used"
        return f"<BudgetedRun: {state}>"

    def __enter__(self) -> Self:
        self._manager.drive(self._begin())
        self._entered.enter_context(self.entered())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered.close()
        self._manager.drive(self._end())

    async def __aenter__(self) -> Self:
        await self._manager.adrive(self._begin())
        self._entered.enter_context(self.entered())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered.close()
        await self._manager.asettle(self._end())

    @property
    def amount(self) -> Decimal:
        """What is held for the run, with what it was extended by, in USD."""
        return to_usd(self._purse.granted)

    @property
    def cost(self) -> Decimal:
        """What was charged to the run so far, in USD."""
        return to_usd(self._begun.booked)

    def entered(self) -> AbstractContextManager[None]:
        """Return a context manager in which calls draw on the run, wherever that is: ``with run.entered(): ...``."""
        self._begun  # noqa: B018  # raises if there is nothing to draw on
        return paying(self._payer)

    def bound(self, function: Callable[P, T]) -> Callable[P, T]:
        """Return a function whose calls draw on the run, for threads: ``pool.submit(run.bound(work), item)``."""

        @wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> T:
            with self.entered():
                return function(*args, **kwargs)

        return inside

    def charge(
        self,
        response: object = None,
        *,
        cost: Amount | None = None,
        model: str | None = None,
        charge_id: str | None = None,
    ) -> Receipt:
        """Book the cost of a response, or ``cost`` in USD, on the run. Raise what ``Reservation.charge`` raises."""
        receipt: Receipt = self._manager.drive(self._charge(response, cost, model, charge_id))
        return receipt

    async def acharge(
        self,
        response: object = None,
        *,
        cost: Amount | None = None,
        model: str | None = None,
        charge_id: str | None = None,
    ) -> Receipt:
        """See charge()."""
        receipt: Receipt = await self._manager.asettle(self._charge(response, cost, model, charge_id))
        return receipt

    # the bodies ------------------------------------------------------------------------------------------------------

    def _begin(self) -> Operation[None]:
        if self._funds is not None:
            raise HoldClosedError("This run has begun before; make a new one for other work.")
        payer = yield from payer_of(*self._whose)
        funds: Funds
        if payer.purse is not None and payer.purse.funds.is_open:
            draw = yield from payer.purse.draw(self._nanos)
            funds, self._close = DrawnFunds(draw), lambda: _closed(draw)
        else:
            hold = yield from self._manager.hold(*payer.accounts, self._nanos)
            funds, self._close = HeldFunds(hold), hold.end
        self._funds = funds if self._on_exhausted == "extend" else _Capped(funds, self._nanos)
        purse = Purse(self._funds, self._nanos, lifetime=self._manager.config.hold_ttl, step=self._nanos)
        self._payer = replace(payer, purse=purse)

    def _end(self) -> Operation[None]:
        yield Settle(self._close())

    def _charge(
        self, response: object, cost: Amount | None, model: str | None, charge_id: str | None
    ) -> Operation[Receipt]:
        options = {"cost": cost, "model": model, "charge_id": charge_id}
        spend: Spend = yield Twin(self._manager, "priced", (response,), options)
        return (yield from self._begun.book(spend, final=False))

    @property
    def _begun(self) -> Funds:
        if self._funds is None:
            raise ValueError("The run has not begun: use it with 'with' or 'async with'.")
        return self._funds

    @property
    def _purse(self) -> Purse:
        self._begun  # noqa: B018  # as above
        assert self._payer is not None and self._payer.purse is not None  # noqa: S101, PT018  # set together
        return self._payer.purse


class _Capped:
    """Funds that are never asked for more than they held at first."""

    def __init__(self, funds: Funds, nanos: int) -> None:
        self._funds = funds
        self._nanos = nanos
        self.book, self.renew = funds.book, funds.renew

    @property
    def is_open(self) -> bool:
        """See Funds."""
        return self._funds.is_open

    @property
    def booked(self) -> int:
        """See Funds."""
        return self._funds.booked

    def more(self, nanos: int, least: int) -> Operation[int]:
        """Raise RunExhaustedError."""
        yield from ()
        limit, spent = to_usd(self._nanos), to_usd(self.booked)
        raise RunExhaustedError(
            Refusal(
                scope="run",
                subject="",
                period="run",
                limit=limit,
                spent=spent,
                held=max(limit - spent, to_usd(0)),
                requested=to_usd(least),
                resets_at=datetime.now(UTC),
                retry_after=None,
            )
        )


def _closed(draw: Draw) -> Operation[None]:
    """Leave what was drawn from another purse to that."""
    yield from ()
    draw.close()


def _nothing() -> Operation[None]:
    yield from ()
