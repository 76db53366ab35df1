"""``Adjustment``: how much less of what was spent counts in one window of one account. The money stays spent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from ..periods import Period
from ..scopes import Scope, subject_of_key
from .scripts import Charge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..periods import Window
    from ..scopes import Subject

__all__ = ["RESET_PREFIX", "Adjustment", "adjusted"]

RESET_PREFIX: Final = "reset:"
_KIND: Final = "adjustment"


@dataclass(frozen=True, slots=True)
class Adjustment:
    """
    What the record of a reset says: whose account, in which window of which period, by how much (nano-USD, negative).

    The record itself costs nothing, so whatever sums up costs knows nothing of it.
    """

    subject: Subject
    period: Period
    window: str
    nanos: int

    def charge(self, number: int, note: Mapping[str, str]) -> Charge:
        """
        Return what is booked for it. ``number`` counts the resets of this window, from 1.

        Its id follows from that, so the database keeps one reset of a number whatever Redis has forgotten.
        """
        named = f"{self.subject.key} {self.period.value} {self.window}"
        digest = hashlib.sha256(named.encode()).hexdigest()[:32]
        return Charge(
            charge_id=f"{RESET_PREFIX}{digest}:{number}",
            cost=0,
            user_id=self.subject.id if self.subject.scope is Scope.USER else "",
            project_id=self.subject.id if self.subject.scope is Scope.PROJECT else "",
            kind=_KIND,
            metadata={
                "adjusts": self.subject.key,
                "period": self.period.value,
                "window": self.window,
                "nanos": str(self.nanos),
                **note,
            },
        )

    @classmethod
    def read(cls, charge_id: str, metadata: Mapping[str, str]) -> Self | None:
        """Return what a record of kind adjustment says; None if it is no reset."""
        if not charge_id.startswith(RESET_PREFIX):
            return None
        return cls(
            subject=subject_of_key(metadata["adjusts"]),
            period=Period(metadata["period"]),
            window=metadata["window"],
            nanos=int(metadata["nanos"]),
        )

    @classmethod
    def of(cls, charge: Charge) -> Self | None:
        """Return what a booking adjusts; None for what is no reset."""
        return cls.read(charge.charge_id, charge.metadata) if charge.kind == _KIND else None


def adjusted(
    adjustments: Iterable[Adjustment], subject: Subject, windows: Mapping[Period, Window]
) -> dict[Period, int]:
    """Return the sums of a subject's adjustments in windows, in nano-USD: 0 or less."""
    sums = dict.fromkeys(windows, 0)
    for each in adjustments:
        window = windows.get(each.period)
        if each.subject == subject and window is not None and window.id == each.window:
            sums[each.period] += each.nanos
    return sums
