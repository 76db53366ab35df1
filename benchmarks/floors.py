"""What no code of ours can save: the commands themselves on the wire, and the server's own calls in their scripts."""

from __future__ import annotations

import re
from collections import deque
from statistics import median
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from coreason_budget.ledger.holds import HoldRequest
from coreason_budget.ledger.steps import Command
from coreason_budget.money import to_nanos

from .measure import Contestant
from .server import COST
from .tables import Row, spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coreason_budget import BudgetManager
    from coreason_budget.ledger.steps import Operation

    from .stage import Options

__all__ = ["bare_commands", "server_floors"]

_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')


def bare_commands(manager: BudgetManager, calls: int) -> list[Contestant]:
    """Return contestants that send the commands of a reserve and of a charge, made beforehand, and do nothing else."""
    waiting: deque[tuple[Any, ...]] = deque()
    holds: deque[str] = deque()

    def reserves() -> None:
        holds.extend(uuid4().hex for _ in range(calls))
        waiting.extend(_reserve(manager, hold) for hold in holds)

    def charges() -> None:
        waiting.extend(_charge(manager, hold) for hold in holds)
        holds.clear()

    def drained() -> None:
        manager.drive(manager.ledger.journal.drain())

    def send() -> None:
        manager.ledger.connections.execute(waiting.popleft())

    return [
        Contestant("the command of a reserve alone", send, "PING", before=reserves),
        Contestant("the command of a charge alone", send, "PING", before=charges, after=drained),
    ]


def server_floors(manager: BudgetManager, options: Options) -> Iterator[Row]:
    """Return the server's time for scripts that only make the calls which it was seen to make for ours."""
    client, hold = manager.ledger.connections.client(), uuid4().hex
    sources = {
        "reserve": _calls_of(manager, client, _reserve(manager, hold)),
        "charge": _calls_of(manager, client, _charge(manager, hold)),
    }
    for name, source in sources.items():
        sha, micros = client.script_load(source), []
        for _ in range(options.rounds):
            client.config_resetstat()
            for _ in range(options.calls):
                client.evalsha(sha, 0)
            micros.append(client.info("commandstats")["cmdstat_evalsha"]["usec_per_call"])
        yield Row(
            "calls", f"{name}: the server's time for its calls alone", median(micros), "µs", spread=spread(micros)
        )
    client.flushdb()  # what they have counted is nobody's


def _reserve(manager: BudgetManager, hold: str) -> tuple[Any, ...]:
    ledger, deposit = manager.ledger, manager.guard.accounts("ann", "search")
    keys = [ledger.keys.hold(hold), ledger.keys.deadlines, ledger.keys.journal, *deposit.keys]
    ttl = round(manager.config.hold_ttl * 1000)
    return _command(ledger.ask("reserve", keys, *HoldRequest(hold, deposit, to_nanos(COST), ttl).args()))


def _charge(manager: BudgetManager, hold: str) -> tuple[Any, ...]:
    ledger, deposit = manager.ledger, manager.guard.accounts("ann", "search")
    names = ledger.keys
    keys = [
        names.charge(uuid4().hex),
        names.hold(hold),
        names.deadlines,
        names.journal,
        names.learned(""),
        *deposit.keys,
    ]
    args = (deposit.defaults, to_nanos(COST), "1", uuid4().hex, deposit.payload, "charge", "")
    return _command(ledger.ask("charge", keys, *args))


def _command(operation: Operation[Any]) -> tuple[Any, ...]:
    step = next(operation)
    assert isinstance(step, Command)  # noqa: S101 - to run a script is all it asks for
    return step.args


def _calls_of(manager: BudgetManager, client: Any, command: tuple[Any, ...]) -> str:
    """Return a script of the calls that the server makes for a command, as MONITOR shows them."""
    with client.monitor() as monitor:
        manager.ledger.connections.execute(command)
        client.echo("done")
        calls = []
        while "done" not in (line := str(monitor.connection.read_response())):
            if " lua] " in line:
                calls.append(f"redis.pcall({', '.join(_QUOTED.findall(line))})")
    return "\n".join([*calls, "return 1"])
