"""No connection free: refused in time, and nothing is left behind by those who waited in vain."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget.exceptions import BudgetUnavailableError

from ..conftest import django_redis_alias
from .conftest import BOUND, booked, standing, within

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_django import Settings

    from coreason_budget.manager import BudgetManager

    from ..conftest import Driver
    from ..proxy import TcpProxy
    from ..servers import RealServer

pytestmark = pytest.mark.django_db(transaction=True)


POOLS: dict[str, dict[str, Any]] = {"redis.ConnectionPool": {}, "redis.BlockingConnectionPool": {"timeout": 60}}


@pytest.mark.parametrize("pool", POOLS)
def test_callers_who_find_no_connection_are_refused_in_time(
    new_server: Callable[..., RealServer],
    new_proxy: Callable[[RealServer], TcpProxy],
    settings: Settings,
    new_manager: Callable[..., BudgetManager],
    driver: Driver,
    pool: str,
) -> None:
    proxy = new_proxy(new_server())
    options = {"CONNECTION_POOL_CLASS": pool, "CONNECTION_POOL_KWARGS": {"max_connections": 2, **POOLS[pool]}}
    settings.CACHES = {**settings.CACHES, "default": django_redis_alias(proxy.url, **options)}
    manager = new_manager()
    driver(manager, "charge", "ann", "1")
    assert manager.flush(5)
    rule = proxy.hold_replies(matching=b"EVALSHA")
    answers: list[Any] = []

    def call() -> None:
        answers.extend(driver.together(8, manager, "reserve", "ann", amount="2"))

    with within(BOUND + 0.3):  # 8 threads that wait at once
        thread = threading.Thread(target=call)
        thread.start()
        rule.wait()
        thread.join()
    assert [type(answer) for answer in answers if not isinstance(answer, BudgetUnavailableError)] == []
    proxy.restore()

    manager.flush(5)
    for _ in range(2):
        manager.guard.housekeeper.tick()
    assert standing(driver, manager) == (1_000_000_000, 0)
    assert driver(manager, "charge", "ann", "0.5").counted is True
    assert manager.flush(5)
    assert booked() == 1_500_000_000
