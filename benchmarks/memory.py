"""What the server keeps in memory for an account, an open hold and a charge id that it remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreason_budget import service

from .server import COST
from .tables import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coreason_budget import BudgetManager

    from .stage import Options

__all__ = ["measure"]


def measure(options: Options) -> Iterator[Row]:
    """Return the bytes of each, over so many that were made by real calls."""
    manager = service.manager()
    (count,) = options.sizes(full=(5_000,), quick=(500,))
    manager.status("ann", "search")
    with service.deferred_writes():
        yield from _each(manager, count, "account (one period)", lambda i: manager.status(f"user-{i}"))
        yield from _each(manager, count, "open hold", lambda _: manager.reserve("ann", "search", amount=COST))
        yield from _each(manager, count, "remembered charge id", lambda _: manager.charge("ann", COST, "search"))


def _each(manager: BudgetManager, count: int, what: str, work: Callable[[int], object]) -> Iterator[Row]:
    before = _used(manager)
    for i in range(count):
        work(i)
    manager.flush(120)  # the journal is empty again
    yield Row("memory", what, (_used(manager) - before) / count, "bytes")


def _used(manager: BudgetManager) -> int:
    return int(manager.ledger.connections.client().info("memory")["used_memory"])
