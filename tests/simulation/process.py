"""A process of a simulated site: a manager as it is, on wires and a database of the world, and what kills it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreason_budget import BudgetManager
from coreason_budget.ledger.housekeeping import Housekeeper

from .clock import SECOND
from .lanes import WorldDatabase
from .wires import Wires

if TYPE_CHECKING:
    from coreason_budget import BudgetConfig

    from .world import World

__all__ = ["Process"]


class Process:
    """A worker process with its own clock, which is off by ``skew`` ms. Once ``dead`` nothing it does has an effect."""

    def __init__(self, world: World, name: str, config: BudgetConfig, *, skew: int, is_async: bool) -> None:
        self.world = world
        self.name = name
        self.skew = skew
        self.is_async = is_async
        self.dead = False
        self.budget = BudgetManager(config, clock=self._clock)
        ledger = self.budget.ledger
        ledger.injected_now = lambda: ""  # type: ignore[method-assign]  # scripts ask the server, whose time is the world's
        ledger.connections = Wires(self, config.timeout)  # type: ignore[assignment]
        ledger.database = self.database = WorldDatabase(config, self)
        ledger.sleep = self._sleep
        guard = self.budget.guard
        guard.refusals.note = lambda *_: ""  # type: ignore[method-assign]  # by a thread that is not the world's
        guard._housekeeper = Housekeeper(ledger, guard.report_swept, clock=world.clock.seconds)

    def _clock(self) -> int:
        return self.world.clock.now + self.skew

    def _sleep(self, seconds: float) -> None:
        self.world.scheduler.park(round(seconds * SECOND))

    @property
    def is_busy(self) -> bool:
        """Whether it still has something to do by itself; what it could not write waits for more traffic."""
        return not self.dead and self.database.has_work
