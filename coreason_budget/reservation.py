"""``Reservation``: a hold in the caller's hands, as a context manager for ``with`` and ``async with``."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self

from .exceptions import BudgetUnavailableError, HoldClosedError
from .ledger.steps import Twin
from .money import to_nanos, to_usd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from decimal import Decimal
    from types import TracebackType

    from .guard import BudgetGuard, Hold
    from .ledger.redis import RedisLedger
    from .ledger.steps import Operation
    from .money import Amount
    from .results import AccountStatus, Receipt
    from .spends import Spend

__all__ = ["Reservation"]


class Driver(Protocol):
    """What drives the operations of a reservation: the manager."""

    guard: BudgetGuard
    ledger: RedisLedger

    def drive(self, operation: Operation[Any]) -> Any:
        """Drive an operation on this thread."""

    async def adrive(self, operation: Operation[Any]) -> Any:
        """Drive an operation on the running event loop. See drive()."""

    async def asettle(self, operation: Operation[Any]) -> Any:
        """Drive an operation on the running event loop, to its end even if the caller is cancelled."""

    def priced(self, response: object, *, cost: Amount | None, model: str | None, charge_id: str | None) -> Spend:
        """Return the cost of a response, or the one that is given."""

    async def apriced(
        self, response: object, *, cost: Amount | None, model: str | None, charge_id: str | None
    ) -> Spend:
        """Return the cost of a response without blocking the event loop. See priced()."""

    def hold_seconds(self, ttl: object) -> float:
        """Return a ttl as seconds. Raise TypeError or ValueError."""


class Reservation:
    """
    Money set aside for a call.

    Leaving the block gives back what no charge has used::

        with budget.reservation(user_id, amount="0.05") as hold:
            response = client.chat.completions.create(...)
            hold.charge(response)
    """

    def __init__(self, manager: Driver, reserve: Callable[[], Operation[Hold]], hold: Hold | None = None) -> None:
        self._manager = manager
        self._reserve = reserve
        self._hold = hold
        self._ended = False
        self._booked: dict[str, int] = {}  # by charge id: who cannot be told may charge again and again
        self._topped_up: list[int] = []  # appending needs no lock
        self._receipt: Receipt | None = None
        self._stands: Callable[[], tuple[AccountStatus, ...]] = tuple

    def __repr__(self) -> str:
        state = "not made" if self._hold is None else "ended" if self._ended else f"{self.amount:f} USD"
        return f"<Reservation {self.id or '-'}: {state}>"

    @property
    def id(self) -> str:
        """The hold's id, empty before it is made."""
        return self._hold.id if self._hold is not None else ""

    @property
    def amount(self) -> Decimal:
        """The amount that was reserved, with what it was topped up by, in USD."""
        return to_usd(self.amount_nanos)

    @property
    def amount_nanos(self) -> int:
        """See amount, in nano-USD."""
        return self._made().amount + sum(self._topped_up)

    @property
    def lifetime(self) -> float:
        """How many seconds it lives after it was renewed or topped up: HOLD_TTL."""
        return self._manager.hold_seconds(None)

    @property
    def left(self) -> Decimal:
        """What its charges have not used of the amount, in USD; never negative. 0 once it has ended."""
        return to_usd(self.left_nanos)

    @property
    def left_nanos(self) -> int:
        """See left, in nano-USD."""
        return 0 if self._ended else max(0, self.amount_nanos - self.booked_nanos)

    @property
    def booked_nanos(self) -> int:
        """See cost, in nano-USD."""
        return sum(tuple(self._booked.values()))  # a copy: others may charge meanwhile

    @property
    def is_open(self) -> bool:
        """Whether it was made and has not ended."""
        return self._hold is not None and not self._ended

    @property
    def cost(self) -> Decimal:
        """What its charges have booked so far, in USD; a repeated charge counts once."""
        return to_usd(self.booked_nanos)

    @property
    def is_charged(self) -> bool:
        """Whether there was a charge on it, also one of 0 or a repeated one."""
        return self._receipt is not None

    @property
    def status(self) -> tuple[AccountStatus, ...]:
        """
        The accounts as they were after the last charge or the release. Asks nobody; worked out when it is wanted.

        Empty before that, and where the ledger did not say.
        """
        return self._stands() or (self._receipt.status if self._receipt is not None else ())

    def __enter__(self) -> Self:
        if self._must_be_made():
            self._hold = self._manager.drive(self._reserve())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    async def __aenter__(self) -> Self:
        if self._must_be_made():
            self._hold = await self._manager.adrive(self._reserve())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.arelease()

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
        Book the cost of a response, or ``cost`` in USD, and use up that much of the hold.

        ``final`` ends the hold with the same round trip. Your own ``charge_id`` makes a repeated charge count once.
        Raise ValueError or TypeError for a cost that cannot be booked, UnknownModelError for a response without a known
        price, ChargeConflictError for a charge id that was used with another cost.
        """
        options: dict[str, Any] = {"cost": cost, "model": model, "charge_id": charge_id}
        receipt: Receipt = self._manager.drive(self.charging(response, options, final=final))
        return receipt

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
        options: dict[str, Any] = {"cost": cost, "model": model, "charge_id": charge_id}
        receipt: Receipt = await self._manager.asettle(self.charging(response, options, final=final))
        return receipt

    def release(self) -> None:
        """Give back what is left. Nothing happens if the hold has ended."""
        self._manager.drive(self.end())

    async def arelease(self) -> None:
        """See release()."""
        await self._manager.asettle(self.end())

    def abandon(self) -> None:
        """
        Have what is left given back soon, by another thread. Nothing happens if the hold has ended.

        It does no input or output and needs no event loop, so a destructor may call it. Where you can, use release().
        """
        if self._hold is not None and not self._ended:
            self._ended = True
            self._manager.guard.abandon(self._hold)

    def extend(self, ttl: float | None = None) -> None:
        """Keep the hold for ttl seconds from now (default HOLD_TTL). Raise HoldClosedError if it has ended."""
        self._manager.drive(self._manager.guard.extend(self._made(), self._manager.hold_seconds(ttl)))

    async def aextend(self, ttl: float | None = None) -> None:
        """See extend()."""
        await self._manager.asettle(self._manager.guard.extend(self._made(), self._manager.hold_seconds(ttl)))

    def top_up(self, amount: Amount, *, least: Amount | None = None) -> Decimal:
        """
        Hold that much more (USD), and the whole hold for HOLD_TTL from now. Return how much more is held.

        That is the amount, or what has room if that is ``least`` or more (default: all or nothing).
        Raise BudgetExceededError, BudgetUnavailableError, or HoldClosedError if the hold has ended.
        """
        return to_usd(self._manager.drive(self.more(*_more(amount, least))))

    async def atop_up(self, amount: Amount, *, least: Amount | None = None) -> Decimal:
        """See top_up()."""
        return to_usd(await self._manager.adrive(self.more(*_more(amount, least))))

    # the bodies ------------------------------------------------------------------------------------------------------

    def more(self, nanos: int, least: int | None = None) -> Operation[int]:
        """See top_up(), in nano-USD."""
        hold = self._made()
        if self._ended:
            raise HoldClosedError(f"The reservation {self.id} has ended and cannot be topped up.")
        granted = yield from self._manager.guard.top_up(hold, nanos, self._manager.hold_seconds(None), least=least)
        self._topped_up.append(granted)
        return granted

    def renew(self) -> Operation[None]:
        """Keep the hold for another HOLD_TTL if it is still there; without it charges are booked in full."""
        with suppress(HoldClosedError, BudgetUnavailableError):
            yield from self._manager.guard.extend(self._made(), self._manager.hold_seconds(None))

    def charging(self, response: object, options: Mapping[str, Any], *, final: bool) -> Operation[Receipt]:
        """See charge(). ``options`` are its cost, model and charge_id."""
        spend = yield from self._priced(response, options, final=final)
        return (yield from self.book(spend, final=final))

    def book(self, spend: Spend, *, final: bool) -> Operation[Receipt]:
        """Book what was spent, as charge() does."""
        hold = self._made()
        receipt = yield from self._manager.guard.charge(hold.deposit, spend, hold=hold, final=final)
        self._receipt, self._stands = receipt, tuple
        if receipt.first:
            self._booked.setdefault(receipt.charge_id, spend.cost)
        elif final:  # a repeated charge answers as before and leaves this hold open
            yield from self.end()
        # A charge that could not be counted ends the hold once it is: until then others must not have the money.
        self._ended = self._ended or final or not receipt.counted
        return receipt

    def _priced(self, response: object, options: Mapping[str, Any], *, final: bool) -> Operation[Spend]:
        try:
            spend: Spend = yield Twin(self._manager, "priced", (response,), options)
        except Exception:  # what was passed has no price: the caller is told, and nothing is booked
            raise
        except BaseException:  # the event loop ends meanwhile, but the money is spent: another thread books it
            self._manager.ledger.database.post(partial(self.charge, response, final=final, **options))
            raise
        return spend

    def end(self) -> Operation[None]:
        """Give back what is left. See release()."""
        if self._hold is not None and not self._ended:
            self._ended = True
            self._stands = yield from self._manager.guard.release(self._hold)

    def _must_be_made(self) -> bool:
        if self._ended:
            raise HoldClosedError(f"The reservation {self.id} has ended; make a new one for another call.")
        return self._hold is None

    def _made(self) -> Hold:
        if self._hold is None:
            raise ValueError("The reservation has not been made yet: use it with 'with' or 'async with'.")
        return self._hold


def _more(amount: Amount, least: Amount | None) -> tuple[int, int | None]:
    nanos = to_nanos(amount, "amount")
    if not nanos:
        raise ValueError(f"amount must be more than 0 USD, got {amount!r}.")
    return nanos, None if least is None else to_nanos(least, "least")
