"""Servers that answer with an error, and connections that end: unavailable or mended, and nothing half done."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ResponseError

from coreason_budget.exceptions import BudgetExceededError, BudgetUnavailableError
from coreason_budget.models import SpendRecord

from ..conftest import django_redis_alias
from ..waiting import until
from .conftest import BOUND, KEYS, account, booked, standing, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_django import Settings

    from coreason_budget.manager import BudgetManager

    from ..conftest import Driver
    from ..servers import RealServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(new_server: Callable[..., RealServer], use_server: Callable[[RealServer], None]) -> RealServer:
    made = new_server()
    use_server(made)
    return made


def spoil_type(client: Any) -> Callable[[], None]:
    client.delete(KEYS.journal)
    client.set(KEYS.journal, "no stream")
    return lambda: client.delete(KEYS.journal)


def make_replica(client: Any) -> Callable[[], None]:
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    return lambda: client.execute_command("REPLICAOF", "NO", "ONE")


def forbid_scripts(client: Any) -> Callable[[], None]:
    client.execute_command("ACL", "SETUSER", "default", "-evalsha", "-eval")
    return lambda: client.execute_command("ACL", "SETUSER", "default", "+@all")


def fail_to_save(client: Any) -> Callable[[], None]:
    in_the_way = Path(client.config_get("dir")["dir"], client.config_get("dbfilename")["dbfilename"])
    in_the_way.mkdir()
    client.config_set("save", "3600 1000000")
    client.bgsave()
    until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")

    def mend() -> None:
        in_the_way.rmdir()
        client.bgsave()
        until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "ok")

    return mend


def fill_memory(client: Any) -> Callable[[], None]:
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", "1mb")
    return lambda: client.config_set("maxmemory", "0")


@pytest.mark.parametrize("spoil", [spoil_type, make_replica, forbid_scripts, fill_memory, fail_to_save])
def test_a_server_that_answers_with_an_error_is_unavailable_and_nothing_is_half_done(
    server: RealServer, new_manager: Callable[..., BudgetManager], driver: Driver, spoil: Callable[[Any], Any]
) -> None:
    manager = new_manager()
    driver(manager, "charge", "ann", "1")
    assert manager.flush(5)
    before = account(server)
    with server.client() as client:
        mend = spoil(client)
        with within(BOUND), pytest.raises(BudgetUnavailableError):
            driver(manager, "reserve", "ann", amount="2")
        assert account(server) == before
        with within(BOUND):
            assert driver(manager, "charge", "ann", "0.5", charge_id="spoiled").counted is False
        assert manager.flush(5)
        assert account(server) == before
        mend()

    manager.guard.housekeeper.tick()
    assert standing(driver, manager) == (1_500_000_000, 0)
    assert booked() == 1_500_000_000


def test_a_command_that_is_forbidden_inside_of_a_script_leaves_the_right_sums(
    server: RealServer, new_manager: Callable[..., BudgetManager], driver: Driver
) -> None:
    manager = new_manager(daily_user_limit_usd="2")
    hold = driver(manager, "reserve", "ann", amount="2")
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-xadd")
        with within(BOUND):
            assert driver(hold, "charge", cost="0.5", charge_id="forbidden").counted is False
        with pytest.raises(BudgetExceededError):  # nobody else can have what is half booked
            driver(manager, "reserve", "ann", amount="0.000000001")
        client.execute_command("ACL", "SETUSER", "default", "+xadd")

    assert manager.flush(5)
    manager.guard.housekeeper.tick()
    assert standing(driver, manager) == (500_000_000, 0)
    assert booked() == 500_000_000


def await_busy(client: Any) -> None:
    with contextlib.suppress(ResponseError):
        while client.ping():
            time.sleep(0.01)


def test_a_script_that_keeps_the_server_busy_is_unavailable(
    server: RealServer, new_manager: Callable[..., BudgetManager], driver: Driver
) -> None:
    manager = new_manager()
    driver(manager, "check", "ann")
    with server.client() as client:
        client.config_set("busy-reply-threshold", "50")

    def loop() -> None:
        with server.client() as client, pytest.raises(Exception, match="killed"):
            client.eval("while true do end", 0)

    thread = threading.Thread(target=loop)
    thread.start()
    with server.client() as client:
        await_busy(client)
    try:
        with within(BOUND), pytest.raises(BudgetUnavailableError):
            driver(manager, "reserve", "ann", amount="2")
        with within(BOUND):
            assert driver(manager, "charge", "ann", "0.5").counted is False
    finally:
        with server.client() as client:
            client.script_kill()
        thread.join()
    assert manager.flush(5)
    manager.guard.housekeeper.tick()
    assert standing(driver, manager) == (500_000_000, 0)
    assert booked() == 500_000_000


def test_a_wrong_password_is_unavailable(
    new_server: Callable[..., RealServer], settings: Settings, new_manager: Callable[..., BudgetManager], driver: Driver
) -> None:
    server = new_server(options={"requirepass": "right"})
    for password in ("wrong", None):
        options = {} if password is None else {"PASSWORD": password}
        settings.CACHES = {**settings.CACHES, "default": django_redis_alias(server.url, **options)}
        manager = new_manager()
        with within(BOUND), pytest.raises(BudgetUnavailableError):
            driver(manager, "reserve", "ann", amount="2")
        with within(BOUND):
            assert driver(manager, "charge", "ann", "0.5").counted is False
        assert manager.flush(5)
    settings.CACHES = {**settings.CACHES, "default": django_redis_alias(server.url, PASSWORD="right")}
    manager = new_manager()
    manager.guard.housekeeper.tick()
    assert standing(driver, manager) == (1_000_000_000, 0)
    assert booked() == 1_000_000_000


def test_ended_connections_and_forgotten_scripts_are_mended_by_the_next_call(
    server: RealServer, new_manager: Callable[..., BudgetManager], driver: Driver
) -> None:
    manager = new_manager()
    driver.together(4, manager, "check", "ann")
    with server.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        with within(BOUND):
            assert driver(manager, "check", "ann") is True
        client.script_flush()
        assert driver(manager, "check", "ann") is True
        assert driver(manager, "charge", "ann", "0.5").first is True
    assert standing(driver, manager) == (500_000_000, 0)


@pytest.mark.parametrize("pool", ["redis.ConnectionPool", "redis.BlockingConnectionPool"])
def test_callers_share_the_few_connections_that_the_alias_allows(
    server: RealServer,
    settings: Settings,
    new_manager: Callable[..., BudgetManager],
    driver: Driver,
    pool: str,
) -> None:
    options = {"CONNECTION_POOL_CLASS": pool, "CONNECTION_POOL_KWARGS": {"max_connections": 1}}
    settings.CACHES = {**settings.CACHES, "default": django_redis_alias(server.url, **options)}
    manager = new_manager(timeout=2)

    assert driver.together(32, manager, "check", "ann") == [True] * 32


def test_200_callers_at_once_are_all_served(
    server: RealServer, new_manager: Callable[..., BudgetManager], driver: Driver
) -> None:
    manager = new_manager(timeout=5)

    assert driver.together(200, manager, "check", "ann") == [True] * 200


@pytest.fixture
def broken_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The database accepts no records until it is mended by ``undo``."""
    from django.db import OperationalError

    from coreason_budget.ledger import records

    def down(*args: object) -> None:
        raise OperationalError("the database is down")

    with monkeypatch.context() as patch:
        patch.setattr(records, "store", down)
        yield patch


