"""Several processes on one server and one database, some of which are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from coreason_budget.exceptions import BudgetExceededError
from coreason_budget.models import SpendRecord

from ..databases import login
from .conftest import booked, of_user

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreason_budget.manager import BudgetManager

    from ..servers import RealServer

pytestmark = pytest.mark.django_db(transaction=True)


def start(server: RealServer, what: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.worker", what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "WORKER_DATABASE": login(),
            "COREASON_BUDGET_REDIS_URL": server.url,
            **env,
        },
    )


def test_four_processes_of_32_threads_let_exactly_ten_calls_through(
    new_server: Callable[..., RealServer],
    use_server: Callable[[RealServer], None],
    new_manager: Callable[..., BudgetManager],
) -> None:
    server = new_server()
    use_server(server)
    workers = [start(server, "spend_with_many_threads", COREASON_BUDGET_DAILY_USER_LIMIT_USD="1.00") for _ in range(4)]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    let_through = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]

    assert sum(let_through) == 10
    manager = new_manager(daily_user_limit_usd="1.00", timeout=5)
    assert of_user(manager.status("ann")) == (1_000_000_000, 0)
    assert booked() == 1_000_000_000
    with pytest.raises(BudgetExceededError):
        manager.check("ann")


def test_a_charge_of_a_worker_that_was_killed_before_the_write_is_drained_once(
    new_server: Callable[..., RealServer],
    use_server: Callable[[RealServer], None],
    new_manager: Callable[..., BudgetManager],
) -> None:
    server = new_server()
    use_server(server)
    worker = start(server, "die_before_the_write")
    worker.communicate(timeout=30)
    assert worker.returncode == -signal.SIGKILL
    assert booked() == 0

    manager = new_manager(drain_after=1)
    assert of_user(manager.status("ann")) == (500_000_000, 0)
    manager.guard.housekeeper.tick()
    assert booked() == 0  # it is not old enough, its worker may still live

    time.sleep(1.1)
    manager.guard.housekeeper.tick()
    new_manager(drain_after=1).guard.housekeeper.tick()
    assert SpendRecord.objects.get().charge_id == "orphan"
    assert of_user(manager.status("ann")) == (500_000_000, 0)


@pytest.mark.parametrize(("policy", "spent"), [("charge", 500_000_000), ("release", 0)])
def test_the_hold_of_a_worker_that_was_killed_is_swept(
    new_server: Callable[..., RealServer],
    use_server: Callable[[RealServer], None],
    new_manager: Callable[..., BudgetManager],
    policy: str,
    spent: int,
) -> None:
    server = new_server()
    use_server(server)
    worker = start(server, "die_with_an_open_hold", COREASON_BUDGET_EXPIRED_HOLDS=policy)
    worker.communicate(timeout=30)
    assert worker.returncode == -signal.SIGKILL

    manager = new_manager()
    assert of_user(manager.status("ann"))[1] == 500_000_000
    time.sleep(0.25)
    for _ in range(2):
        manager.guard.housekeeper.tick()
    assert manager.flush(5)
    assert of_user(manager.status("ann")) == (spent, 0)
    assert booked() == spent


def test_a_worker_that_is_killed_at_any_step_of_a_call_has_charged_or_not_and_holds_nothing(
    new_server: Callable[..., RealServer],
    use_server: Callable[[RealServer], None],
    new_manager: Callable[..., BudgetManager],
) -> None:
    server = new_server()
    use_server(server)
    worker = start(server, "die_at_every_step", COREASON_BUDGET_EXPIRED_HOLDS="release")
    lived: dict[str, list[str]] = json.loads(worker.communicate(timeout=60)[0])
    manager = new_manager(timeout=2)
    last = {moments[-1] for moments in lived.values()}
    for step in ("query", "rebuild_begin", "rebuild_end", "reserve", "charge", "store", "ack", "release"):
        assert {f"before {step}", f"after {step}"} <= last

    time.sleep(0.5)
    manager.guard.housekeeper.tick()
    manager.ledger.run(manager.ledger.journal.drain())  # whose entries are old enough: nobody lives who would
    for user, moments in lived.items():
        spent = 500_000_000 if "after charge" in moments else 0
        assert of_user(manager.status(user)) == (spent, 0), moments
        assert booked(user) == spent, moments
    (site,) = [item for item in manager.status("warm") if item.scope == "global"]
    assert (site.spent, site.held) == (SpendRecord.objects.total_usd(), 0)
