"""What the fault tests share: managers on servers of their own, and the truth that counters must equal."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget.conf import BudgetConfig
from coreason_budget.ledger.scripts import Keys
from coreason_budget.manager import BudgetManager
from coreason_budget.models import SpendRecord
from coreason_budget.money import to_nanos
from coreason_budget.scopes import Scope, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..conftest import Driver
    from ..servers import RealServer

TIMEOUT = 0.3
BOUND = 2 * TIMEOUT + 0.1 + 0.15  # the promise, and what a loaded machine adds

ANN = Subject(Scope.USER, "ann")
KEYS = Keys("coreason-budget")


@pytest.fixture
def new_manager() -> Iterator[Callable[..., BudgetManager]]:
    """Make a manager with a short time-out, closed after the test."""
    with contextlib.ExitStack() as stack:

        def make(**overrides: Any) -> BudgetManager:
            manager = BudgetManager(BudgetConfig(**{"timeout": TIMEOUT, **overrides}))
            stack.callback(manager.close_sync)
            return manager

        yield make


def account(server: RealServer) -> dict[str, str]:
    """Return the account of ann as it is in the server."""
    with server.client() as client:
        found: dict[str, str] = client.hgetall(KEYS.account(ANN))
    assert found
    return found


def booked(user_id: str = "ann") -> int:
    """Return what the database says a user spent, in nano-USD."""
    return sum(SpendRecord.objects.filter(user_id=user_id).values_list("cost_nanos", flat=True))


def of_user(statuses: Any) -> tuple[int, int]:
    """Return what the user of a status has spent and holds, in nano-USD."""
    [status] = [item for item in statuses if item.scope == "user"]
    return to_nanos(status.spent), to_nanos(status.held)


def standing(driver: Driver, manager: BudgetManager, user_id: str = "ann") -> tuple[int, int]:
    """Return what a user has spent and holds, in nano-USD, as the next call sees it."""
    return of_user(driver(manager, "status", user_id))


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail if the block takes longer."""
    start = time.monotonic()
    yield
    took = time.monotonic() - start
    assert took <= seconds, f"took {took:.3f} s, promised were {seconds:.3f} s"
