"""``Purse``: a hold that many calls draw on at once, from any thread or task; it is topped up when it runs short."""

from __future__ import annotations

from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from ..exceptions import BudgetExceededError, HoldClosedError

if TYPE_CHECKING:
    from ..ledger.steps import Operation
    from ..reservation import Reservation
    from ..results import Receipt
    from ..spends import Spend

__all__ = ["Draw", "DrawnFunds", "Funds", "HeldFunds", "Purse", "purse_of"]


class Funds(Protocol):
    """Where the money of a purse is held. Amounts are nano-USD."""

    @property
    def is_open(self) -> bool:
        """Whether it can still be drawn on."""

    @property
    def booked(self) -> int:
        """What was charged to it so far."""

    def more(self, nanos: int, least: int) -> Operation[int]:
        """Hold that much more, or what has room if that is ``least`` or more; return how much it was."""

    def book(self, spend: Spend, *, final: bool) -> Operation[Receipt]:
        """Book what was spent."""

    def renew(self) -> Operation[None]:
        """Have it live for another HOLD_TTL."""


class HeldFunds:
    """The money of one reservation."""

    def __init__(self, hold: Reservation) -> None:
        self.hold = hold

    @property
    def is_open(self) -> bool:
        """Whether the hold was made and has not ended."""
        return self.hold.is_open

    @property
    def booked(self) -> int:
        """What was charged to the hold so far, in nano-USD."""
        return self.hold.booked_nanos

    def more(self, nanos: int, least: int) -> Operation[int]:
        """Top the hold up. Raise BudgetExceededError, BudgetUnavailableError or HoldClosedError."""
        return self.hold.more(nanos, least)

    def book(self, spend: Spend, *, final: bool) -> Operation[Receipt]:
        """Charge it to the hold."""
        return self.hold.book(spend, final=final)

    def renew(self) -> Operation[None]:
        """Move the deadline of the hold."""
        return self.hold.renew()


class DrawnFunds:
    """What was drawn from another purse: money of a run inside a run."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._booked = 0

    @property
    def is_open(self) -> bool:
        """Whether the other purse can still be drawn on."""
        return self._draw.is_open

    @property
    def booked(self) -> int:
        """What was charged to it so far, in nano-USD."""
        return self._booked

    def more(self, nanos: int, least: int) -> Operation[int]:
        """Draw more from the other purse."""
        return self._draw.more(nanos, least)

    def book(self, spend: Spend, *, final: bool) -> Operation[Receipt]:
        """Charge it to the hold of the other purse, which never ends with it."""
        receipt = yield from self._draw.book(spend)
        if receipt.first:
            self._booked += spend.cost
        return receipt

    def renew(self) -> Operation[None]:
        """Have the other purse live longer."""
        return self._draw.renew()


class Draw:
    """What one call may take out of a purse, in nano-USD, until it is closed."""

    __slots__ = ("_purse", "amount")

    def __init__(self, purse: Purse, amount: int) -> None:
        self._purse = purse
        self.amount = amount

    @property
    def is_open(self) -> bool:
        """Whether the hold that it is a part of is open."""
        return self._purse.funds.is_open

    def book(self, spend: Spend, *, final: bool = False) -> Operation[Receipt]:
        """Book what the call cost. ``final`` ends the hold of the purse with the same round trip."""
        receipt = yield from self._purse.funds.book(spend, final=final)
        if receipt.first:
            self._purse.used(self, spend.cost)
        return receipt

    def more(self, nanos: int, least: int | None = None) -> Operation[int]:
        """Draw that much more, and return how much it was. See Purse.draw()."""
        other = yield from self._purse.draw(nanos, least)
        self._purse.merge(self, other)
        return other.amount

    @property
    def is_due(self) -> bool:
        """Whether the money would not live long enough for what is to come."""
        return self._purse.is_due

    def renew(self) -> Operation[None]:
        """Have the money live for another HOLD_TTL, if it is due."""
        return self._purse.renew()

    def close(self) -> None:
        """Leave what was not used to other calls."""
        self._purse.close(self)


def purse_of(hold: Reservation, *, step: int = 0) -> Purse:
    """Return the purse of a hold that was made. See Purse."""
    return Purse(HeldFunds(hold), hold.amount_nanos, lifetime=hold.lifetime, step=step)


class Purse:
    """
    A hold with the calls that draw on it. Safe to share between threads and event loops.

    ``step`` (nano-USD) is the least that it is topped up by. ``funds`` holds ``granted`` nano-USD at first.
    """

    def __init__(self, funds: Funds, granted: int, *, lifetime: float, step: int = 0) -> None:
        self.funds = funds
        self._step = step
        self._lock = Lock()
        self._granted = granted
        self._committed = 0
        self._coming = 0  # asked for and not yet granted
        self._pause = lifetime / 2
        self._renew_at = monotonic() + self._pause

    @property
    def granted(self) -> int:
        """What is or was held for it in all, in nano-USD."""
        return self._granted

    @property
    def is_due(self) -> bool:
        """Whether half of the time has passed that the hold lives."""
        return monotonic() >= self._renew_at

    def draw(self, amount: int, least: int | None = None) -> Operation[Draw]:
        """
        Set an amount (nano-USD) aside for a call, or what there is if that is ``least`` or more.

        Raise BudgetExceededError if the accounts have no room for what is short, BudgetUnavailableError, or
        HoldClosedError if the hold has ended.
        """
        if not self.funds.is_open:
            raise HoldClosedError("The hold that this call was to draw on has ended.")
        short, ask = self._commit(amount)
        draw = Draw(self, amount)
        try:
            if short:
                yield from self._top_up(draw, short, ask, least)
            yield from self.renew()
        except BaseException:
            self.close(draw)
            raise
        return draw

    def renew(self) -> Operation[None]:
        """Have the hold live for another HOLD_TTL, if half of that has passed."""
        if self.is_due:
            self._renew_at = monotonic() + self._pause
            yield from self.funds.renew()

    # what draws tell ------------------------------------------------------------------------------------------------

    def used(self, draw: Draw, cost: int) -> None:
        """Note that a draw has cost that much."""
        with self._lock:
            taken = min(cost, draw.amount)
            draw.amount -= taken
            self._committed -= taken

    def merge(self, draw: Draw, other: Draw) -> None:
        """Make one draw of two."""
        with self._lock:
            draw.amount += other.amount

    def close(self, draw: Draw) -> None:
        """Leave what is left of a draw to others."""
        with self._lock:
            self._committed -= draw.amount
            draw.amount = 0

    # the sums -------------------------------------------------------------------------------------------------------

    def _commit(self, amount: int) -> tuple[int, int]:
        """Promise an amount to a call; return what is short of it, and how much to ask for."""
        with self._lock:
            left = max(0, self._granted - self.funds.booked) + self._coming - self._committed
            short = min(amount, max(0, amount - left))
            # One at a time asks for a whole step: many together would take all there is away from others.
            ask = short if self._coming else max(short, self._step)
            self._committed += amount
            self._coming += short
            return short, ask

    def _top_up(self, draw: Draw, short: int, ask: int, least: int | None) -> Operation[None]:
        granted = 0
        wanted = short if least is None else max(0, short - max(0, draw.amount - least))
        try:
            granted = yield from self.funds.more(ask, wanted)
        except BudgetExceededError:
            if wanted or draw.amount == short:
                raise  # else what there is will do
        finally:
            with self._lock:
                self._coming -= short
                self._granted += granted
                missing = max(0, short - granted)
                draw.amount -= missing
                self._committed -= missing
        self._renew_at = monotonic() + self._pause  # a top-up moves the deadline
