"""
``BudgetGuard``: the rules of check-then-charge on top of the ledger. It raises, signals and logs, and holds no state.

Every method is an operation (a generator); the manager drives it synchronously or with ``await``.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from . import signals
from .exceptions import BudgetExceededError, BudgetUnavailableError, RefundError, Refusal
from .ledger.housekeeping import Housekeeper
from .ledger.peek import peek
from .ledger.redis import Charged, Refused
from .ledger.refunds import REFUND_PREFIX, Refund, refund
from .ledger.scripts import AccountView, Charge, Deposit, PeriodView
from .ledger.steps import Emit, Operation
from .log import debug_is_on, logger
from .money import Amount, to_nanos, to_usd
from .periods import from_ms, window_named
from .results import AccountStatus, Receipt
from .scopes import MAX_ID_LENGTH, Scope, Subject, clean_id, subjects_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .ledger.redis import RedisLedger, Released
    from .ledger.scripts import Booking

    #: Works out how accounts stand, when it is wanted.
    Show = Callable[[], tuple[AccountStatus, ...]]

__all__ = ["BudgetGuard", "Hold", "Spend"]

MAX_NOTE_LENGTH: Final = 500
_SECOND: Final = timedelta(seconds=1)
RESERVED_IDS: Final = ("expired:", "release:", REFUND_PREFIX)


@dataclass(frozen=True, slots=True)
class Hold:
    """Money that is set aside (nano-USD): its identity and accounts. ``counted`` is False if nothing could be held."""

    id: str
    deposit: Deposit
    amount: int
    counted: bool = True

    def bearer(self) -> Charge:
        """Return an empty charge that says whose hold it is."""
        return Charge("", 0, *_owner(self.deposit), hold_id=self.id)


@dataclass(frozen=True, slots=True)
class Spend:
    """A real cost that is to be booked, in nano-USD, with what the record keeps of it."""

    cost: int
    charge_id: str
    model: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None


class BudgetGuard:
    """Lets a call through or not, and books what it cost."""

    def __init__(self, ledger: RedisLedger) -> None:
        self._ledger = ledger
        self._housekeeper = Housekeeper(ledger, self.report_swept)

    @property
    def housekeeper(self) -> Housekeeper:
        """Who keeps the ledger's house."""
        return self._housekeeper

    def reserve(self, deposit: Deposit, amount: int, ttl: float) -> Operation[Hold]:
        """Hold an amount (nano-USD) for a time (seconds). Raise BudgetExceededError or BudgetUnavailableError."""
        hold = Hold(uuid4().hex, deposit, amount)
        counted = yield from self._decide(hold, amount, round(ttl * 1000), "reserve")
        return hold if counted else replace(hold, counted=False)

    def check(self, deposit: Deposit, amount: int) -> Operation[bool]:
        """Return True if an amount (nano-USD) fits now and something remains; else raise as reserve() does."""
        yield from self._decide(Hold(uuid4().hex, deposit, amount), amount, 0, "check")
        return True

    def accounts(self, user_id: object, project_id: object) -> Deposit:
        """Return the accounts of a call. Raise ValueError or TypeError for an id that cannot be one."""
        return self._ledger.deposit(subjects_of(user_id, project_id))

    def charge(
        self, deposit: Deposit, spend: Spend, *, hold: Hold | None = None, final: bool = False
    ) -> Operation[Receipt]:
        """Book a cost, on a hold or bare. Raise ChargeConflictError for an id that was used with another cost."""
        user_id, project_id = _owner(deposit)
        charge = Charge(
            charge_id=spend.charge_id,
            cost=spend.cost,
            user_id=user_id,
            project_id=project_id,
            model=spend.model,
            hold_id=hold.id if hold is not None and hold.counted else "",
            input_tokens=spend.input_tokens,
            output_tokens=spend.output_tokens,
        )
        charged = yield from self._ledger.charge(charge, deposit, nonce=uuid4().hex, final=final)
        self._housekeeper.nudge(deposit.subjects)
        if charged.error is not None:
            self._housekeeper.hurry()
            yield from self._report_unavailable(charged.error, "charge")
        views = yield from self._views_after(charge, deposit, charged)
        receipt = Receipt(
            charge_id=charge.charge_id,
            cost=to_usd(charge.cost),
            first=charged.first,
            counted=charged.answer is not None,
            show=partial(self._statuses, deposit.subjects, views),
        )
        if charged.first:
            yield from self._report_charge(charge, deposit, views, receipt)
        return receipt

    def refund(self, wanted: Refund) -> Operation[Receipt]:
        """Take back what a record was booked with. Raise RefundError or BudgetUnavailableError."""
        try:
            refunded = yield from refund(self._ledger, wanted, nonce=uuid4().hex)
        except BudgetUnavailableError as error:
            yield from self._report_unavailable(error, "refund")
            raise
        charge, deposit = refunded.charge, refunded.deposit
        self._housekeeper.nudge(deposit.subjects)
        views = yield from self._views_after(charge, deposit, Charged(refunded.answer, first=True))
        receipt = Receipt(charge.charge_id, to_usd(charge.cost), show=partial(self._statuses, deposit.subjects, views))
        logger.info("Refunded {} nano-USD: {}", -charge.cost, charge.metadata)
        yield from self._emit_recorded(charge, receipt)
        return receipt

    def release(self, hold: Hold) -> Operation[Show]:
        """
        Give back what is left of a hold; nothing happens if it has ended. It is given back later if Redis fails.

        Return what works out how the accounts stand then; it gives nothing if Redis did not say.
        """
        if not hold.counted:
            return tuple
        show: Show = tuple
        try:
            released = yield from self._ledger.release(hold.id, hold.deposit, hold.bearer())
            show = partial(self._standing, hold.deposit.subjects, released)
        except BudgetUnavailableError as error:
            self.abandon(hold)
            yield from self._report_unavailable(error, "release")
        self._housekeeper.nudge(hold.deposit.subjects)
        return show

    def abandon(self, hold: Hold) -> None:
        """Have a hold given back later. This is no operation: it does no input or output, in any thread."""
        if hold.counted:
            self._ledger.journal.abandon(hold.id, hold.deposit, hold.bearer())

    def extend(self, hold: Hold, ttl: float) -> Operation[None]:
        """Keep a hold for ttl seconds from now. Raise HoldClosedError if it has ended."""
        if hold.counted:
            yield from self._ledger.extend(hold.id, hold.deposit, round(ttl * 1000))

    def status(self, deposit: Deposit) -> Operation[list[AccountStatus]]:
        """Return how every account of a call stands that has a limit. Raise BudgetUnavailableError."""
        try:
            views = yield from self._ledger.status(deposit)
        except BudgetUnavailableError as error:
            yield from self._report_unavailable(error, "status")
            raise
        return list(self._statuses(deposit.subjects, views))

    def peek(self, subjects: Iterable[Subject]) -> Operation[dict[Subject, tuple[AccountStatus, ...]]]:
        """
        Return how the accounts of any number of subjects stand, for looking at: one round trip, none is opened for it.

        What Redis does not know is read from the database, with one query for the limits of each scope and one for what
        was spent. Raise BudgetUnavailableError.
        """
        wanted = tuple(dict.fromkeys(subjects))
        if not wanted:
            return {}
        try:
            views = yield from peek(self._ledger, wanted)
        except BudgetUnavailableError as error:
            yield from self._report_unavailable(error, "peek")
            raise
        return {subject: self._statuses((subject,), (view,)) for subject, view in views.items()}

    # deciding --------------------------------------------------------------------------------------------------------

    def _decide(self, hold: Hold, amount: int, ttl: int, operation: str) -> Operation[bool]:
        try:
            verdict = yield from self._ledger.reserve(hold.id, hold.deposit, amount, ttl, hold.bearer())
        except BudgetUnavailableError as error:
            yield from self._report_unavailable(error, operation)
            if self._ledger.config.on_unavailable == "allow":
                return False
            raise
        self._housekeeper.nudge(hold.deposit.subjects)
        if isinstance(verdict, Refused):
            exceeded = BudgetExceededError(self._refusal(verdict, amount))
            logger.info("Refused: {}", exceeded)
            yield Emit(signals.budget_exceeded, BudgetGuard, {"error": exceeded, "first": exceeded.first})
            raise exceeded
        return True

    def _refusal(self, refused: Refused, amount: int) -> Refusal:
        window = window_named(refused.period, refused.window, self._ledger.config.time_zone)
        wait = window.end - from_ms(refused.now)
        return Refusal(
            scope=refused.subject.scope.value,
            subject=refused.subject.id,
            period=refused.period.value,
            limit=to_usd(refused.limit),
            spent=to_usd(refused.spent),
            held=to_usd(refused.held),
            requested=to_usd(amount),
            resets_at=window.end,
            retry_after=None if refused.limit == 0 else max(1, -(-wait // _SECOND)),
            first=refused.first,
        )

    # reporting -------------------------------------------------------------------------------------------------------

    def _views_after(self, charge: Charge, deposit: Deposit, charged: Charged) -> Operation[tuple[AccountView, ...]]:
        """Return the accounts as the charge left them; those that were not open are opened for it."""
        if charged.answer is None:
            return ()
        booked = charged.answer.accounts
        if all(view.is_complete for view in booked):
            return booked
        try:
            opened = yield from self._ledger.status(deposit)
        except BudgetUnavailableError:
            return ()  # the charge is booked; only the picture after it is missing
        net = charge.cost - charged.answer.refunded
        thresholds = self._ledger.config.thresholds
        return tuple(_with_passed(*views, net, thresholds) for views in zip(booked, opened, strict=True))

    def _report_charge(
        self, charge: Charge, deposit: Deposit, views: tuple[AccountView, ...], receipt: Receipt
    ) -> Operation[None]:
        if debug_is_on():
            logger.debug("Charged {} nano-USD to {} ({})", charge.cost, charge.user_id or "anonymous", charge.charge_id)
        yield from self._emit_recorded(charge, receipt)
        for subject, view in zip(deposit.subjects, views, strict=False):  # no views if Redis did not answer
            for period in view.periods:
                for percent in period.crossed:
                    status = self._status(subject, view, period)
                    logger.info("{} reached {} % of its limit per {}", subject.label, percent, status.period)
                    yield Emit(signals.budget_threshold_reached, BudgetGuard, {"threshold": percent, "status": status})

    def _emit_recorded(self, charge: Charge, receipt: Receipt) -> Operation[None]:
        who: Mapping[str, Any] = {
            "receipt": receipt,
            "user_id": charge.user_id,
            "project_id": charge.project_id or None,
            "model": charge.model or None,
        }
        yield Emit(signals.spend_recorded, BudgetGuard, who)

    def report_swept(self, booking: Booking) -> None:
        """Log and signal that a hold was booked in full because nobody settled it."""
        charge = booking.charge
        logger.info("A hold was not settled in time and is booked in full: {}", charge)
        self._ledger.run(self._emit_recorded(charge, Receipt(charge.charge_id, to_usd(charge.cost))))

    def _report_unavailable(self, error: BudgetUnavailableError, operation: str) -> Operation[None]:
        logger.error("The budget is unavailable ({}): {}", operation, error)
        yield Emit(signals.budget_unavailable, BudgetGuard, {"error": error, "operation": operation})

    def _standing(self, subjects: tuple[Subject, ...], released: Released) -> tuple[AccountStatus, ...]:
        views = released.accounts()
        return self._statuses(subjects, views) if all(view.is_complete for view in views) else ()

    def _statuses(self, subjects: tuple[Subject, ...], views: tuple[AccountView, ...]) -> tuple[AccountStatus, ...]:
        return tuple(
            self._status(subject, view, period)
            for subject, view in zip(subjects, views, strict=False)
            for period in view.periods
        )

    def _status(self, subject: Subject, view: AccountView, period: PeriodView) -> AccountStatus:
        remaining = None if period.limit is None else max(0, period.limit - period.spent - view.held)
        return AccountStatus(
            scope=subject.scope.value,
            subject=subject.id,
            period=period.period.value,
            limit=None if period.limit is None else to_usd(period.limit),
            spent=to_usd(period.spent),
            held=to_usd(view.held),
            remaining=None if remaining is None else to_usd(remaining),
            resets_at=window_named(period.period, period.window, self._ledger.config.time_zone).end,
        )


def spend_of(
    cost: Amount,
    *,
    model: object = None,
    charge_id: object = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
) -> Spend:
    """
    Return a cost in USD as something that can be booked. Raise ValueError or TypeError for what cannot.

    Without a charge id it gets a new one; give your own to make a repeated charge (a redelivered task) count once.
    """
    return Spend(
        cost=to_nanos(cost, "cost"),
        charge_id=uuid4().hex if charge_id is None else _clean_charge_id(charge_id),
        model="" if model is None else _clean_model(model),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
    )


def refund_of(charge_id: object, amount: Amount | None, *, reason: object = "", by: object = "") -> Refund:
    """Return what is to be refunded, an amount of USD or all that is left. Raise RefundError or TypeError."""
    try:
        text = clean_id(charge_id, "charge_id")
        nanos = None if amount is None else to_nanos(amount, "amount")
    except ValueError as error:
        raise RefundError(str(error)) from error
    if not text:
        raise RefundError("charge_id must not be empty; give the charge id of a spend record.")
    if nanos == 0:
        raise RefundError(f"amount must be more than 0 USD, got {amount!r}; leave it out to refund all that is left.")
    return Refund(text, nanos, {"reason": _clean_note(reason, "reason"), "by": _clean_note(by, "by")})


def _clean_note(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}: {value!r:.80}.")
    text = str.__str__(value)
    if len(text) > MAX_NOTE_LENGTH:
        raise RefundError(f"{name} must have at most {MAX_NOTE_LENGTH} characters, got {len(text)}: {text[:40]!r}...")
    if any(char == "\0" or unicodedata.category(char) == "Cs" for char in text):
        raise RefundError(f"{name} must not contain null characters or lone surrogates, got {text[:80]!a}.")
    return text


def _clean_charge_id(value: object) -> str:
    text = clean_id(value, "charge_id")
    if not text:
        raise ValueError("charge_id must not be empty; leave it out to get a new one.")
    if text.startswith(RESERVED_IDS) or text.endswith("~refund"):
        raise ValueError(
            f"charge_id {text!r} is reserved: it must not start with 'expired:', 'release:' or 'refund:' nor end with "
            "'~refund'."
        )
    return text


def _clean_model(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"model must be a str, not {type(value).__name__}: {value!r:.80}.")
    if len(value) > MAX_ID_LENGTH:
        raise ValueError(f"model must have at most {MAX_ID_LENGTH} characters, got {len(value)}: {value[:40]!r}...")
    return clean_id(value, "model") if value else ""


def _owner(deposit: Deposit) -> tuple[str, str]:
    """Return the user's and the project's id (empty if there is no project)."""
    ids = {subject.scope: subject.id for subject in deposit.subjects}
    return ids[Scope.USER], ids.get(Scope.PROJECT, "")


def _with_passed(booked: AccountView, opened: AccountView, net: int, thresholds: tuple[int, ...]) -> AccountView:
    """
    Return an account that was opened for a charge, with the thresholds that the charge passed.

    The script could not tell them where it did not know the sum; the rebuild counts them as told.
    """
    told = {period.period: period.crossed for period in booked.periods if period.verified}

    def passed(period: PeriodView) -> tuple[int, ...]:
        limit = period.limit or 0
        return tuple(
            percent for percent in thresholds if (period.spent - net) * 100 < percent * limit <= period.spent * 100
        )

    periods = (replace(period, crossed=told.get(period.period, passed(period))) for period in opened.periods)
    return replace(opened, periods=tuple(periods))
