"""What a reserve and a charge cost, as multiples of a PING of the same client; and the server's share of it."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from coreason_budget import service

from .floors import bare_commands, server_floors
from .measure import Contestant, compare, rows_of
from .server import COST, WritesHeldBack, server_time
from .tables import Row, spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coreason_budget import BudgetManager, Reservation

    from .stage import Options

__all__ = ["measure"]


def measure(options: Options) -> Iterator[Row]:
    """Return what calls on three accounts cost, one period each."""
    manager = service.manager()
    manager.status("ann", "search")
    with service.deferred_writes():  # as in a request: nobody waits for the database
        contestants = [*_sync(manager), *bare_commands(manager, options.calls), *_async(manager)]
        yield from rows_of("calls", contestants, compare(contestants, rounds=options.rounds, calls=options.calls))
    rounds = [server_time(manager, options.calls) for _ in range(options.rounds)]
    for name in rounds[0]:
        micros = [times[name] for times in rounds]
        yield Row("calls", f"{name}: the server's time", median(micros), "µs", spread=spread(micros))
    manager.flush(60)
    yield from server_floors(manager, options)


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
