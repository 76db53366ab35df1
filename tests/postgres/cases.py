"""What only PostgreSQL can do to the ledger. Run by ``test_suite.py``, on a server that ``plugin.py`` started."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, connections, transaction
from django.db.utils import OperationalError

from coreason_budget import BudgetConfig, BudgetExceededError, BudgetManager, BudgetUnavailableError
from coreason_budget.ledger import isolation
from coreason_budget.models import SpendRecord, UserLimit

from ..faults.conftest import booked, standing
from .plugin import SERVER
from .server import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..conftest import Backend, Driver

pytestmark = pytest.mark.django_db(transaction=True)

LEVELS = ["REPEATABLE READ", "SERIALIZABLE"]


@pytest.fixture
def budget(backend: Backend) -> Iterator[BudgetManager]:
    manager = BudgetManager(BudgetConfig(daily_user_limit_usd="1", timeout=5))
    yield manager
    manager.close_sync()


@pytest.fixture
def other(backend: Backend) -> Iterator[BudgetManager]:
    """The manager of another process, as good as."""
    manager = BudgetManager(BudgetConfig(daily_user_limit_usd="1", timeout=5))
    yield manager
    manager.close_sync()


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def caller(level: str) -> Iterator[None]:
    """Be in a transaction of the test's own that sees what was committed before now, and nothing later."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        assert SpendRecord.objects.count() >= 0  # the first query takes the snapshot
        yield


def forget(backend: Backend) -> None:
    with backend.client() as client:
        client.flushall()


# Callers whose transactions see an old state.


def test_a_rebuild_sees_what_others_spent_after_the_callers_snapshot(
    budget: BudgetManager, other: BudgetManager, driver: Driver, backend: Backend, level: str
) -> None:
    driver(budget, "charge", "ann", "0.2")
    assert budget.flush(5)
    with caller(level):
        driver(other, "charge", "ann", "0.7")
        assert other.flush(5)
        forget(backend)
        assert SpendRecord.objects.count() == 1

        with pytest.raises(BudgetExceededError) as refused:
            driver(budget, "reserve", "ann", amount="0.100000001")
        assert (refused.value.spent * 10, refused.value.held) == (9, 0)
        assert standing(driver, budget) == (900_000_000, 0)


def test_a_limit_that_was_lowered_after_the_callers_snapshot_is_obeyed(
    budget: BudgetManager, driver: Driver, backend: Backend, level: str, django_user_model: Any
) -> None:
    ann = str(django_user_model.objects.create(username="ann").pk)
    with caller(level):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_lower, ann).result(10)
        forget(backend)
        assert not UserLimit.objects.exists()

        with pytest.raises(BudgetExceededError) as refused:
            driver(budget, "reserve", ann, amount="0.6")
        assert refused.value.limit * 2 == 1


def _lower(user_id: str) -> None:
    UserLimit.objects.create(user_id=user_id, amount_usd="0.5")
    connection.close()


def test_a_charge_in_a_transaction_that_is_rolled_back_is_kept(
    budget: BudgetManager, driver: Driver, backend: Backend, level: str
) -> None:
    with caller(level):
        hold = driver(budget, "reserve", "ann", amount="0.5")
        assert driver(hold, "charge", cost="0.3", charge_id="kept", final=True).first is True
        assert budget.flush(5)
        assert not SpendRecord.objects.exists()
        transaction.set_rollback(True)

    assert SpendRecord.objects.get().charge_id == "kept"
    forget(backend)
    assert standing(driver, budget) == (300_000_000, 0)


def test_a_charge_is_written_beside_the_transaction_of_its_caller(
    budget: BudgetManager, driver: Driver, backend: Backend, level: str
) -> None:
    with caller(level):
        driver(budget, "charge", "ann", "0.3", charge_id="at once")
        assert budget.flush(5)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(_seen).result(10) == ["at once"]
        with backend.client() as client:
            assert client.xlen("{coreason-budget}:journal") == 0
        assert not SpendRecord.objects.exists()
    assert _seen() == ["at once"]


def _seen() -> list[str]:
    ids = list(SpendRecord.objects.values_list("charge_id", flat=True))
    connection.close()
    return ids


