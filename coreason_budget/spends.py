"""What callers want booked or refunded, as values that were checked: wrong ones are refused here, by name."""

from __future__ import annotations

import unicodedata
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final

from .exceptions import RefundError
from .ledger.adjustments import RESET_PREFIX
from .ledger.refunds import REFUND_PREFIX, Refund
from .money import Amount, to_nanos
from .scopes import MAX_ID_LENGTH, clean_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .ledger.observations import Observation
    from .pricing import PricedCall

__all__ = ["BookedResponses", "Spend", "note_of", "refund_of", "spend_for", "spend_of"]

MAX_NOTE_LENGTH: Final = 500
RESERVED_IDS: Final = ("expired:", "release:", REFUND_PREFIX, RESET_PREFIX)


@dataclass(frozen=True, slots=True)
class Spend:
    """A real cost that is to be booked, in nano-USD, with what the record keeps of it and what it teaches."""

    cost: int
    charge_id: str
    model: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    observed: Observation | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


class BookedResponses:
    """
    Responses whose cost is booked already, by the wrapper that the call went through.

    A view that charges such a response too means the same cost: it gets the same charge id, which counts once. Only
    objects that can be weakly referred to are remembered, and only as long as they live.
    """

    def __init__(self) -> None:
        self._spends: dict[int, tuple[weakref.ref[object], Spend]] = {}

    def remember(self, response: object, spend: Spend) -> None:
        """Note what a response was booked as."""
        key = id(response)
        with suppress(TypeError):
            self._spends[key] = (weakref.ref(response, lambda _: self._spends.pop(key, None)), spend)

    def find(self, response: object) -> Spend | None:
        """Return what a response was booked as, None if it was not."""
        reference, spend = self._spends.get(id(response), (None, None))
        return spend if reference is not None and reference() is response else None


def spend_of(
    cost: Amount,
    *,
    model: object = None,
    charge_id: object = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Spend:
    """
    Return a cost in USD as something that can be booked. Raise ValueError or TypeError for what cannot.

    Without a charge id it gets a new one; give your own to make a repeated charge (a redelivered task) count once.
    """
    return Spend(
        cost=to_nanos(cost, "cost"),
        charge_id=token_hex(16) if charge_id is None else _clean_charge_id(charge_id),
        model="" if model is None else _clean_model(model),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        metadata=metadata or {},
    )


def spend_for(call: PricedCall, *, charge_id: object = None) -> Spend:
    """Return a call whose price was found as something that can be booked. See spend_of()."""
    return spend_of(
        call.cost_usd,
        model=call.model,
        charge_id=charge_id,
        input_tokens=call.input_tokens,
        output_tokens=call.output_tokens,
        metadata={"from_cache": True} if call.is_from_cache else None,
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
    return Refund(text, nanos, note_of(reason, by))


def note_of(reason: object, by: object) -> dict[str, str]:
    """Return what is kept with a booking that somebody has made by hand. Raise RefundError or TypeError."""
    return {"reason": _clean_note(reason, "reason"), "by": _clean_note(by, "by")}


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
            f"charge_id {text!r} is reserved: it must not start with 'expired:', 'release:', 'refund:' or 'reset:' "
            "nor end with '~refund'."
        )
    return text


def _clean_model(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"model must be a str, not {type(value).__name__}: {value!r:.80}.")
    if len(value) > MAX_ID_LENGTH:
        raise ValueError(f"model must have at most {MAX_ID_LENGTH} characters, got {len(value)}: {value[:40]!r}...")
    return clean_id(value, "model") if value else ""
