"""What a charge tells Redis of its call beside the cost, so that later calls of its kind hold what such calls cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Observation"]


@dataclass(frozen=True, slots=True)
class Observation:
    """
    What was observed of a call, as ``charge.lua`` reads it; it is counted once, as its charge is.

    ``slot`` ends the key of what was learned. ``learn`` is given what is known then, names and values of fields in
    turn; nothing of it if the charge was booked before or Redis could not take it. It must not raise.
    """

    slot: str
    text: str
    learn: Callable[[Sequence[str]], None]
