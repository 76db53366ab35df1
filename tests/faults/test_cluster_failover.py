"""A cluster whose primary is killed under load: nobody is let through unchecked, no charge is lost or counted twice."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from coreason_budget.exceptions import BudgetExceededError, BudgetUnavailableError

from ..waiting import until
from .cluster import new_cluster, new_replica, owner, url_of
from .conftest import KEYS, booked, of_user
from .sentinel import role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coreason_budget.manager import BudgetManager

    from ..servers import RealServer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:This test run spends"),  # the servers are the test's own
]

CENT = 10_000_000
THREADS = TASKS = 4


class Load:
    """Callers that spend cents of one budget until it is used up, and try again while it cannot be asked."""

    def __init__(self, manager: BudgetManager) -> None:
        self.manager = manager
        self.paid = 0
        self.longest = 0.0
        self.unavailable = 0
        self.is_running = threading.Event()

    def call(self, _: int) -> None:
        while True:
            try:
                with self.timed():
                    hold = self.manager.reserve("ann", amount="0.01")
            except BudgetExceededError:
                return
            except BudgetUnavailableError:
                self.unavailable += 1
                continue
            hold.charge(cost="0.01", final=True)
            self.note()

    async def acall(self) -> None:
        while True:
            try:
                with self.timed():
                    hold = await self.manager.areserve("ann", amount="0.01")
            except BudgetExceededError:
                return
            except BudgetUnavailableError:
                self.unavailable += 1
                await asyncio.sleep(0.01)
                continue
            await hold.acharge(cost="0.01", final=True)
            self.note()

    @contextmanager
    def timed(self) -> Iterator[None]:
        start = monotonic()
        try:
            yield
        finally:
            self.longest = max(self.longest, monotonic() - start)

    def note(self) -> None:
        self.paid += 1
        if self.paid >= 40:
            self.is_running.set()

    async def acalls(self) -> None:
        await asyncio.gather(*(self.acall() for _ in range(TASKS)))


def test_a_failover_of_a_cluster_under_load_keeps_the_budget_exact(
    new_server: Callable[..., RealServer], new_manager: Callable[..., BudgetManager]
) -> None:
    nodes = new_cluster(new_server, 3)
    primary = owner(nodes, KEYS.journal)
    replica = new_replica(new_server, primary)
    survivor = next(node for node in nodes if node is not primary)
    manager = new_manager(redis_url=url_of(survivor), daily_user_limit_usd="4", timeout=0.5)
    load = Load(manager)

    with ThreadPoolExecutor(THREADS + 1) as pool:
        calls = [
            *(pool.submit(load.call, number) for number in range(THREADS)),
            pool.submit(asyncio.run, load.acalls()),
        ]
        assert load.is_running.wait(20)
        primary.kill()
        until(lambda: role(replica) == "master")
    for call in calls:
        call.result()

    assert load.unavailable > 0
    assert load.longest < 2 * 0.5 + 0.1 + 1  # the promise, and what eight callers at once add
    assert manager.flush(10)
    for _ in range(2):
        manager.guard.housekeeper.tick()
    assert booked() == load.paid * CENT
    assert of_user(manager.status("ann")) == (load.paid * CENT, 0)
    # Each caller had one hold at most when the server was lost that kept it.
    assert 400 <= load.paid <= 400 + THREADS + TASKS
