"""A server that does not answer, refuses, or cannot be found: refused in time, whatever the cache alias says."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget.exceptions import BudgetUnavailableError
from coreason_budget.models import SpendRecord

from ..conftest import django_redis_alias
from ..servers import free_port
from .conftest import BOUND, TIMEOUT, booked, standing, within

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_django import Settings

    from coreason_budget.manager import BudgetManager

    from ..conftest import Driver
    from ..proxy import TcpProxy
    from ..servers import RealServer

pytestmark = pytest.mark.django_db(transaction=True)

ALIASES: dict[str, dict[str, Any]] = {
    "slow": {"SOCKET_TIMEOUT": 60, "SOCKET_CONNECT_TIMEOUT": 60, "CONNECTION_POOL_KWARGS": {"retry_on_timeout": True}},
    "blocking": {
        "SOCKET_TIMEOUT": 60,
        "CONNECTION_POOL_CLASS": "redis.BlockingConnectionPool",
        "CONNECTION_POOL_KWARGS": {"max_connections": 2, "timeout": 60},
    },
}


@pytest.fixture(params=ALIASES)
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return ALIASES[request.param]


def use(settings: Settings, url: str, options: dict[str, Any] | None = None) -> None:
    settings.CACHES = {**settings.CACHES, "default": django_redis_alias(url, **(options or {}))}


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_a_frozen_server_is_refused_in_time_and_what_it_does_later_is_harmless(
    new_server: Callable[..., RealServer],
    settings: Settings,
    options: dict[str, Any],
    new_manager: Callable[..., BudgetManager],
    driver: Driver,
    warm: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    server = new_server()
    use(settings, server.url, options)
    manager = new_manager()
    driver(manager, "charge", "ann", "1")
    assert manager.flush(5)
    if not warm:
        manager = new_manager()

    server.pause()
    with within(BOUND), pytest.raises(BudgetUnavailableError):
        driver(manager, "reserve", "ann", amount="2")
    with within(BOUND):
        assert driver(manager, "charge", "ann", "0.5", charge_id="while-frozen").counted is False
    server.resume()

    assert manager.flush(10)
    manager.guard.housekeeper.tick()
    assert standing(driver, manager) == (1_500_000_000, 0)
    assert SpendRecord.objects.filter(charge_id="while-frozen").count() == 1


def test_a_black_hole_is_refused_in_time(
    new_server: Callable[..., RealServer],
    new_proxy: Callable[[RealServer], TcpProxy],
    settings: Settings,
    options: dict[str, Any],
    new_manager: Callable[..., BudgetManager],
    driver: Driver,
) -> None:
    proxy = new_proxy(new_server())
    use(settings, proxy.url, options)
    manager = new_manager()
    driver(manager, "check", "ann")
    proxy.black_hole()

    for operation, arguments in {"check": {}, "status": {}, "reserve": {"amount": "2"}}.items():
        with within(BOUND), pytest.raises(BudgetUnavailableError):
            driver(manager, operation, "ann", **arguments)
    with within(BOUND):
        assert driver(manager, "charge", "ann", "0.5").counted is False
    proxy.restore()

    assert driver(manager, "check", "ann") is True
    assert manager.flush(10)
    manager.guard.housekeeper.tick()
    assert standing(driver, manager) == (500_000_000, 0)
    assert booked() == 500_000_000


def test_many_callers_of_a_frozen_server_are_all_refused_in_time(
    new_server: Callable[..., RealServer],
    settings: Settings,
    options: dict[str, Any],
    new_manager: Callable[..., BudgetManager],
    driver: Driver,
) -> None:
    server = new_server()
    use(settings, server.url, options)
    manager = new_manager()
    driver(manager, "check", "ann")
    server.pause()

    with within(BOUND + 0.3):
        answers = driver.together(16, manager, "check", "ann")

    assert [answer for answer in answers if not isinstance(answer, BudgetUnavailableError)] == []


def test_a_name_that_takes_long_to_look_up_is_refused_in_time(
    settings: Settings, new_manager: Callable[..., BudgetManager], driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(settings, "redis://slow-name.invalid:6379/0")
    manager = new_manager()
    answered = threading.Event()

    def slow(*args: object, **kwargs: object) -> None:
        answered.wait(10)
        raise socket.gaierror(-3, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    try:
        with within(BOUND), pytest.raises(BudgetUnavailableError):
            driver(manager, "check", "ann")
        with within(BOUND):
            assert driver(manager, "charge", "ann", "0.5").counted is False
    finally:
        answered.set()
        manager.flush(5)
    assert booked() == 500_000_000


@pytest.mark.parametrize("url", ["redis://no-such-host.invalid:6379/0", None], ids=["no such name", "refused"])
def test_a_server_that_is_not_there_is_refused_at_once_or_allowed_by_a_setting(
    settings: Settings, new_manager: Callable[..., BudgetManager], driver: Driver, url: str | None
) -> None:
    use(settings, url or f"redis://127.0.0.1:{free_port()}/0")

    with within(BOUND), pytest.raises(BudgetUnavailableError):
        driver(new_manager(), "reserve", "ann", amount="2")

    lenient = new_manager(on_unavailable="allow")
    with within(2 * BOUND):
        hold = driver(lenient, "reserve", "ann", amount="2")
        assert driver(hold, "charge", cost="0.5", charge_id="allowed").counted is False
    driver(hold, "release")
    assert lenient.flush(5)
    assert SpendRecord.objects.get().charge_id == "allowed"
    assert TIMEOUT < BOUND
