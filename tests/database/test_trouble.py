"""A database that is full, down, slow or locked: nothing is lost, and nobody waits for long."""

from __future__ import annotations

import threading

import pytest
from django.db import OperationalError

from coreason_budget import BudgetConfig, BudgetManager, BudgetUnavailableError, service
from coreason_budget.ledger import database as module
from coreason_budget.models import SpendRecord

from ..conftest import fake_backend
from ..databases import locked
from .conftest import Gate, database_down

pytestmark = pytest.mark.django_db(transaction=True)


def test_nothing_is_lost_when_the_queue_is_full(budget, production, gate, monkeypatch):
    budget.check("ann")
    database = budget.ledger.database
    assert database.flush(10)
    monkeypatch.setattr(database._writes, "_size", 1)
    database.post(gate)
    assert gate.entered.wait(10)
    with service.deferred_writes():
        for number in range(5):
            budget.charge("ann", "0.25", charge_id=f"charge-{number}")
    assert database.waiting == 2
    gate.opened.set()
    assert budget.flush(10)
    assert SpendRecord.objects.count() == 5


def test_a_drain_writes_what_a_full_queue_left(budget, production, monkeypatch):
    budget.check("ann")
    monkeypatch.setattr(budget.ledger.database._writes, "_size", 0)
    budget.charge("ann", "0.25")
    assert not SpendRecord.objects.exists()
    other = BudgetManager()
    assert other.drive(other.ledger.journal.drain()) == 1
    other.close_sync()
    assert SpendRecord.objects.count() == 1


def test_a_full_queue_of_queries_is_unavailable(budget, monkeypatch):
    monkeypatch.setattr(budget.ledger.database._queries, "_size", 0)
    with pytest.raises(BudgetUnavailableError, match="queries is full"):
        budget.check("ann")


def test_traffic_goes_on_while_the_database_is_down(budget, driver):
    driver(budget, "check", "ann")
    with database_down():
        for _ in range(3):
            driver(budget, "charge", "ann", "0.25")
        driver(budget, "check", "ann", amount="9.25")
        with pytest.raises(BudgetUnavailableError, match="cannot be used"):
            driver(budget, "check", "nobody has asked for this one")
        assert not budget.flush(5)
    assert not SpendRecord.objects.exists()
    driver(budget, "charge", "ann", "0.25")
    assert budget.flush(10)
    assert SpendRecord.objects.total_usd() == 1
    assert driver(budget, "status", "ann")[0].spent == 1


def test_what_could_not_be_written_is_written_later_without_another_charge(budget, monkeypatch):
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    budget.check("ann")
    with database_down() as connect, service.deferred_writes():
        tried = threading.Event()
        connect.side_effect = _refusing(tried)
        budget.charge("ann", "0.25")
        assert tried.wait(10)
    written = threading.Event()
    budget.ledger.database.post(written.set)
    assert written.wait(10)
    assert budget.flush(10)
    assert SpendRecord.objects.count() == 1


def _refusing(tried: threading.Event):
    def connect(*_: object) -> None:
        tried.set()
        raise OperationalError("gone")

    return connect


def test_the_same_trouble_is_logged_once_in_a_while(budget, caplog, monkeypatch):
    budget.check("ann")
    with database_down():
        for _ in range(3):
            budget.charge("ann", "0.25")
    errors = [record for record in caplog.records if "wait in the journal" in record.getMessage()]
    assert len(errors) == 1
    assert budget.flush(10)


def test_a_bug_in_background_work_is_logged(budget, caplog):
    budget.ledger.database.post(lambda: 1 // 0)
    assert budget.flush(10)
    assert "ZeroDivisionError" in caplog.text


def test_a_database_that_hangs_is_unavailable_in_time(gate, driver, settings, production):
    settings.CACHES = {"default": fake_backend().alias}
    budget = BudgetManager(BudgetConfig(database_timeout="1"))
    database = budget.ledger.database
    database._queries.submit(gate)
    with pytest.raises(BudgetUnavailableError, match=r"did not answer within 1 s"):
        driver(budget, "check", "ann")
    gate.opened.set()
    driver(budget, "check", "ann")
    database.post(gate := Gate())
    database.write(lambda: None)  # waits, but not for ever
    gate.opened.set()
    assert database.flush(10)
    budget.close_sync()


def test_a_row_that_somebody_locks_is_waited_for_by_the_ledger_alone(budget, production):
    budget.check("ann")
    with locked(), service.deferred_writes():
        budget.charge("ann", "0.25")
        assert not budget.flush(0.05)
    assert budget.flush(10)
    assert SpendRecord.objects.count() == 1
