"""
Having less of what was spent count in one window of one account: a second start, without a refund.

It starts from the database, as refunds do, so that a reset counts once whatever Redis has forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..exceptions import ResetError
from ..money import to_usd
from .adjustments import Adjustment
from .corrections import ORPHANED_SECONDS, keep
from .opening import opened
from .scripts import Booking, parse_accounts, parse_answer
from .steps import Operation, Query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..periods import Period
    from ..scopes import Subject
    from .redis import RedisLedger
    from .scripts import AccountView

__all__ = ["Reset", "reset"]


@dataclass(frozen=True, slots=True)
class Reset:
    """
    What somebody wants who has seen that so much was ``spent`` in a window (nano-USD): that only ``to`` counts of it.

    ``number`` is how often the window was reset when it was looked at, and one more. ``note`` is kept with it.
    """

    subject: Subject
    period: Period
    window: str
    spent: int
    number: int
    to: int = 0
    note: Mapping[str, str] = field(default_factory=dict)

    @property
    def adjustment(self) -> Adjustment:
        """By how much less counts: exactly the amount that was seen, whatever was spent since."""
        return Adjustment(self.subject, self.period, self.window, self.to - self.spent)


def reset(ledger: RedisLedger, wanted: Reset, *, nonce: str) -> Operation[AccountView]:
    """
    Book an adjustment of one window, now, write it to the database, and return how the account stands then.

    Raise ResetError if another window runs by now, if the window was reset meanwhile, if not that much counts in it any
    more, or if no limit is in force for it. Raise BudgetUnavailableError if Redis or the database does not answer:
    nothing is booked then, or if only the answer was lost, whoever asks again with the same number is told.
    """
    from .records import place_of

    charge = wanted.adjustment.charge(wanted.number, wanted.note)
    yield from ledger.journal.drain(ORPHANED_SECONDS)
    if (yield Query(lambda: place_of(charge.charge_id))) is not None:
        raise _before(wanted)
    deposit = ledger.deposit((wanted.subject,))
    keys = [ledger.keys.charge(charge.charge_id), ledger.keys.journal, *deposit.keys]
    reply = yield from opened(
        ledger,
        deposit,
        lambda: ledger.ask(
            "reset",
            keys,
            deposit.defaults,
            wanted.period.code,
            wanted.window,
            wanted.spent - wanted.to,
            wanted.to,
            nonce,
            charge.payload(),
        ),
    )
    match reply:
        case ["ok", "1", _, text]:
            answer = parse_answer(text)
        case ["ok", *_]:
            raise _before(wanted)
        case ["window", window]:
            raise ResetError(
                f"The {wanted.period} {wanted.window} of {wanted.subject.label} has ended, {window} runs; look again."
            )
        case ["short", spent]:
            raise ResetError(
                f"Of {wanted.subject.label} only {to_usd(int(spent)):f} USD count in the {wanted.period} "
                f"{wanted.window} by now, not the {to_usd(wanted.spent):f} USD that were seen; look again."
            )
        case _:  # unknown
            raise ResetError(
                f"No limit of {wanted.subject.label} per {wanted.period} is in force yet, or any more; look again."
            )
    if not (yield from keep(ledger, Booking(charge, answer.journal_id, answer.at))):
        raise _before(wanted)
    return parse_accounts(answer.shown)[0]


def _before(wanted: Reset) -> ResetError:
    return ResetError(
        f"The {wanted.period} {wanted.window} of {wanted.subject.label} was reset meanwhile; look again before you "
        "reset it once more."
    )
