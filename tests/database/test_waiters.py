"""Who waits until a record is written, and who does not."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from django.db import transaction

from coreason_budget import BudgetManager, service
from coreason_budget.ledger.database import flush_all, in_request
from coreason_budget.models import SpendRecord

if TYPE_CHECKING:
    from .conftest import Gate

pytestmark = pytest.mark.django_db(transaction=True)


def written_at_once(budget: BudgetManager, gate: Gate) -> bool:
    """Tell whether a charge waits for its write, which another write is in the way of."""
    budget.check("ann")
    budget.ledger.database.post(gate)
    assert gate.entered.wait(10)
    opener = threading.Timer(0.1, gate.opened.set)
    opener.start()
    budget.charge("ann", "0.25")
    written = gate.opened.is_set()
    opener.join()
    return written


def test_a_shell_waits_for_its_record(budget, production, gate):
    assert written_at_once(budget, gate)
    assert SpendRecord.objects.count() == 1


def test_a_request_does_not_wait(budget, production, gate):
    token = in_request.set(True)
    try:
        assert not written_at_once(budget, gate)
    finally:
        in_request.reset(token)
    assert budget.flush(10)


def test_djangos_signals_tell_what_is_a_request(budget):
    from django.core.signals import request_finished, request_started

    with mock.patch("django.db.close_old_connections"):
        assert not in_request.get()
        request_started.send(None, environ={})
        assert in_request.get()
        request_finished.send(None)
        assert not in_request.get()


def test_an_open_transaction_does_not_wait(budget, production, gate):
    with transaction.atomic():
        assert not written_at_once(budget, gate)
    assert budget.flush(10)


def test_a_sync_charge_on_an_event_loop_does_not_wait(budget, production, gate):
    async def main() -> bool:
        return written_at_once(budget, gate)

    assert not asyncio.run(main())
    assert budget.flush(10)


def test_an_async_charge_does_not_wait(budget, production, gate):
    async def main() -> None:
        await budget.acheck("ann")
        budget.ledger.database.post(gate)
        await budget.acharge("ann", "0.25")
        assert not gate.opened.is_set()

    asyncio.run(main())
    assert not SpendRecord.objects.exists()
    gate.opened.set()
    assert budget.flush(10)
    assert SpendRecord.objects.count() == 1


def test_a_batch_job_need_not_wait(budget, production, gate):
    with service.deferred_writes():
        assert not written_at_once(budget, gate)
    assert budget.flush(10)
    assert SpendRecord.objects.count() == 1


def test_flush_tells_whether_all_is_written(budget, gate):
    assert budget.flush(0)
    budget.ledger.database.post(gate)
    with service.deferred_writes():
        budget.charge("ann", "0.25")
    assert not service.flush(0.01)
    assert not flush_all(0.01)
    gate.opened.set()
    assert service.flush(10)
    assert flush_all(10)


def test_work_of_the_ledgers_own_threads_does_not_wait_for_itself(budget):
    done: list[object] = []
    database = budget.ledger.database

    def work():
        database.write(partial(done.append, "written"))
        done.append(database.call(lambda: "called"))
        done.append(database.flush(10))
        done.append(database.is_inline())

    database.post(work)
    assert database.flush(5)
    assert done == ["written", "called", False, False]
