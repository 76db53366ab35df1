"""How fast a backlog of the journal comes into the database."""

from __future__ import annotations

from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING

from coreason_budget import service
from coreason_budget.models import SpendRecord

from . import seeds
from .tables import Row, spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .stage import Options

__all__ = ["measure"]

ROUNDS = 5


def measure(options: Options) -> Iterator[Row]:
    """Return how many records a process drains in a second, and their cost. Raise RuntimeError if one is lost."""
    manager = service.manager()
    (count,) = options.sizes(full=(20_000,), quick=(2_000,))
    rates: list[float] = []
    micros: list[float] = []
    for _ in range(min(ROUNDS, options.rounds)):
        SpendRecord.objects.all().delete()
        seeds.journal(manager, count)
        start, cpu = perf_counter(), process_time()
        manager.ledger.run(manager.ledger.journal.drain())
        rates.append(count / (perf_counter() - start))
        micros.append((process_time() - cpu) / count * 1e6)
        if (written := SpendRecord.objects.count()) != count:
            raise RuntimeError(f"{written} records of {count} were drained")
    yield Row("drains", f"a backlog of {count:,} drained", median(rates), "records/s", spread=spread(rates))
    yield Row("drains", "a drained record: the client's CPU", median(micros), "µs", spread=spread(micros))
