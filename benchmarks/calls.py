"""What a reserve and a charge cost, as multiples of a PING of the same client; and the server's share of it."""

from __future__ import annotations

import threading
from statistics import median
from typing import TYPE_CHECKING, Any

from coreason_budget import service

from .measure import Contestant, compare, rows_of
from .tables import Row, spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coreason_budget import BudgetManager, Reservation

    from .stage import Options

__all__ = ["WritesHeldBack", "measure", "server_time"]

COST = "0.0001"


def measure(options: Options) -> Iterator[Row]:
    """Return what calls on three accounts cost, one period each."""
    manager = service.manager()
    manager.status("ann", "search")
    with service.deferred_writes():  # as in a request: nobody waits for the database
        contestants = [*_sync(manager), *_async(manager)]
        yield from rows_of("calls", contestants, compare(contestants, rounds=options.rounds, calls=options.calls))
        for name, micros in server_time(manager, rounds=options.rounds, calls=options.calls).items():
            yield Row("calls", f"{name}: the server's time", median(micros), "µs", note=_around(micros))


def _sync(manager: BudgetManager) -> list[Contestant]:
    client = manager.ledger.connections.client()
    empty = client.script_load("return 1")
    held: list[Reservation] = []
    writes = WritesHeldBack(manager)

    def both() -> None:
        manager.reserve("ann", "search", amount=COST).charge(cost=COST, final=True)

    return [
        Contestant("PING", client.ping),
        Contestant("empty EVALSHA", lambda: client.evalsha(empty, 0), "PING"),
        Contestant("reserve", lambda: held.append(manager.reserve("ann", "search", amount=COST)), "PING"),
        Contestant(
            "charge", lambda: held.pop().charge(cost=COST, final=True), "PING", before=writes.begin, after=writes.end
        ),
        Contestant("reserve + charge", both, "PING", before=writes.begin, after=writes.end),
        Contestant("reserve + charge, database written meanwhile", both, "PING", after=lambda: manager.flush(60)),
    ]


def _async(manager: BudgetManager) -> list[Contestant]:
    held: list[Reservation] = []
    writes = WritesHeldBack(manager)
    clients: list[Any] = []

    async def ping() -> None:
        if not clients:
            clients.append(await manager.ledger.connections.aclient())
        await clients[0].ping()

    async def reserve() -> None:
        held.append(await manager.areserve("ann", "search", amount=COST))

    async def charge() -> None:
        await held.pop().acharge(cost=COST, final=True)

    async def both() -> None:
        await (await manager.areserve("ann", "search", amount=COST)).acharge(cost=COST, final=True)

    return [
        Contestant("async PING", ping, is_async=True),
        Contestant("async reserve", reserve, "async PING", is_async=True),
        Contestant("async charge", charge, "async PING", is_async=True, before=writes.begin, after=writes.end),
        Contestant("async reserve + charge", both, "async PING", is_async=True, before=writes.begin, after=writes.end),
    ]


class WritesHeldBack:
    """Keeps the writing thread from running beside a turn: it would share the interpreter with what is timed."""

    def __init__(self, manager: BudgetManager) -> None:
        self._manager = manager
        self._go_on = threading.Event()

    def begin(self) -> None:
        """Have the writing thread wait."""
        self._go_on.clear()
        self._manager.ledger.database.post(self._go_on.wait)

    def end(self) -> None:
        """Have it go on, and wait until all is written."""
        self._go_on.set()
        self._manager.flush(60)


def server_time(
    manager: BudgetManager, *, rounds: int, calls: int, user: str = "ann", project: str = "search"
) -> dict[str, list[float]]:
    """Return the µs that the server needs for a reserve and a charge, by its own count, for each round."""
    client = manager.ledger.connections.client()
    found: dict[str, list[float]] = {"reserve": [], "charge": []}
    for _ in range(rounds):
        held: list[Reservation] = []
        for name, micros in found.items():
            client.config_resetstat()
            for _ in range(calls):
                if name == "reserve":
                    held.append(manager.reserve(user, project, amount=COST))
                else:
                    held.pop().charge(cost=COST, final=True)
            micros.append(client.info("commandstats")["cmdstat_evalsha"]["usec_per_call"])
    return found


def _around(values: list[float]) -> str:
    low_high = spread(values)
    return f"5-95 %: {low_high[0]:.0f}-{low_high[1]:.0f} µs" if low_high else ""
