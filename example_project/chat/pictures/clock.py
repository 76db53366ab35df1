"""A clock that is set by hand, for the ledger and for Django: what is on a picture must not depend on its day."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from unittest.mock import patch

from coreason_budget import BudgetManager, service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

__all__ = ["Clock"]


@dataclass(slots=True)
class Clock:
    """Tells the instant that it was set to, until it is set again."""

    now: datetime

    def milliseconds(self) -> int:
        """Return the instant as the ledger counts."""
        return int(self.now.timestamp() * 1000)

    @contextmanager
    def everywhere(self) -> Iterator[None]:
        """Have the ledger and Django take the time from here, in all threads."""
        by_this_clock = partial(BudgetManager, clock=self.milliseconds)
        with (
            patch("django.utils.timezone.now", lambda: self.now),
            patch.object(service, "BudgetManager", by_this_clock),
        ):
            service.reset()
            try:
                yield
            finally:
                service.reset()
