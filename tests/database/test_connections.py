"""The connections of the ledger's own threads, and how they end."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from django.db import connection, connections

from coreason_budget import BudgetConfig, BudgetManager, BudgetUnavailableError
from coreason_budget.ledger.database import Database
from coreason_budget.models import SpendRecord

from ..conftest import fake_backend

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_ledgers_connections_are_closed_after_each_job_under_test(budget):
    seen: list[BaseDatabaseWrapper] = []

    def work() -> None:
        SpendRecord.objects.count()
        seen.append(connections["default"])

    budget.ledger.database.call(work)
    assert seen[0].connection is None
    assert seen[0] is not connections["default"]


def test_the_ledgers_connections_are_kept_and_closed_with_it(budget, production):
    seen: list[BaseDatabaseWrapper] = []

    def work() -> None:
        SpendRecord.objects.count()
        seen.append(connections["default"])

    budget.ledger.database.call(work)
    assert seen[0].connection is not None
    assert budget.ledger.database.close()
    assert seen[0].connection is None
    budget.ledger.database.call(work)  # it opens a new one
    assert seen[1] is not seen[0]


@pytest.mark.parametrize(("age", "is_kept"), [(0, True), (None, True), (1e-9, False)])
def test_a_connection_is_kept_for_the_next_job_unless_its_age_is_limited(budget, production, monkeypatch, age, is_kept):
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", age)
    seen: list[object] = []

    def work() -> None:
        SpendRecord.objects.count()
        seen.append(connection.connection)

    budget.ledger.database.call(work)
    budget.ledger.database.call(work)
    assert (seen[0] is seen[1]) == is_kept


def test_a_kept_connection_that_broke_meanwhile_is_replaced_before_it_is_used(budget, production, monkeypatch):
    monkeypatch.setattr(type(connections["default"]), "is_usable", lambda self: self.connection not in broken)
    broken: list[object] = []

    def close_behind_djangos_back() -> None:
        SpendRecord.objects.count()
        broken.append(connection.connection)
        connection.connection.close()

    budget.ledger.database.call(close_behind_djangos_back)
    assert budget.ledger.database.call(SpendRecord.objects.count) == 0
    assert len(broken) == 1


def test_a_connection_that_broke_is_replaced(budget, production, monkeypatch):
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", None)
    monkeypatch.setattr(type(connections["default"]), "is_usable", lambda _: False)  # SQLite's are always

    def close_behind_djangos_back() -> None:
        SpendRecord.objects.count()
        assert connection.connection is not None
        connection.connection.close()

    database = budget.ledger.database
    database.call(close_behind_djangos_back)
    with pytest.raises(BudgetUnavailableError):
        database.call(SpendRecord.objects.count)
    assert database.call(SpendRecord.objects.count) == 0


def test_a_database_that_nobody_uses_can_be_collected():
    database = Database(BudgetConfig())
    database.call(lambda: None)
    assert database.close()
    reference = weakref.ref(database)
    del database
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("work", ["thread", "inline"])
def test_the_setting_decides_where_the_work_is_done(work, driver, settings):
    settings.CACHES = {"default": fake_backend().alias}
    budget = BudgetManager(BudgetConfig(database_work=work))
    with mock.patch.object(budget.ledger.database, "_submit", wraps=budget.ledger.database._submit) as submit:
        driver(budget, "charge", "ann", "0.25")
        driver(budget, "check", "ann")
        assert budget.flush(10)
        assert submit.called == (work == "thread")
    assert SpendRecord.objects.count() == 1
    budget.close_sync()


def test_lending_gives_the_connection_back(db, budget):
    async def main() -> None:
        budget.charge("ann", "0.25")

    assert not connection.allow_thread_sharing
    with mock.patch.object(budget.ledger.database, "_inline_connection", return_value=connections["default"]):
        asyncio.run(main())
    assert not connection.allow_thread_sharing
    assert SpendRecord.objects.count() == 1
