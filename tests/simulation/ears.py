"""Who listens to the signals of a world: each threshold is told once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from coreason_budget import signals
from coreason_budget.periods import to_ms

if TYPE_CHECKING:
    from coreason_budget import AccountStatus

    from .world import World

__all__ = ["Ears"]


class Ears:
    """Hears signals while the world lives. ``thresholds`` are subject, period code, end of the window and percent."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.thresholds: set[tuple[str, str, int, int]] = set()
        self.recorded: Counter[str] = Counter()
        signals.budget_threshold_reached.connect(self._hear_threshold)
        signals.spend_recorded.connect(self._hear_spend)

    def close(self) -> None:
        """Hear no more."""
        signals.budget_threshold_reached.disconnect(self._hear_threshold)
        signals.spend_recorded.disconnect(self._hear_spend)

    def _hear_threshold(self, threshold: int, status: AccountStatus, **_: Any) -> None:
        if self._world.scheduler.closed:
            return
        told = (f"{status.scope}:{status.subject}", status.period[0], to_ms(status.resets_at), threshold)
        self._world.note("signal", f"threshold {told}")
        is_new = told not in self.thresholds or self._world.auditor.may_be_told_again(*told[:2])
        self._world.auditor.require("9. a threshold is told once", is_new, told)
        self.thresholds.add(told)

    def _hear_spend(self, receipt: Any, **_: Any) -> None:
        if not self._world.scheduler.closed:
            self.recorded[receipt.charge_id] += 1
