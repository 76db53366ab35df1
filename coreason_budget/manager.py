"""``BudgetManager``: the front door. The documented API, each operation in a synchronous and an ``a``-prefixed form."""

from __future__ import annotations

import asyncio
from functools import partial, update_wrapper
from time import monotonic
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from . import log
from .conf import BudgetConfig
from .exceptions import UnknownModelError
from .guard import BudgetGuard, Hold
from .ledger.database import deferred_writes
from .ledger.redis import RedisLedger
from .limits import Limits
from .money import Amount, to_nanos
from .pricing import PricingEngine, read_price_rows
from .reservation import Reservation
from .spends import BookedResponses, Spend, refund_of, spend_for, spend_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractContextManager

    from .ledger.steps import Operation
    from .results import AccountStatus, Receipt

__all__ = ["BudgetManager"]

P = ParamSpec("P")
T = TypeVar("T")

MIN_HOLD_SECONDS: Final = 0.001
MAX_HOLD_SECONDS: Final = 86_400


def _twins(
    body: Callable[Concatenate[BudgetManager, P], Operation[T]], *, settles: bool = False
) -> tuple[Callable[Concatenate[BudgetManager, P], T], Callable[Concatenate[BudgetManager, P], Coroutine[Any, Any, T]]]:
    """
    Return the synchronous and the asynchronous form of an operation.

    One that ``settles`` books money that was spent: a cancellation is raised only after it has ended.
    """

    def form(self: BudgetManager, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.drive(body(self, *args, **kwargs))

    async def aform(self: BudgetManager, /, *args: P.args, **kwargs: P.kwargs) -> T:
        drive = self.asettle if settles else self.adrive
        return await drive(body(self, *args, **kwargs))

    name = body.__name__.lstrip("_")
    update_wrapper(form, body)  # help() and inspect show the body's signature
    update_wrapper(aform, body)
    form.__name__, form.__qualname__ = name, f"BudgetManager.{name}"
    aform.__name__, aform.__qualname__ = f"a{name}", f"BudgetManager.a{name}"
    aform.__doc__ = f"See {name}()."
    return form, aform


class BudgetManager:
    """
    The budget of one installation: asks before a call, books what it cost.

    ``BudgetManager()`` reads the settings; ``BudgetManager(BudgetConfig(redis_url=...))`` overrides them. It can be
    shared by threads and event loops. Amounts are USD: Decimal, str or int, or a float, which is taken by its shortest
    text. Subjects are a user and, if any, a project; the global budget always counts too.
    """

    def __init__(self, config: BudgetConfig | None = None, *, clock: Callable[[], int] | None = None) -> None:
        if config is not None and not isinstance(config, BudgetConfig):
            raise TypeError(f"config must be a BudgetConfig, not {type(config).__name__}.")
        self.config = config if config is not None else BudgetConfig()
        log.configure(self.config)
        self.ledger = RedisLedger(self.config, Limits(self.config), clock=clock)
        self.guard = BudgetGuard(self.ledger)
        self.booked = BookedResponses()
        self.pricing = PricingEngine(self.config, lambda: self.ledger.database.call(read_price_rows))

    def __repr__(self) -> str:
        return f"BudgetManager({self.config!r})"

    # the documented lifecycle ----------------------------------------------------------------------------------------

    async def check_availability(self, user_id: object, project_id: object = None, estimated_cost: Amount = 0) -> bool:
        """Return True if the estimated cost (USD) fits. Raise BudgetExceededError or BudgetUnavailableError."""
        return await self.acheck(user_id, project_id, estimated_cost)

    def check_availability_sync(self, user_id: object, project_id: object = None, estimated_cost: Amount = 0) -> bool:
        """See check_availability()."""
        return self.check(user_id, project_id, estimated_cost)

    async def record_spend(
        self,
        user_id: object,
        cost: Amount,
        project_id: object = None,
        model: str | None = None,
        charge_id: str | None = None,
    ) -> Receipt:
        """Book a cost (USD), once per charge id. Raise ValueError or TypeError for what cannot be booked."""
        return await self.acharge(user_id, cost, project_id, model, charge_id)

    def record_spend_sync(
        self,
        user_id: object,
        cost: Amount,
        project_id: object = None,
        model: str | None = None,
        charge_id: str | None = None,
    ) -> Receipt:
        """See record_spend()."""
        return self.charge(user_id, cost, project_id, model, charge_id)

    async def close(self) -> None:
        """Write what is still to be written and close all connections of this process and loop."""
        await asyncio.to_thread(self._finish)
        await self.ledger.connections.aclose()

    def close_sync(self) -> None:
        """See close()."""
        self._finish()
        self.ledger.connections.close()

    def _finish(self) -> None:
        self.ledger.database.close()
        self.guard.refusals.close()

    # operations ------------------------------------------------------------------------------------------------------

    def reservation(
        self,
        user_id: object,
        project_id: object = None,
        amount: Amount | None = None,
        ttl: float | None = None,
        *,
        least: Amount | None = None,
    ) -> Reservation:
        """
        Return a context manager that holds an amount (USD; default DEFAULT_HOLD_USD) for a call.

        With ``least`` (USD) what has room is held where the amount has none, if that is so much or more.
        ``ttl`` is in seconds (default HOLD_TTL): after that the hold counts as abandoned (see EXPIRED_HOLDS). Entering
        raises BudgetExceededError or BudgetUnavailableError.
        """
        return Reservation(self, self._hold(user_id, project_id, amount, ttl, least))

    def _reserve(
        self,
        user_id: object,
        project_id: object = None,
        amount: Amount | None = None,
        ttl: float | None = None,
        *,
        least: Amount | None = None,
    ) -> Operation[Reservation]:
        """Hold an amount (USD) now and return it as a reservation that the caller ends. See reservation()."""
        return (yield from self._made(self._hold(user_id, project_id, amount, ttl, least)))

    def hold(self, user_id: object, project_id: object, nanos: int, least: int | None = None) -> Operation[Reservation]:
        """See reserve(), in nano-USD."""
        deposit = self.guard.accounts(user_id, project_id)
        return (yield from self._made(partial(self.guard.reserve, deposit, nanos, self.config.hold_ttl, least=least)))

    def _made(self, make: Callable[[], Operation[Hold]]) -> Operation[Reservation]:
        return Reservation(self, make, (yield from make()))

    def _check(self, user_id: object, project_id: object = None, amount: Amount = 0) -> Operation[bool]:
        """
        Return True if an amount (USD) fits and something remains, holding nothing.

        Raise BudgetExceededError or BudgetUnavailableError.
        """
        nanos = to_nanos(amount, "amount")
        return (yield from self.guard.check(self.guard.accounts(user_id, project_id), nanos))

    def _charge(
        self,
        user_id: object,
        cost: Amount,
        project_id: object = None,
        model: str | None = None,
        charge_id: str | None = None,
    ) -> Operation[Receipt]:
        """
        Book a cost (USD) without a hold. It is never refused: the money is gone.

        Raise ValueError or TypeError for what cannot be booked, ChargeConflictError for a charge id that was used with
        another cost or for other accounts.
        """
        spend = spend_of(cost, model=model, charge_id=charge_id)
        return (yield from self.guard.charge(self.guard.accounts(user_id, project_id), spend))

    def _refund(
        self, charge_id: str, amount: Amount | None = None, *, reason: str = "", by: str = ""
    ) -> Operation[Receipt]:
        """
        Take back a charge, or what an expired hold was booked with: all that is left of it, or an amount (USD) of that.

        It is booked now, as a record of its own with a negative cost: it makes room in the current windows, whenever
        the charge was, and what is spent of a window can become negative. ``reason`` and ``by`` (who did it) are kept
        in its metadata. A record is refunded once, in part or in full.

        Raise RefundError if the record is unknown, no charge, refunded before, or not that much is left of it, and
        BudgetUnavailableError if Redis or the database does not answer: then ask again, nothing is paid twice.
        """
        return (yield from self.guard.refund(refund_of(charge_id, amount, reason=reason, by=by)))

    def _status(self, user_id: object, project_id: object = None) -> Operation[list[AccountStatus]]:
        """
        Return how the accounts of a call stand: one item per scope and period that has a default or an override.

        Raise BudgetUnavailableError.
        """
        return (yield from self.guard.status(self.guard.accounts(user_id, project_id)))

    reserve, areserve = _twins(_reserve)
    check, acheck = _twins(_check)
    charge, acharge = _twins(_charge, settles=True)
    refund, arefund = _twins(_refund, settles=True)
    status, astatus = _twins(_status)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until this process has written its records, at most that many seconds. Return whether it has."""
        deadline = None if timeout is None else monotonic() + timeout
        if self.ledger.database.flush(timeout) and self.ledger.journal.pending:  # refused before; the wait is below
            with deferred_writes():
                self.ledger.database.write(self.ledger.journal.write_pending)
        rest = None if deadline is None else max(0.0, deadline - monotonic())
        return self.ledger.database.flush(rest) and not self.ledger.journal.pending

    def deferred_writes(self) -> AbstractContextManager[None]:
        """Do not wait for the database after charges in this block; for batch jobs."""
        return deferred_writes()

    # driving ---------------------------------------------------------------------------------------------------------

    def drive(self, operation: Operation[T]) -> T:
        """Drive an operation on this thread."""
        return self.ledger.run(operation)

    async def adrive(self, operation: Operation[T]) -> T:
        """Drive an operation on the running event loop. See drive()."""
        return await self.ledger.arun(operation)

    async def asettle(self, operation: Operation[T]) -> T:
        """Drive an operation on the running event loop, to its end even if the caller is cancelled."""
        return await self.ledger.settle(operation)

    # prices and amounts ----------------------------------------------------------------------------------------------

    def priced(self, response: object, *, cost: Amount | None, model: str | None, charge_id: str | None) -> Spend:
        """Return what is to be booked: a cost (USD) as given, else that of a response."""
        return self.reckon(partial(self._priced, response, cost, model, charge_id))

    def _priced(self, response: object, cost: Amount | None, model: str | None, charge_id: str | None) -> Spend:
        if cost is not None:
            if response is not None:
                raise ValueError("Pass either a response or cost=..., not both.")
            return spend_of(cost, model=model, charge_id=charge_id)
        if response is None:
            raise ValueError("Pass the response of the call, or cost=... in USD.")
        known = self.booked.find(response)
        if known is not None and charge_id in {None, known.charge_id}:
            return known
        return spend_for(self.pricing.cost_of(response, model), charge_id=charge_id)

    async def apriced(
        self, response: object, *, cost: Amount | None, model: str | None, charge_id: str | None
    ) -> Spend:
        """Return what is to be booked, without blocking the event loop. See priced()."""
        price = partial(self._priced, response, cost, model, charge_id)
        if cost is not None or response is None:
            return price()
        quick = () if model is None else (model,)
        return await self.areckon(price, None if isinstance(response, (list, tuple)) else quick)

    def reckon(self, work: Callable[[], T], models: tuple[str, ...] | None = None, prompt: object = "") -> T:
        """
        Do sums with prices. ``models`` and ``prompt`` are what they are about, None if they may take long.

        A model that turns out to have no price is noted.
        """
        try:
            return work()
        except UnknownModelError as error:
            self.guard.refusals.note_model(error.model)
            raise

    async def areckon(self, work: Callable[[], T], models: tuple[str, ...] | None = None, prompt: object = "") -> T:
        """Do sums with prices without blocking the event loop for longer than it takes to start a thread."""
        if not self.pricing.is_fresh:
            await self.ledger.database.acall(self.pricing.refresh)
        if models is not None and self.pricing.is_quick(models, prompt):
            return self.reckon(work)
        return await asyncio.to_thread(self.reckon, work)  # the first price imports litellm, which takes seconds

    def hold_seconds(self, ttl: object) -> float:
        """Return a ttl in seconds, HOLD_TTL if it is None. Raise TypeError or ValueError."""
        if ttl is None:
            return self.config.hold_ttl
        if isinstance(ttl, bool) or not isinstance(ttl, (int, float)):
            raise TypeError(f"ttl must be a number of seconds, not {type(ttl).__name__}: {ttl!r:.80}.")
        if not MIN_HOLD_SECONDS <= ttl <= MAX_HOLD_SECONDS:
            raise ValueError(f"ttl must be from {MIN_HOLD_SECONDS} to {MAX_HOLD_SECONDS} seconds, got {ttl!r}.")
        return ttl

    def _hold(
        self, user_id: object, project_id: object, amount: Amount | None, ttl: float | None, least: Amount | None
    ) -> Callable[[], Operation[Hold]]:
        deposit = self.guard.accounts(user_id, project_id)
        nanos = to_nanos(self.config.default_hold_usd if amount is None else amount, "amount")
        seconds = self.hold_seconds(ttl)
        floor = None if least is None else to_nanos(least, "least")
        return lambda: self.guard.reserve(deposit, nanos, seconds, least=floor)
