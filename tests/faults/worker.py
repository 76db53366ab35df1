"""A worker process of the fault tests, on the server and the database that its environment names."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Callable


def set_up() -> None:
    database = json.loads(os.environ["WORKER_DATABASE"])
    if database["ENGINE"].endswith("sqlite3"):
        immediate = {"transaction_mode": "IMMEDIATE"} if django.VERSION >= (5, 1) else {}
        database["OPTIONS"] = {"timeout": 30, **immediate}
    settings.configure(
        SECRET_KEY="only for tests",
        USE_TZ=True,
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "coreason_budget"],
        DATABASES={"default": database},
        COREASON_BUDGET={"LOG_PATH": "", "DATABASE_TIMEOUT": 30, "TIMEOUT": 10},
    )
    django.setup()


def spend_with_many_threads() -> None:
    """Have 32 threads reserve and charge at once; print how many were let through."""
    from coreason_budget import service
    from coreason_budget.exceptions import BudgetExceededError

    def call(_: int) -> bool:
        try:
            with service.reservation("ann", amount="0.1") as hold:
                hold.charge(cost="0.1", final=True)
        except BudgetExceededError:
            return False
        return True

    sys.stdin.readline()  # all workers start together
    with ThreadPoolExecutor(32) as pool:
        let_through = sum(pool.map(call, range(64)))
    assert service.flush(30)
    sys.stdout.write(json.dumps(let_through))


def die_before_the_write() -> None:
    """Charge, and be killed before the record reaches the database."""
    from coreason_budget import service
    from coreason_budget.ledger import records

    records.store = lambda bookings: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment,return-value]  # never returns
    service.charge("ann", "0.5", charge_id="orphan")


def die_with_an_open_hold() -> None:
    """Reserve, and be killed."""
    from coreason_budget import service

    service.reserve("ann", amount="0.5", ttl=0.2)
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_every_step() -> None:
    """Have a child for each moment before and after a step of a call; print the moments that each lived to see."""
    lived: dict[str, list[str]] = {}
    forked(lambda: spend_watched("warm", -1, os.open(os.devnull, os.O_WRONLY)))
    for number in itertools.count():
        reader, writer = os.pipe()
        forked(partial(spend_watched, f"user-{number}", number, writer))
        os.close(writer)
        with os.fdopen(reader) as stream:
            moments = stream.read().splitlines()
        if len(moments) <= number:
            break  # it lived to the end
        lived[f"user-{number}"] = moments
    sys.stdout.write(json.dumps(lived))


def forked(work: Callable[[], None]) -> None:
    child = os.fork()
    if not child:
        work()
        os._exit(0)
    os.waitpid(child, 0)


def spend_watched(user: str, last: int, writer: int) -> None:
    """Reserve, charge and release; tell of each moment and be killed at the last."""
    from coreason_budget import service
    from coreason_budget.ledger import records, steps

    count = itertools.count()

    def moment(name: str) -> None:
        os.write(writer, f"{name}\n".encode())
        if next(count) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(work: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        def do(*args: Any) -> Any:
            moment(f"before {name(*args)}")
            result = work(*args)
            moment(f"after {name(*args)}")
            return result

        return do

    steps.Command.perform = watched(steps.Command.perform, name_of_command)  # type: ignore[method-assign]
    steps.Query.perform = watched(steps.Query.perform, lambda *_: "query")  # type: ignore[method-assign]
    records.store = watched(records.store, lambda *_: "store")
    with service.reservation(user, amount="2", ttl=0.5) as hold:
        hold.charge(cost="0.5")


def name_of_command(command: Any, _: object) -> str:
    from coreason_budget.ledger.scripts import script

    scripts = ("reserve", "charge", "release", "ack", "rebuild_begin", "rebuild_end")
    names: dict[Any, str] = {script(name).sha: name for name in scripts}
    return names.get(command.args[1], str(command.args[0]))


if __name__ == "__main__":
    set_up()
    globals()[sys.argv[1]]()
