"""Sentinel and Redis Cluster, with the client that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coreason_budget.exceptions import BudgetExceededError, BudgetUnavailableError
from coreason_budget.money import to_nanos
from coreason_budget.refusals.store import counts, find, newest, unknown_models
from coreason_budget.scopes import GLOBAL, Scope, Subject

from ..waiting import until
from .cluster import new_cluster, url_of
from .conftest import BOUND, booked, standing, within
from .sentinel import SERVICE, SentinelServer, is_in_step

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
    return new_cluster(new_server, request.param)


def test_what_is_noted_of_refused_calls_is_found_on_a_cluster(
    cluster: list[RealServer], new_manager: Callable[..., BudgetManager], driver: Driver
) -> None:
    manager = new_manager(redis_url=url_of(cluster[-1]), daily_user_limit_usd="1", timeout=1)
    with pytest.raises(BudgetExceededError) as refused:
        driver(manager, "reserve", "ann", amount="2")
    manager.guard.refusals.note_model("made-up")

    assert manager.guard.refusals.flush(5)

    note = driver(manager, "drive", find(manager.ledger, refused.value.reference))
    assert (note.user, note.asked) == ("ann", 2_000_000_000)
    assert driver(manager, "drive", newest(manager.ledger, 5)) == [(refused.value.reference, note)]
    assert [model.name for model in driver(manager, "drive", unknown_models(manager.ledger))] == ["made-up"]
    found = driver(manager, "drive", counts(manager.ledger))
    assert found.between(found.since, found.since)[Scope.USER] == 1


def test_the_ledger_works_on_a_cluster_and_rebuilds_from_the_database(
    cluster: list[RealServer], new_manager: Callable[..., BudgetManager], driver: Driver
) -> None:
    manager = new_manager(redis_url=url_of(cluster[-1]), daily_user_limit_usd="1", timeout=1)

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
