"""Holding an amount on the accounts of a call, as a new hold or on an open one, and what comes of a lost reply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..exceptions import BudgetUnavailableError, ChargeConflictError, HoldClosedError
from .opening import opened, refresh_later
from .outcomes import Granted, Refused
from .scripts import PERIOD_OF_CODE
from .steps import LostReplyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..scopes import Subject
    from .redis import RedisLedger
    from .scripts import Deposit
    from .steps import Operation

__all__ = ["HoldRequest", "ask_to_hold", "overflow", "reserve"]


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """
    What is to be held: an amount (nano-USD) for a ttl (ms, 0 = only decide), on whose accounts.

    ``least`` is the least amount that serves, None for all of it; a ``nonce`` makes it a top-up of an open hold.
    """

    hold_id: str
    deposit: Deposit
    amount: int
    ttl: int
    least: int | None = None
    nonce: str = ""

    def args(self) -> tuple[str | int, ...]:
        """Return the arguments of the script that are of this request."""
        least = "" if self.least is None else self.least
        return self.deposit.defaults, self.amount, self.ttl, self.deposit.payload, least, self.nonce


def reserve(ledger: RedisLedger, request: HoldRequest) -> Operation[Granted | Refused]:
    """Make a hold; one that may have been made unseen is given back. Raise as ``RedisLedger.reserve`` does."""
    lost_before, verdict = ledger.lost, None
    try:
        verdict = yield from ask_to_hold(ledger, request)
    except HoldClosedError as error:
        if ledger.lost == lost_before:
            raise
        # Its first try was executed unseen: by a server that is no more, or it was swept meanwhile.
        raise LostReplyError(str(error)) from error
    except (ValueError, BudgetUnavailableError):
        raise  # the script has said no, or was never sent, or a lost try has been counted
    except BaseException:
        ledger.lost += 1  # cancelled, or killed, at any step
        raise
    finally:
        # Whoever lost a reply meanwhile: a release too many does no harm, a hold for nobody does.
        if request.ttl and ledger.lost != lost_before and not isinstance(verdict, Granted):
            ledger.journal.abandon(request.hold_id, request.deposit)
    return verdict


def ask_to_hold(ledger: RedisLedger, request: HoldRequest) -> Operation[Granted | Refused]:
    """Ask for a hold, or for more on one; once more after a sweep where abandoned holds are given back."""
    verdict = yield from _ask(ledger, request)
    if isinstance(verdict, Refused) and verdict.held and ledger.config.expired_holds == "release":
        yield from ledger.journal.sweep()
        verdict = yield from _ask(ledger, request)
    return verdict


def _ask(ledger: RedisLedger, request: HoldRequest) -> Operation[Granted | Refused]:
    deposit, names = request.deposit, ledger.keys
    keys = [names.hold(request.hold_id), names.deadlines, names.journal, *deposit.keys]
    args = request.args()
    reply = yield from opened(ledger, deposit, lambda: ledger.ask("reserve", keys, *args))
    match reply:
        case ["ok", _, deadline, amount, *outdated]:
            refresh_later(ledger, deposit, outdated)
            return Granted(int(deadline), int(amount))
        case ["exceeded", *values]:
            return _refused(deposit, values)
        case ["backlog", length]:
            raise BudgetUnavailableError(
                f"{length} charges wait to be written to the database (JOURNAL_MAX_LENGTH is "
                f"{ledger.config.journal_max_length}); run manage.py budget_drain."
            )
        case ["overflow", i]:
            raise overflow(deposit.subjects[int(i) - 1])
        case ["conflict"]:
            raise ChargeConflictError(
                f"The hold id {request.hold_id!r} was used before with another amount or account."
            )
        case ["gone", "open"] if not request.nonce:
            ledger.lost += 1  # it was executed unseen, by a server that is no more; nobody must wait for its deadline
            raise LostReplyError(f"The hold {request.hold_id!r} is of a server that is no more; reserve once more.")
        case _:
            raise HoldClosedError(f"The hold {request.hold_id!r} has ended before: {reply[-1] or 'unknown'}.")


def _refused(deposit: Deposit, values: Sequence[str]) -> Refused:
    now, i, code, window, spent, held, limit, first = values
    return Refused(
        subject=deposit.subjects[int(i) - 1],
        period=PERIOD_OF_CODE[code],
        window=window,
        spent=int(spent),
        held=int(held),
        limit=int(limit),
        first=first == "1",
        now=int(now),
    )


def overflow(subject: Subject) -> ValueError:
    """Return the error of an account that is full."""
    return ValueError(f"The account of {subject.label} cannot count more than 9.2 billion USD in a window.")
