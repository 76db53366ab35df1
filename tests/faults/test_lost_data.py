"""A server that loses data: counters are rebuilt from the database before the next call is let through."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget.exceptions import BudgetExceededError

from .conftest import BOUND, booked, standing, within

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreason_budget.manager import BudgetManager

    from ..conftest import Driver
    from ..proxy import TcpProxy
    from ..servers import RealServer

pytestmark = pytest.mark.django_db(transaction=True)


def flush_all(server: RealServer) -> None:
    with server.client() as client:
        client.flushall()


def test_a_flush_between_charges_loses_nothing(
    new_server: Callable[..., RealServer],
    use_server: Callable[[RealServer], None],
    new_manager: Callable[..., BudgetManager],
    driver: Driver,
) -> None:
    server = new_server()
    use_server(server)
    manager = new_manager()

    for number in range(1, 11):
        driver(manager, "charge", "ann", "0.100000001")
        assert manager.flush(5)
        flush_all(server)
        assert standing(driver, manager) == (number * 100_000_001, 0)
    assert booked() == 1_000_000_010


def test_64_callers_that_wait_while_the_server_is_emptied_do_not_overspend(
    new_server: Callable[..., RealServer],
    new_proxy: Callable[[RealServer], TcpProxy],
    use_server: Callable[[TcpProxy], None],
    new_manager: Callable[..., BudgetManager],
    driver: Driver,
) -> None:
    server = new_server()
    proxy = new_proxy(server)
    use_server(proxy)
    manager = new_manager(daily_user_limit_usd="1", timeout=5)
    driver(manager, "charge", "ann", "0.5")
    assert manager.flush(5)
    rule = proxy.hold_requests(matching=b"EVALSHA")
    answers: list[Any] = []

    def call() -> None:
        answers.extend(driver.together(64, manager, "reserve", "ann", amount="0.1"))

    thread = threading.Thread(target=call)
    thread.start()
    rule.wait()
    flush_all(server)
    rule.release()
    thread.join()

    assert sum(isinstance(answer, BudgetExceededError) for answer in answers) == 59
    assert standing(driver, manager) == (500_000_000, 500_000_000)
    for answer in answers:
        if not isinstance(answer, BudgetExceededError):
            driver(answer, "charge", cost="0.1", final=True)
    assert manager.flush(10)
    assert standing(driver, manager) == (1_000_000_000, 0)
    assert booked() == 1_000_000_000


@pytest.mark.parametrize("how", ["empty", "old", "same", "log"])
def test_a_restart_with_less_data_starts_from_the_database(
    new_server: Callable[..., RealServer],
    use_server: Callable[[RealServer], None],
    new_manager: Callable[..., BudgetManager],
    driver: Driver,
    how: str,
) -> None:
    server = new_server(aof=how == "log")
    use_server(server)
    manager = new_manager(daily_user_limit_usd="1")
    driver(manager, "charge", "ann", "0.3")
    assert manager.flush(5)
    old = server.snapshot() if how == "old" else None
    driver(manager, "charge", "ann", "0.6")
    hold = driver(manager, "reserve", "ann", amount="0.1")
    assert manager.flush(5)

    if old is not None:
        server.restore_and_restart(old)
    else:
        server.restart(keep_data=how != "empty")

    with within(BOUND), pytest.raises(BudgetExceededError):
        driver(manager, "reserve", "ann", amount="0.100000001")
    assert standing(driver, manager) == (900_000_000, 0)
    driver(hold, "charge", cost="0.1", final=True)
    assert manager.flush(5)
    with pytest.raises(BudgetExceededError):
        driver(manager, "check", "ann")
    assert standing(driver, manager) == (1_000_000_000, 0)
    assert booked() == 1_000_000_000
