"""Event loops that end, tasks that are cancelled, processes that fork."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import TYPE_CHECKING

import pytest
from asgiref.sync import async_to_sync

from ..waiting import until
from .conftest import booked, of_user

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from coreason_budget.manager import BudgetManager

    from ..proxy import Rule, TcpProxy
    from ..servers import RealServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(new_server: Callable[..., RealServer]) -> RealServer:
    return new_server()


@pytest.fixture
def proxy(
    server: RealServer, new_proxy: Callable[[RealServer], TcpProxy], use_server: Callable[[TcpProxy], None]
) -> TcpProxy:
    made = new_proxy(server)
    use_server(made)
    return made


@pytest.fixture
def manager(proxy: TcpProxy, new_manager: Callable[..., BudgetManager]) -> BudgetManager:
    made = new_manager(timeout=2)
    made.charge("ann", "1")
    assert made.flush(5)
    return made


def connections(server: RealServer) -> int:
    with server.client() as client:
        return len(client.client_list()) - 1


async def cancelled_at(rule: Rule, call: Coroutine[Any, Any, Any]) -> None:
    task = asyncio.ensure_future(call)
    await asyncio.to_thread(rule.wait)
    task.cancel()
    await asyncio.sleep(0.01)
    rule.release()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_reserve_that_is_cancelled_half_way_leaves_no_hold(manager: BudgetManager, proxy: TcpProxy) -> None:
    async def main() -> None:
        await manager.acheck("ann")
        for _ in range(20):  # it has just been sent, or waits already
            rule = proxy.hold_replies(1, matching=b"EVALSHA")
            await cancelled_at(rule, manager.areserve("ann", amount="2"))
            assert await asyncio.to_thread(manager.flush, 5)
        assert of_user(await manager.astatus("ann")) == (1_000_000_000, 0)  # and its reply is nobody else's

    asyncio.run(main())


def test_a_charge_that_is_cancelled_half_way_is_booked(manager: BudgetManager, proxy: TcpProxy) -> None:
    async def main() -> None:
        await manager.acheck("ann")
        rule = proxy.hold_replies(1, matching=b"EVALSHA")
        await cancelled_at(rule, manager.acharge("ann", "0.5"))
        assert await asyncio.to_thread(manager.flush, 5)
        assert of_user(await manager.astatus("ann")) == (1_500_000_000, 0)

    asyncio.run(main())
    assert booked() == 1_500_000_000


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_is_closed_in_mid_call_harms_nobody_else(manager: BudgetManager, proxy: TcpProxy) -> None:
    rule = proxy.hold_replies(1, matching=b"EVALSHA")
    loop = asyncio.new_event_loop()
    task = loop.create_task(manager.areserve("ann", amount="2"))

    async def wait() -> None:
        await asyncio.to_thread(rule.wait)

    loop.run_until_complete(wait())
    loop.close()
    rule.release()
    del task, loop
    gc.collect()
    assert asyncio.run(manager.acheck("ann")) is True  # drops what belonged to the closed loop
    gc.collect()
    assert manager.flush(5)

    assert asyncio.run(manager.acheck("ann")) is True
    assert of_user(manager.status("ann")) == (1_000_000_000, 0)


def test_one_manager_serves_one_loop_after_another(manager: BudgetManager, server: RealServer) -> None:
    before = connections(server)
    for _ in range(2):
        assert asyncio.run(manager.acheck("ann")) is True
    until(lambda: connections(server) <= before)  # the server drops closed ones in its own time


def test_100_short_loops_leave_at_most_two_connections(manager: BudgetManager, server: RealServer) -> None:
    for _ in range(100):
        async_to_sync(manager.acheck)("ann")

    until(lambda: connections(server) <= 2)


def test_a_forked_child_uses_connections_of_its_own(manager: BudgetManager, server: RealServer) -> None:
    child = os.fork()
    if not child:
        status = 1
        try:
            manager.charge("ann", "0.25")
            status = 0 if manager.flush(10) else 2
        finally:
            os._exit(status)
    for _ in range(20):
        assert manager.check("ann") is True
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    assert of_user(manager.status("ann")) == (1_250_000_000, 0)
    assert booked() == 1_250_000_000
