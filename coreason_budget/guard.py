"""
``BudgetGuard``: the rules of check-then-charge on top of the ledger. It raises, has signals sent, and holds no state.

Most methods are operations (generators); the manager drives them synchronously or with ``await``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from .exceptions import BudgetUnavailableError
from .ledger.housekeeping import Housekeeper
from .ledger.outcomes import Charged, Refused
from .ledger.peek import peek
from .ledger.rebuild import spent_with
from .ledger.refunds import Refund, refund
from .ledger.resets import Reset, reset
from .ledger.scripts import AccountView, Charge, Deposit, PeriodView
from .money import to_usd
from .periods import from_ms, window_at
from .refusals.recorder import Recorder
from .reporting import Reporter
from .results import AccountStatus, Receipt
from .scopes import subjects_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .ledger.outcomes import Granted, Released
    from .ledger.redis import RedisLedger
    from .ledger.scripts import Answer, Booking
    from .ledger.steps import Operation
    from .scopes import Subject
    from .spends import Spend

    #: Works out how accounts stand, when it is wanted.
    Show = Callable[[], tuple[AccountStatus, ...]]

__all__ = ["BudgetGuard", "Hold"]

#: Of so many pairs of a user and a project the accounts are remembered: keys and limits by default, some 1 KiB each.
KNOWN_ACCOUNTS: Final = 1_024


@dataclass(frozen=True, slots=True)
class Hold:
    """Money that is set aside (nano-USD): its identity and accounts. ``counted`` is False if nothing could be held."""

    id: str
    deposit: Deposit
    amount: int
    counted: bool = True


class BudgetGuard:
    """Lets a call through or not, and books what it cost."""

    def __init__(self, ledger: RedisLedger) -> None:
        self._ledger = ledger
        self._reporter = Reporter(ledger.config.time_zone, BudgetGuard)
        self._housekeeper = Housekeeper(ledger, self.report_swept)
        self.refusals = Recorder(ledger)
        self._known_accounts = lru_cache(KNOWN_ACCOUNTS)(self._accounts)

    @property
    def housekeeper(self) -> Housekeeper:
        """Who keeps the ledger's house."""
        return self._housekeeper

    def reserve(self, deposit: Deposit, amount: int, ttl: float, *, least: int | None = None) -> Operation[Hold]:
        """
        Hold an amount (nano-USD) for a time (seconds), or what has room if that is ``least`` or more.

        Raise BudgetExceededError or BudgetUnavailableError.
        """
        hold_id = token_hex(16)
        asked = self._ledger.reserve(hold_id, deposit, amount, _ms(ttl), least=least)
        granted = yield from self._decide(asked, deposit, amount, "reserve")
        return Hold(hold_id, deposit, amount if granted is None else granted, counted=granted is not None)

    def top_up(self, hold: Hold, amount: int, ttl: float, *, least: int | None = None) -> Operation[int]:
        """
        Hold an amount (nano-USD) more on a hold, for a time (seconds) from now; return how much it was. See reserve().

        Raise HoldClosedError if the hold has ended.
        """
        if not hold.counted:
            return amount
        more = self._ledger.top_up(hold.id, hold.deposit, amount, _ms(ttl), nonce=token_hex(16), least=least)
        granted = yield from self._decide(more, hold.deposit, amount, "top_up")
        return amount if granted is None else granted

    def check(self, deposit: Deposit, amount: int) -> Operation[bool]:
        """Return True if an amount (nano-USD) fits now and something remains; else raise as reserve() does."""
        yield from self._decide(self._ledger.reserve(token_hex(16), deposit, amount, 0), deposit, amount, "check")
        return True

    def accounts(self, user_id: object, project_id: object) -> Deposit:
        """Return the accounts of a call. Raise ValueError or TypeError for an id that cannot be one."""
        if type(user_id) is str and (project_id is None or type(project_id) is str):
            return self._known_accounts(user_id, project_id)
        return self._accounts(user_id, project_id)

    def charge(
        self, deposit: Deposit, spend: Spend, *, hold: Hold | None = None, final: bool = False
    ) -> Operation[Receipt]:
        """Book a cost, on a hold or bare. Raise ChargeConflictError for an id that was used with another cost."""
        charge = Charge(
            charge_id=spend.charge_id,
            cost=spend.cost,
            user_id=deposit.user_id,
            project_id=deposit.project_id,
            model=spend.model,
            hold_id=hold.id if hold is not None and hold.counted else "",
            input_tokens=spend.input_tokens,
            output_tokens=spend.output_tokens,
            metadata=spend.metadata,
        )
        charged = yield from self._ledger.charge(
            charge, deposit, nonce=token_hex(16), final=final, observed=spend.observed
        )
        self._housekeeper.nudge(deposit.subjects)
        if charged.error is not None:
            self._housekeeper.hurry()
            yield from self._reporter.unavailable(charged.error, "charge")
        views: tuple[AccountView, ...] = ()
        if charged.answer is not None and charged.answer.is_plain:  # nothing to tell; read only if it is wanted
            show = partial(self._shown, deposit.subjects, charged.answer)
        else:
            views = yield from self._views_after(charge, deposit, charged)
            show = partial(self._reporter.statuses, deposit.subjects, views)
        receipt = Receipt(
            charge_id=charge.charge_id,
            cost=to_usd(charge.cost),
            first=charged.first,
            counted=charged.answer is not None,
            show=show,
        )
        if charged.first:
            yield from self._reporter.charged(charge, receipt, deposit.subjects, views)
        return receipt

    def refund(self, wanted: Refund) -> Operation[Receipt]:
        """Take back what a record was booked with. Raise RefundError or BudgetUnavailableError."""
        try:
            refunded = yield from refund(self._ledger, wanted, nonce=token_hex(16))
        except BudgetUnavailableError as error:
            yield from self._reporter.unavailable(error, "refund")
            raise
        charge, deposit = refunded.charge, refunded.deposit
        self._housekeeper.nudge(deposit.subjects)
        views = yield from self._views_after(charge, deposit, Charged(refunded.answer, first=True))
        receipt = Receipt(
            charge.charge_id, to_usd(charge.cost), show=partial(self._reporter.statuses, deposit.subjects, views)
        )
        yield from self._reporter.refunded(charge, receipt)
        return receipt

    def reset(self, wanted: Reset) -> Operation[tuple[AccountStatus, ...]]:
        """
        Have less of what was spent count in one window of one account; return how that stands then.

        Raise ResetError or BudgetUnavailableError.
        """
        try:
            view = yield from reset(self._ledger, wanted, nonce=token_hex(16))
        except BudgetUnavailableError as error:
            yield from self._reporter.unavailable(error, "reset")
            raise
        self._housekeeper.nudge((wanted.subject,))
        self._reporter.was_reset(wanted)
        return self._reporter.statuses((wanted.subject,), (view,))

    def release(self, hold: Hold) -> Operation[Show]:
        """
        Give back what is left of a hold; nothing happens if it has ended. It is given back later if Redis fails.

        Return what works out how the accounts stand then; it gives nothing if Redis did not say.
        """
        if not hold.counted:
            return tuple
        show: Show = tuple
        try:
            released = yield from self._ledger.release(hold.id, hold.deposit)
            show = partial(self._standing, hold.deposit.subjects, released)
        except BudgetUnavailableError as error:
            self.abandon(hold)
            yield from self._reporter.unavailable(error, "release")
        self._housekeeper.nudge(hold.deposit.subjects)
        return show

    def abandon(self, hold: Hold) -> None:
        """Have a hold given back later. This is no operation: it does no input or output, in any thread."""
        if hold.counted:
            self._ledger.journal.abandon(hold.id, hold.deposit)

    def extend(self, hold: Hold, ttl: float) -> Operation[None]:
        """Keep a hold for ttl seconds from now. Raise HoldClosedError if it has ended."""
        if hold.counted:
            yield from self._ledger.extend(hold.id, hold.deposit, _ms(ttl))

    def status(self, deposit: Deposit) -> Operation[list[AccountStatus]]:
        """Return how every account of a call stands that has a limit. Raise BudgetUnavailableError."""
        try:
            views = yield from self._ledger.status(deposit)
        except BudgetUnavailableError as error:
            yield from self._reporter.unavailable(error, "status")
            raise
        return list(self._reporter.statuses(deposit.subjects, views))

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
            yield from self._reporter.unavailable(error, "peek")
            raise
        return {subject: self._reporter.statuses((subject,), (view,)) for subject, view in views.items()}

    def report_swept(self, booking: Booking) -> None:
        """Log and signal that a hold was booked in full because nobody settled it."""
        charge = booking.charge
        self._ledger.run(self._reporter.swept(charge, Receipt(charge.charge_id, to_usd(charge.cost))))

    # the bodies ------------------------------------------------------------------------------------------------------

    def _accounts(self, user_id: object, project_id: object) -> Deposit:
        return self._ledger.deposit(subjects_of(user_id, project_id))

    def _decide(
        self, asked: Operation[Granted | Refused], deposit: Deposit, amount: int, operation: str
    ) -> Operation[int | None]:
        """Return how much is held, None if the ledger does not answer and calls are let through all the same."""
        try:
            verdict = yield from asked
        except BudgetUnavailableError as error:
            yield from self._reporter.unavailable(error, operation)
            if self._ledger.config.on_unavailable == "allow":
                return None
            raise
        self._housekeeper.nudge(deposit.subjects)
        if isinstance(verdict, Refused):
            reference = self.refusals.note(verdict, deposit, amount)
            raise (yield from self._reporter.refused(verdict, amount, reference))
        return verdict.amount

    def _views_after(self, charge: Charge, deposit: Deposit, charged: Charged) -> Operation[tuple[AccountView, ...]]:
        """Return the accounts as the charge left them; those that were not open are opened for it."""
        if charged.answer is None:
            return ()
        booked = charged.answer.accounts
        if all(view.is_complete for view in booked):
            return booked
        try:
            opened = yield from self._ledger.status(deposit)
            views = []
            for subject, before, after in zip(deposit.subjects, booked, opened, strict=True):
                views.append((yield from self._with_passed(subject, before, after, charge, charged.answer)))
        except BudgetUnavailableError:  # the charge is booked; only a part of the picture after it is missing
            return tuple(_known(view) for view in booked)
        return tuple(views)

    def _with_passed(
        self, subject: Subject, booked: AccountView, opened: AccountView, charge: Charge, answer: Answer
    ) -> Operation[AccountView]:
        """
        Return an account that was opened for a charge, with the thresholds that the charge passed.

        The script could not tell them where it did not know the sum; the rebuild counts them as told. Others may have
        charged it too before it was open: each asks what was spent when the journal came to its own charge.
        """
        verified = {period.period: period for period in booked.periods if period.verified}
        thresholds, at = self._ledger.config.thresholds, from_ms(answer.at)
        windows = {
            period.period: window
            for period in opened.periods
            if period.period not in verified
            and _passed(0, period.spent, period.limit, thresholds)
            and (window := window_at(period.period, at, self._ledger.config.time_zone)).id == period.window
        }
        after = {}
        if windows:
            after = yield from spent_with(self._ledger, subject, charge.charge_id, answer.journal_id, windows)
        net = charge.cost - answer.refunded

        def told(period: PeriodView) -> PeriodView:
            known, spent = verified.get(period.period), after.get(period.period)
            if known is not None and known.crossed:  # in the window of the charge, which may have ended meanwhile
                return known
            crossed = () if spent is None else _passed(spent - net, spent, period.limit, thresholds)
            return replace(period, crossed=crossed)

        return replace(opened, periods=tuple(told(period) for period in opened.periods))

    def _shown(self, subjects: tuple[Subject, ...], answer: Answer) -> tuple[AccountStatus, ...]:
        return self._reporter.statuses(subjects, answer.accounts)

    def _standing(self, subjects: tuple[Subject, ...], released: Released) -> tuple[AccountStatus, ...]:
        views = released.accounts()
        return self._reporter.statuses(subjects, views) if all(view.is_complete for view in views) else ()


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _known(view: AccountView) -> AccountView:
    """Return an account with those of its periods that Redis knows for sure."""
    return replace(view, periods=tuple(period for period in view.periods if view.open and period.verified))


def _passed(before: int, after: int, limit: int | None, thresholds: tuple[int, ...]) -> tuple[int, ...]:
    """Return the thresholds (percent of a limit) that lie between what was spent before and after, in nano-USD."""
    cap = limit or 0
    return tuple(percent for percent in thresholds if before * 100 < percent * cap <= after * 100)
