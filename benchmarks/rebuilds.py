"""How long an account takes that Redis has lost: the global one and a user's, over a history of today's records."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from coreason_budget import service
from coreason_budget.scopes import GLOBAL, Subject

from . import seeds
from .tables import Row, spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coreason_budget import BudgetManager

    from .stage import Options

__all__ = ["measure"]

ROUNDS = 7


def measure(options: Options) -> Iterator[Row]:
    """Return the time of each. Raise RuntimeError if an account comes to another sum than its records."""
    manager = service.manager()
    sizes = options.sizes(full=(0, 10_000, 100_000, 1_000_000, 5_000_000), quick=(0, 10_000))
    before = 0
    for size in sizes:
        if size:
            seeds.records(manager, before, size, sizes[-1])
            before = size
        for name, subject, records in (
            ("the global account", GLOBAL, size),
            ("a user", seeds.record_user(7), -(-(size - 7) // seeds.USERS) if size else 0),
        ):
            millis = [_rebuilt(manager, subject, records) for _ in range(min(ROUNDS, options.rounds))]
            yield Row(
                "rebuilds",
                f"{name}, {size:,} records of today",
                median(millis),
                "ms",
                spread=spread(millis),
                note=f"{records:,} are its own" if subject != GLOBAL else "",
                x=size,
                line=name,
            )


def _rebuilt(manager: BudgetManager, subject: Subject, records: int) -> float:
    """Return the ms that an account takes."""
    client, key = manager.ledger.connections.client(), manager.ledger.keys.account(subject)
    client.delete(key)
    start = perf_counter()
    manager.ledger.run(manager.ledger.rebuild(subject))
    millis = (perf_counter() - start) * 1_000
    if (spent := int(client.hget(key, "sd"))) != records * seeds.RECORD_NANOS:
        raise RuntimeError(f"{subject.label} was rebuilt with {spent} nano-USD of {records * seeds.RECORD_NANOS}")
    return millis
