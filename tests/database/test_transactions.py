"""Charges in a transaction of the caller: neither rolled back with it nor stalled by it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections, transaction
from django.test import RequestFactory

from coreason_budget.models import SpendRecord

from ..waiting import until
from .conftest import lock_records

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_transaction_that_is_rolled_back_keeps_its_charge(budget):
    with transaction.atomic():
        budget.charge("ann", "0.25")
        transaction.set_rollback(True)
    assert budget.flush(10)
    assert SpendRecord.objects.get().cost_usd == Decimal("0.25")


def test_a_request_transaction_that_is_rolled_back_keeps_its_charge(budget):
    from django.core.handlers.base import BaseHandler

    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:

        def view(request):
            assert connection.in_atomic_block
            budget.charge("ann", "0.25")
            raise ZeroDivisionError

        atomic_view = BaseHandler().make_view_atomic(view)
        with pytest.raises(ZeroDivisionError):
            atomic_view(RequestFactory().get("/"))
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert budget.flush(10)
    assert SpendRecord.objects.count() == 1


def test_a_lock_that_the_caller_holds_does_not_stall_the_charge(budget):
    budget.check("ann")
    with transaction.atomic():
        lock_records()
        budget.charge("ann", "0.25")
        assert not budget.flush(0.05)
        assert budget.ledger.database.waiting == 1
    assert budget.flush(10)
    assert SpendRecord.objects.count() == 1


def test_an_account_can_be_opened_while_the_caller_holds_the_lock(budget):
    with transaction.atomic():
        lock_records()
        budget.check("ann")


def test_a_transaction_that_has_read_can_write_after_a_charge(budget):
    with transaction.atomic():
        assert not User.objects.exists()  # from here on SQLite's transaction stands on what it has read
        budget.charge("ann", "0.25")
        until(lambda: budget.ledger.database.waiting == 0)
        User.objects.create_user("ann")
    assert budget.flush(10)
    assert (User.objects.count(), SpendRecord.objects.count()) == (1, 1)


def test_a_charge_is_written_as_soon_as_its_transaction_is_committed(budget):
    with transaction.atomic():
        budget.charge("ann", "0.25")
        assert connection.vendor != "sqlite" or not SpendRecord.objects.exists()
    until(SpendRecord.objects.exists)


def test_manual_transactions_neither_lose_nor_stall_a_charge(budget):
    connection.set_autocommit(False)
    try:
        lock_records()
        budget.charge("ann", "0.25")
        assert not budget.flush(0.05)
        connection.rollback()
    finally:
        connection.set_autocommit(True)
    assert budget.flush(10)
    assert SpendRecord.objects.count() == 1


def test_a_database_without_autocommit_gets_its_records_all_the_same(budget, monkeypatch):
    monkeypatch.setitem(connections.settings["default"], "AUTOCOMMIT", False)  # noqa: FBT003
    budget.charge("ann", "0.25")
    budget.charge("ann", "0.25")
    assert budget.flush(10)
    assert SpendRecord.objects.count() == 2
    connection.close()  # it may have been opened meanwhile, without autocommit