@pytest.mark.parametrize("is_kept", [True, False], ids=["committed", "rolled back"])
def test_a_drain_in_a_transaction_writes_what_others_left_beside_it_and_once(
    budget: BudgetManager,
    other: BudgetManager,
    driver: Driver,
    backend: Backend,
    level: str,
    is_kept: bool,  # noqa: FBT001  # a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(type(other.ledger.journal), "write_pending", lambda _: 0)
        for cost in ("0.1", "0.2"):
            driver(other, "charge", "ann", cost)
    with caller(level):
        assert driver(budget, "drive", budget.ledger.journal.drain()) == 2
        assert driver(budget, "drive", budget.ledger.journal.drain()) == 0
        assert not SpendRecord.objects.exists()
        forget(backend)
        assert standing(driver, budget) == (300_000_000, 0)  # and a rebuild sees it
        transaction.set_rollback(not is_kept)

    assert booked() == 300_000_000
    other.guard.housekeeper.tick()  # he was not dead after all
    assert (SpendRecord.objects.count(), booked()) == (2, 300_000_000)
    assert standing(driver, budget) == (300_000_000, 0)


def test_a_transaction_that_postgresql_refuses_and_that_is_done_again_charges_once(
    budget: BudgetManager, driver: Driver, level: str, django_user_model: Any
) -> None:
    ann = django_user_model.objects.create(username="ann")

    def work(*, meanwhile: bool) -> None:
        with caller(level):
            driver(budget, "charge", "ann", "0.3", charge_id="order-1")
            if meanwhile:
                with ThreadPoolExecutor(1) as pool:
                    pool.submit(_rename, ann.pk).result(10)
            django_user_model.objects.filter(pk=ann.pk).update(first_name="Ann")

    with pytest.raises(OperationalError, match="could not serialize access"):
        work(meanwhile=True)
    work(meanwhile=False)

    assert budget.flush(5)
    assert standing(driver, budget) == (300_000_000, 0)
    assert booked() == 300_000_000


def _rename(pk: int) -> None:
    from django.contrib.auth import get_user_model

    get_user_model().objects.filter(pk=pk).update(first_name="Anna")
    connection.close()


def test_a_refund_of_a_record_that_the_callers_snapshot_lacks_is_paid_once(
    budget: BudgetManager, other: BudgetManager, driver: Driver, level: str
) -> None:
    with caller(level):
        driver(other, "charge", "ann", "0.7", charge_id="order-1")
        assert other.flush(5)
        assert driver(budget, "refund", "order-1", "0.2").cost * 10 == -2
        assert not SpendRecord.objects.exists()

    assert standing(driver, budget) == (500_000_000, 0)
    assert booked() == 500_000_000


# A project all of whose transactions are stricter: the ledger's own too.


@pytest.fixture
def strict(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    option = f"-c default_transaction_isolation={level.lower()}".replace(" r", r"\ r")
    monkeypatch.setitem(connections.settings["default"]["OPTIONS"], "options", option)
    connection.close()


@pytest.mark.usefixtures("strict")
def test_many_at_once_are_exact_where_all_transactions_are_stricter(
    budget: BudgetManager, other: BudgetManager, driver: Driver, backend: Backend, level: str
) -> None:
    assert default_level() == level.lower()
    with budget.deferred_writes():
        for manager in (budget, other) * 2:
            answers = driver.together(16, manager, "charge", "ann", "0.01")
            assert [answer.first for answer in answers] == [True] * 16
            forget_accounts(backend)
            assert driver.together(4, manager, "check", "ann") == [True] * 4

    assert budget.flush(10)
    assert other.flush(10)
    assert standing(driver, budget) == (640_000_000, 0)
    assert booked() == 640_000_000


def default_level() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        return str(cursor.fetchone()[0])


def forget_accounts(backend: Backend) -> None:
    with backend.client() as client:
        for key in client.scan_iter("*:a:*"):
            client.delete(key)


@pytest.mark.usefixtures("strict")
def test_the_same_records_written_by_two_at_once_are_written_once_where_all_transactions_are_stricter(
    budget: BudgetManager, other: BudgetManager, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(type(budget.ledger.journal), "write_pending", lambda _: 0)
        for _ in range(50):
            driver(budget, "charge", "ann", "0.01")

    with ThreadPoolExecutor(4) as pool:
        drains = [pool.submit(m.ledger.run, m.ledger.journal.drain()) for m in (budget, other) * 2]
        errors = [error for drain in drains if (error := drain.exception(10)) is not None]
    for manager in (budget, other):
        manager.ledger.run(manager.ledger.journal.drain())

    assert [str(error) for error in errors if "could not serialize" not in str(error)] == []
    assert manager.ledger.run(manager.ledger.journal.backlog()) == (0, 0.0)
    assert (SpendRecord.objects.count(), booked()) == (50, 500_000_000)
    assert standing(driver, budget) == (500_000_000, 0)


# The server ends.


@pytest.fixture
def kept_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the ledger keep its connections as in production, where no test runs."""
    monkeypatch.setattr(isolation, "under_test", lambda: False)
    for name, value in {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}.items():
        monkeypatch.setitem(connections.settings["default"], name, value)
    connection.close()


@pytest.mark.usefixtures("kept_connections")
@pytest.mark.parametrize("end", [PostgresServer.kill, PostgresServer.stop], ids=["killed", "stopped"])
def test_a_server_that_ends_and_starts_again_has_every_charge(
    budget: BudgetManager,
    driver: Driver,
    backend: Backend,
    pytestconfig: pytest.Config,
    end: Callable[[PostgresServer], None],
) -> None:
    driver(budget, "charge", "ann", "0.1")
    assert budget.flush(5)
    server = pytestconfig.stash[SERVER]
    end(server)
    try:
        with budget.deferred_writes():
            assert driver(budget, "charge", "ann", "0.2").counted is True
        with pytest.raises(BudgetUnavailableError, match="database cannot be used"):
            driver(budget, "check", "bob")
    finally:
        connections.close_all()
        server.start()

    assert driver(budget, "check", "bob") is True
    assert budget.flush(10)
    forget(backend)
    assert standing(driver, budget) == (300_000_000, 0)
    assert booked() == 300_000_000
    budget.ledger.database.close()
