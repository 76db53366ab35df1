"""How many calls a process makes at once: threads and asyncio, per second and per second of a core of either side."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING

from coreason_budget import service

from .server import COST
from .tables import Row, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coreason_budget import BudgetManager

    from .stage import Options

__all__ = ["measure"]

ROUNDS = 5


def measure(options: Options) -> Iterator[Row]:
    """Return the rates of calls (a reserve and its charge, the record's row included), each size in turn."""
    manager = service.manager()
    threads = options.sizes(full=(1, 2, 4, 8, 16, 32), quick=(1, 8))
    tasks = options.sizes(full=(1, 4, 16, 64, 256), quick=(1, 64))
    contests = [("threads", _threads, threads), ("asyncio tasks", _tasks, tasks)]
    rates: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
    for _ in range(min(ROUNDS, options.rounds)):
        for kind, run, sizes in contests:
            for size in sizes:
                rates.setdefault((kind, size), []).append(_rates(manager, run, size, options.calls * 10))
    for (kind, size), found in rates.items():
        wall, client, server = (list(column) for column in zip(*found, strict=True))
        yield Row(
            "concurrency",
            f"{size} {kind}",
            median(wall),
            "calls/s",
            spread=spread(wall),
            note=f"{median(client):,.0f} per client core, {median(server):,.0f} per server core",
            x=size,
            line=kind,
        )


def _rates(
    manager: BudgetManager, run: Callable[[BudgetManager, int, int], None], size: int, calls: int
) -> tuple[float, float, float]:
    """Return calls per second: of the clock, of the client's CPU and of the server's."""
    start, client, server = perf_counter(), process_time(), _server_cpu(manager)
    with service.deferred_writes():
        run(manager, size, calls // size)
    manager.flush(60)
    made = calls // size * size
    spent = perf_counter() - start, process_time() - client, _server_cpu(manager) - server
    return made / spent[0], made / spent[1], made / spent[2]


def _threads(manager: BudgetManager, size: int, calls: int) -> None:
    def work(number: int) -> None:
        with service.deferred_writes():  # a thread has a context of its own
            for _ in range(calls):
                manager.reserve(f"user-{number}", "search", amount=COST).charge(cost=COST, final=True)

    with ThreadPoolExecutor(size) as pool:
        list(pool.map(work, range(size)))


def _tasks(manager: BudgetManager, size: int, calls: int) -> None:
    async def work(number: int) -> None:
        for _ in range(calls):
            hold = await manager.areserve(f"user-{number}", "search", amount=COST)
            await hold.acharge(cost=COST, final=True)

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(size):
                group.create_task(work(number))

    asyncio.run(all_of_them())


def _server_cpu(manager: BudgetManager) -> float:
    """Return the seconds of CPU that the server has used."""
    info = manager.ledger.connections.client().info("cpu")
    return float(info["used_cpu_sys"]) + float(info["used_cpu_user"])
