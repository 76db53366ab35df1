"""Event loops and threads that share a ledger."""

from __future__ import annotations

import asyncio
import threading
from decimal import Decimal

import pytest
from asgiref.sync import async_to_sync

from coreason_budget import service
from coreason_budget.models import SpendRecord

from ..waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_sync_call_on_a_running_loop_never_touches_the_orm_there(budget, production, monkeypatch):
    monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE", raising=False)

    async def main():
        budget.charge("ann", "0.25")
        with budget.reservation("ann", "apollo", "1") as hold:
            hold.charge(cost="0.50")
        return budget.status("ann")[0].spent

    assert asyncio.run(main()) == Decimal("0.75")
    assert budget.flush(10)
    assert SpendRecord.objects.count() == 2


def test_one_manager_serves_many_loops(budget):
    async def main() -> None:
        await asyncio.gather(*(budget.acharge("ann", "0.01") for _ in range(5)))

    asyncio.run(main())
    asyncio.run(main())
    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget.flush(10)
    assert SpendRecord.objects.count() == 30
    assert budget.status("ann")[0].spent == Decimal("0.30")


def test_short_loops_leave_no_connections(real_server, settings):
    settings.COREASON_BUDGET = {"LOG_PATH": "", "REDIS_URL": real_server.url, "KEY_PREFIX": "short-loops"}

    async def charge() -> None:
        await service.acharge("ann", "0.01")

    with real_server.client() as client:
        before = {item["id"] for item in client.client_list()}
        for _ in range(100):
            async_to_sync(charge)()
        until(lambda: len({item["id"] for item in client.client_list()} - before) <= 2)
    assert service.flush(10)
    assert SpendRecord.objects.count() == 100


def test_threads_share_a_manager(budget):
    threads = [threading.Thread(target=budget.charge, args=("ann", "0.01")) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget.flush(10)
    assert SpendRecord.objects.count() == 16


def test_a_caller_who_gives_up_cancels_only_his_own_query(budget, gate):
    database = budget.ledger.database

    async def main() -> None:
        database._queries.submit(gate)
        waiting = asyncio.create_task(database._await(database._submit(lambda: 1)))
        other = database._submit(lambda: 2)
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.opened.set()
        assert other.result(10) == 2

    asyncio.run(main())
