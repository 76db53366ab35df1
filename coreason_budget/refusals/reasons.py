"""``Reason``: why an account had no room for a call, from the figures of the decision."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["Reason", "reason_of"]


class Reason(StrEnum):
    """Why; the value is the end of the problem's type."""

    BLOCKED = "blocked"
    TOO_LARGE = "too-large"
    IN_USE = "in-use"
    EXCEEDED = "exceeded"


def reason_of(*, limit: Decimal | int, spent: Decimal | int, asked: Decimal | int) -> Reason:
    """Return why there was no room, from amounts in one unit."""
    if not limit:
        return Reason.BLOCKED
    if asked > limit:
        return Reason.TOO_LARGE
    if spent < limit and spent + asked <= limit:
        return Reason.IN_USE
    return Reason.EXCEEDED
