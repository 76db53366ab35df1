"""What the contract tests look at a ledger with: a clock to set, and figures as text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db.models import Sum

from coreason_budget.models import SpendRecord
from coreason_budget.money import to_usd
from coreason_budget.periods import to_ms

if TYPE_CHECKING:
    from coreason_budget import AccountStatus, BudgetManager
    from tests.conftest import Backend, Driver
    from tests.servers import RealServer

#: A Wednesday in a year to come: keys of the past would be gone at once.
NOON = "2030-03-13T12:00:00+00:00"

Make = Callable[..., "BudgetManager"]


class Clock:
    """Milliseconds since the epoch, as long as it takes."""

    def __init__(self) -> None:
        self.ms = 0
        self.set(NOON)

    def __call__(self) -> int:
        return self.ms

    def set(self, text: str) -> None:
        """Set an instant in ISO form, with its offset."""
        self.ms = to_ms(datetime.fromisoformat(text))

    def move(self, **by: float) -> None:
        """Move on, or back: ``move(hours=1)``."""
        self.ms += timedelta(**by) // timedelta(milliseconds=1)


def account(
    driver: Driver,
    budget: BudgetManager,
    user: object,
    project: object = None,
    *,
    scope: str = "user",
    period: str = "day",
) -> AccountStatus:
    """Return how one account of a call stands in a period."""
    items: list[AccountStatus] = driver(budget, "status", user, project)
    (found,) = [item for item in items if (item.scope, item.period) == (scope, period)]
    return found


def spent(driver: Driver, budget: BudgetManager, user: object, project: object = None, **which: str) -> str:
    """Return what an account has spent, in USD."""
    return f"{account(driver, budget, user, project, **which).spent:f}"


def held(driver: Driver, budget: BudgetManager, user: object, project: object = None, **which: str) -> str:
    """Return what is held of an account, in USD."""
    return f"{account(driver, budget, user, project, **which).held:f}"


def booked(**which: Any) -> str:
    """Return the sum of the records in the database, in USD."""
    nanos = SpendRecord.objects.filter(**which).aggregate(sum=Sum("cost_nanos"))["sum"] or 0
    return f"{to_usd(nanos):f}"


def everywhere(driver: Driver, budget: BudgetManager) -> set[str]:
    """Return what the accounts and the database say was spent; it should be one figure."""
    items = driver(budget, "status", "ann", "apollo")
    return {f"{item.spent:f}" for item in items if item.period == "day"} | {booked()}


def records(**which: Any) -> list[tuple[str, str]]:
    """Return kind and cost in USD of the records in the database, oldest first."""
    rows = SpendRecord.objects.filter(**which).order_by("at", "pk")
    return [(record.kind, f"{record.cost_usd:f}") for record in rows]


def dump(store: Backend | RealServer) -> dict[str, Any]:
    """Return everything that the ledger holds in the store, but for the times to live."""
    with store.client() as client:
        keys = (key for key in sorted(client.scan_iter("*", count=1000)) if ":refusals" not in key)
        return {key: _value(client, key) for key in keys}


def _value(client: Any, key: str) -> Any:
    match client.type(key):
        case "hash":
            return client.hgetall(key)
        case "zset":
            return client.zrange(key, 0, -1, withscores=True)
        case "stream":
            return client.xrange(key)
        case "set":
            return client.smembers(key)
        case _:
            return client.get(key)


def sweep(budget: BudgetManager) -> list[str]:
    """End the holds that are past their deadline; return what was booked for each, in USD."""
    bookings = budget.ledger.run(budget.ledger.journal.sweep())
    return [f"{to_usd(booking.charge.cost):f}" for booking in bookings]


def lose_accounts(backend: Backend) -> None:
    """Have the store forget all accounts, as an eviction does."""
    with backend.client() as client:
        for key in client.scan_iter("*:a:*", count=1000):
            client.delete(key)


def usd(text: str) -> Decimal:
    """Return an amount of USD."""
    return Decimal(text)