def test_charges_wait_in_the_journal_while_the_database_is_down(
    server: RealServer, new_manager: Callable[..., BudgetManager], driver: Driver, broken_database: pytest.MonkeyPatch
) -> None:
    manager = new_manager()

    for _ in range(3):
        assert driver(manager, "charge", "ann", "0.5").counted is True
    manager.flush(5)
    assert SpendRecord.objects.count() == 0
    with server.client() as client:
        assert client.xlen(KEYS.journal) == 3

        broken_database.undo()
        manager.guard.housekeeper.tick()
        assert client.xlen(KEYS.journal) == 0
    assert booked() == 1_500_000_000
    assert standing(driver, manager) == (1_500_000_000, 0)


def test_when_both_are_down_the_log_keeps_the_whole_record_and_the_caller_his_receipt(
    server: RealServer,
    new_manager: Callable[..., BudgetManager],
    driver: Driver,
    broken_database: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    manager = new_manager()
    server.stop()

    with within(BOUND):
        receipt = driver(manager, "charge", "ann", "0.5", model="gpt-4o", charge_id="both-down")
    with within(BOUND), pytest.raises(BudgetUnavailableError):
        driver(manager, "reserve", "ann", amount="2")
    manager.flush(5)

    assert (receipt.charge_id, receipt.counted) == ("both-down", False)
    lines = [record.getMessage() for record in caplog.records if record.levelname == "CRITICAL"]
    assert len(lines) == 1
    for part in ("both-down", "500000000", "'ann'", "gpt-4o"):
        assert part in lines[0]

    broken_database.undo()
    server.start()
    for _ in range(2):
        manager.guard.housekeeper.tick()
    assert SpendRecord.objects.filter(charge_id="both-down").count() == 1
    assert standing(driver, manager) == (500_000_000, 0)
    assert sum(record.levelname == "CRITICAL" for record in caplog.records) == 1


def test_a_charge_while_the_server_is_down_is_told_and_counted_once_it_is_back(
    server: RealServer, new_manager: Callable[..., BudgetManager], driver: Driver
) -> None:
    manager = new_manager()
    driver(manager, "charge", "ann", "1")
    hold = driver(manager, "reserve", "ann", amount="2")
    assert manager.flush(5)
    server.save()
    server.stop()
    assert driver(hold, "charge", cost="0.5").counted is False
    assert manager.flush(5)
    assert SpendRecord.objects.filter(journal_id__isnull=True).count() == 1

    server.start()
    for _ in range(2):
        manager.guard.housekeeper.tick()

    assert SpendRecord.objects.filter(journal_id__isnull=True).count() == 0
    assert standing(driver, manager) == (1_500_000_000, 0)
