"""
Taking back what a record was booked with, once per record: an operation that starts from the database.

The refund's id follows from that of the record, so the database keeps one refund of it whatever Redis has forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from ..exceptions import RefundError
from ..money import to_usd
from .corrections import ORPHANED_SECONDS, keep
from .journal import subjects
from .scripts import Answer, Booking, Charge, Deposit, parse_answer
from .steps import Operation, Query

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from .records import Original
    from .redis import RedisLedger

__all__ = ["REFUND_PREFIX", "Refund", "Refunded", "refund"]

REFUND_PREFIX: Final = "refund:"


@dataclass(frozen=True, slots=True)
class Refund:
    """What is to be taken back of a record: nano-USD, None for all that is left of it. ``note`` is kept with it."""

    charge_id: str
    amount: int | None = None
    note: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refunded:
    """A refund was booked: with a negative cost, on these accounts."""

    charge: Charge
    deposit: Deposit
    answer: Answer


def refund(ledger: RedisLedger, wanted: Refund, *, nonce: str) -> Operation[Refunded]:
    """
    Book a refund on the accounts of its record, now, and write it to the database.

    Raise RefundError if there is no such record, or not that much left of it, or if it was refunded before. Raise
    BudgetUnavailableError if Redis or the database does not answer: nothing is booked then, or if only the answer was
    lost, what was booked is found by whoever asks again. It never goes past Redis: late charges of an expired hold,
    which take the same money back, would not hear of it.
    """
    yield from ledger.journal.drain(ORPHANED_SECONDS)
    original = yield from _original(ledger, wanted.charge_id)
    charge = _reversal(original.charge, wanted.note)
    deposit = ledger.deposit(subjects(charge))
    reply = yield from ledger.ask(
        "refund",
        [
            ledger.keys.charge(charge.charge_id),
            ledger.keys.hold(charge.hold_id),
            ledger.keys.journal,
            *deposit.keys,
        ],
        deposit.defaults,
        "" if wanted.amount is None else wanted.amount,
        original.left,
        nonce,
        charge.payload(),
    )
    match reply:
        case ["ok", "1", cost, text]:
            answer = parse_answer(text)
            charge = replace(charge, cost=int(cost))
            if not (yield from keep(ledger, Booking(charge, answer.journal_id, answer.at))):
                raise _before(wanted.charge_id)
            return Refunded(charge, deposit, answer)
        case ["short", left]:
            raise _short(wanted, int(left))
        case ["overflow", i]:
            label = deposit.subjects[int(i) - 1].label
            raise RefundError(f"The account of {label} cannot count less than -9.2 billion USD in a window.")
        case _:
            raise _before(wanted.charge_id)


def _original(ledger: RedisLedger, charge_id: str) -> Operation[Original]:
    """Find the record that is to be refunded; one that was booked just now may still be on its way to the database."""
    from .records import first_day_kept, original

    look_up = Query(lambda: original(charge_id, f"{REFUND_PREFIX}{charge_id}"))
    found: Original | None = yield look_up
    if found is None:
        yield Query(ledger.journal.write_pending)
        yield from ledger.journal.drain()
        found = yield look_up
    if found is None:
        kept_from: date | None = yield Query(lambda: first_day_kept(ledger.config.time_zone))
        pruned = f" Those before {kept_from} were pruned, and cannot be refunded any more." if kept_from else ""
        raise RefundError(
            f"There is no spend record with the charge id {charge_id!r}; look it up in the spend records.{pruned}"
        )
    if found.is_refunded:
        raise _before(charge_id)
    if not found.is_refundable:
        raise RefundError(
            f"The record {charge_id!r} is {found.charge.kind!r} of {to_usd(found.charge.cost):f} USD: only charges and "
            "expired holds that cost something can be refunded."
        )
    return found


def _reversal(charge: Charge, note: Mapping[str, str]) -> Charge:
    """
    Return a charge's refund, without its amount.

    Only that of an expired hold names the hold: such records are what was taken back of it.
    """
    return Charge(
        charge_id=f"{REFUND_PREFIX}{charge.charge_id}",
        cost=0,
        user_id=charge.user_id,
        project_id=charge.project_id,
        model=charge.model,
        kind="refund",
        hold_id=charge.hold_id if charge.kind == "expired" else "",
        metadata={"refund_of": charge.charge_id, **note},
    )


def _before(charge_id: str) -> RefundError:
    return RefundError(f"The record {charge_id!r} was refunded before; what was spent is refunded once.")


def _short(wanted: Refund, left: int) -> RefundError:
    if left <= 0:
        return RefundError(
            f"Nothing is left of the record {wanted.charge_id!r}: a late charge or release took it back."
        )
    amount = to_usd(wanted.amount or 0)
    return RefundError(
        f"amount must be at most {to_usd(left):f} USD, what is left of the record {wanted.charge_id!r}, "
        f"got {amount:f}; leave it out to refund all of that."
    )
