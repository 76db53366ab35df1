"""A worker process of the fault tests, on the server and the database that its environment names."""

from __future__ import annotations

import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import django
from django.conf import settings


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


if __name__ == "__main__":
    set_up()
    globals()[sys.argv[1]]()
