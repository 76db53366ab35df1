"""Sentinel and Redis Cluster, with the client that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coreason_budget.exceptions import BudgetExceededError, BudgetUnavailableError
from coreason_budget.money import to_nanos
from coreason_budget.scopes import GLOBAL, Scope, Subject

from ..servers import free_port
from .conftest import BOUND, booked, standing, within
from .sentinel import SERVICE, SentinelServer, is_in_step, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_django import Settings

    from coreason_budget.manager import BudgetManager

    from ..conftest import Driver
    from ..servers import RealServer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:This test run spends"),  # the servers are the test's own
]


@pytest.fixture
def pair(new_server: Callable[..., RealServer]) -> tuple[RealServer, RealServer]:
    """A primary and its replica."""
    primary = new_server(options={"repl-diskless-sync-delay": "0"})
    replica = new_server(options={"replicaof": f"127.0.0.1 {primary.port}", "repl-diskless-sync-delay": "0"})
    until(lambda: is_in_step(replica))
    return primary, replica


@pytest.fixture
def sentinel(pair: tuple[RealServer, RealServer], settings: Settings) -> Iterator[SentinelServer]:
    with SentinelServer(pair[0]) as made:
        alias = {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": f"redis://{SERVICE}/0",
            "OPTIONS": {
                "CLIENT_CLASS": "django_redis.client.SentinelClient",
                "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
                "SENTINELS": [("127.0.0.1", made.port)],
                "SENTINEL_KWARGS": {"socket_timeout": 60},
                "SOCKET_TIMEOUT": 60,
            },
        }
        settings.CACHES = {**settings.CACHES, "default": alias}
        yield made


def test_the_ledger_follows_its_primary_through_a_failover(
    pair: tuple[RealServer, RealServer],
    sentinel: SentinelServer,
    new_manager: Callable[..., BudgetManager],
    driver: Driver,
) -> None:
    manager = new_manager(timeout=1)
    driver.together(8, manager, "charge", "ann", "0.1")
    hold = driver(manager, "reserve", "ann", amount="1")
    assert manager.flush(5)

    sentinel.fail_over(*pair)

    assert driver(manager, "check", "ann") is True
    assert standing(driver, manager) == (800_000_000, 0)  # the hold is lost with the server that kept it
    assert driver(hold, "charge", cost="0.2").counted is True
    assert manager.flush(5)
    assert standing(driver, manager) == (1_000_000_000, 0)
    assert booked() == 1_000_000_000


def test_sentinels_that_do_not_answer_are_refused_in_time(
    sentinel: SentinelServer, new_manager: Callable[..., BudgetManager], driver: Driver
) -> None:
    manager = new_manager()
    sentinel.pause()

    with within(BOUND), pytest.raises(BudgetUnavailableError):
        driver(manager, "check", "ann")
    sentinel.resume()
    with sentinel.client() as client:  # it slept too long to trust the server at once
        until(lambda: not client.sentinel_master(SERVICE)["is_sdown"])

    assert driver(manager, "check", "ann") is True


@pytest.fixture(params=[1, 3], ids=["1 node", "3 nodes"])
def cluster(request: pytest.FixtureRequest, new_server: Callable[..., RealServer]) -> list[RealServer]:
    """A cluster of primaries that share the slots."""
    options = {"cluster-enabled": "yes", "cluster-node-timeout": "2000"}
    buses = [free_port() for _ in range(request.param)]
    nodes: list[RealServer] = [new_server(options={**options, "cluster-port": str(bus)}) for bus in buses]
    step = 16384 // len(nodes)
    for number, node in enumerate(nodes):
        last = 16383 if node is nodes[-1] else (number + 1) * step - 1
        with node.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * step, last)
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number:
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, buses[0])
    until(lambda: all(is_whole(node, len(nodes)) for node in nodes))
    return nodes


def is_whole(node: RealServer, nodes: int) -> bool:
    with node.client() as client:
        info = str(client.execute_command("CLUSTER", "INFO"))
        return "cluster_state:ok" in info and len(client.execute_command("CLUSTER", "SLOTS")) == nodes


def test_the_ledger_works_on_a_cluster_and_rebuilds_from_the_database(
    cluster: list[RealServer], new_manager: Callable[..., BudgetManager], driver: Driver
) -> None:
    url = cluster[-1].url.replace("redis://", "redis+cluster://").removesuffix("/0")
    manager = new_manager(redis_url=url, daily_user_limit_usd="1", timeout=1)

    hold = driver(manager, "reserve", "ann", amount="0.6")
    with pytest.raises(BudgetExceededError):
        driver(manager, "reserve", "ann", amount="0.5")
    driver(hold, "charge", cost="0.5", charge_id="c-1")
    assert standing(driver, manager) == (500_000_000, 100_000_000)
    driver(hold, "release")
    assert manager.flush(5)
    driver(manager, "refund", "c-1", "0.1")
    for node in cluster:
        with node.client() as client:
            client.flushall()
    manager.guard.housekeeper.tick()

    seen = driver(manager, "drive", manager.guard.peek([Subject(Scope.USER, "ann"), GLOBAL]))
    assert [to_nanos(items[0].spent) for items in seen.values()] == [400_000_000, 400_000_000]
    assert standing(driver, manager) == (400_000_000, 0)
    assert booked() == 400_000_000
    for node in cluster:
        node.pause()
    with within(2 * 1 + 0.25), pytest.raises(BudgetUnavailableError):
        driver(manager, "check", "ann")
    for node in cluster:
        node.resume()
    manager.flush(10)
    assert driver(manager, "check", "ann") is True
