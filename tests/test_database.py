from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import weakref
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import OperationalError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import RequestFactory

from coreason_budget import BudgetConfig, BudgetManager, BudgetUnavailableError, service
from coreason_budget.ledger import database as module
from coreason_budget.ledger import isolation
from coreason_budget.ledger.database import Database, flush_all, in_request
from coreason_budget.models import SpendRecord

from .conftest import fake_backend
from .databases import locked, login

if TYPE_CHECKING:
    from .servers import RealServer

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def budget(settings):
    settings.CACHES = {"default": fake_backend().alias}
    return service.manager()


@pytest.fixture
def production(monkeypatch):
    """Have the app believe that no test runs."""
    monkeypatch.setattr(isolation, "under_test", lambda: False)


class Gate:
    """Work that waits until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self) -> None:
        self.entered.set()
        assert self.opened.wait(10)


@pytest.fixture
def gate():
    made = Gate()
    yield made
    made.opened.set()


def wait_until(condition) -> bool:
    """Look until something is so, for ten seconds at most, and return whether it is."""
    deadline, pause = monotonic() + 10, threading.Event()
    while not condition() and monotonic() < deadline:
        pause.wait(0.01)
    return bool(condition())


@contextmanager
def database_down():
    """Refuse every new connection, as a server that is gone does."""
    connections.close_all()
    with mock.patch.object(BaseDatabaseWrapper, "connect", side_effect=OperationalError("gone")) as connect:
        yield connect


def lock_records() -> None:
    """Keep all others from writing records until the caller's transaction ends."""
    if connection.vendor == "sqlite":
        SpendRecord.objects.all().delete()  # any write takes the lock of the whole database
        return
    with connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {SpendRecord._meta.db_table} IN EXCLUSIVE MODE")


# Transactions of the caller.


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
        written = wait_until(lambda: budget.ledger.database.waiting == 0)
        User.objects.create_user("ann")
    assert written
    assert budget.flush(10)
    assert (User.objects.count(), SpendRecord.objects.count()) == (1, 1)


def test_a_charge_is_written_as_soon_as_its_transaction_is_committed(budget):
    with transaction.atomic():
        budget.charge("ann", "0.25")
        assert connection.vendor != "sqlite" or not SpendRecord.objects.exists()
    assert wait_until(SpendRecord.objects.exists)


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


# Who waits for the write.


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


# What goes wrong.


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
    budget = BudgetManager(BudgetConfig(database_timeout="0.1"))
    database = budget.ledger.database
    database._queries.submit(gate)
    with pytest.raises(BudgetUnavailableError, match=r"did not answer within 0\.1 s"):
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


# Event loops and threads.


def test_a_sync_call_on_a_running_loop_never_touches_the_orm_there(budget, production, monkeypatch):
    monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE", raising=False)

    async def main():
        budget.charge("ann", "0.25")
        with budget.reservation("ann", "apollo", "1") as hold:
            hold.charge(cost="0.50")
        return budget.status("ann")[0].spent

    assert asyncio.run(main()) == Decimal("0.75")
    assert budget.flush(10)
    assert SpendRecord.objects.count() == 2


def test_one_manager_serves_many_loops(budget):
    async def main() -> None:
        await asyncio.gather(*(budget.acharge("ann", "0.01") for _ in range(5)))

    asyncio.run(main())
    asyncio.run(main())
    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget.flush(10)
    assert SpendRecord.objects.count() == 30
    assert budget.status("ann")[0].spent == Decimal("0.30")


def test_short_loops_leave_no_connections(real_server, settings):
    settings.COREASON_BUDGET = {"LOG_PATH": "", "REDIS_URL": real_server.url, "KEY_PREFIX": "short-loops"}

    async def charge() -> None:
        await service.acharge("ann", "0.01")

    with real_server.client() as client:
        before = {item["id"] for item in client.client_list()}
        for _ in range(100):
            async_to_sync(charge)()
        left = {item["id"] for item in client.client_list()} - before
    assert len(left) <= 2
    assert service.flush(10)
    assert SpendRecord.objects.count() == 100


def test_threads_share_a_manager(budget):
    threads = [threading.Thread(target=budget.charge, args=("ann", "0.01")) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget.flush(10)
    assert SpendRecord.objects.count() == 16


def test_a_caller_who_gives_up_cancels_only_his_own_query(budget, gate):
    database = budget.ledger.database

    async def main() -> None:
        database._queries.submit(gate)
        waiting = asyncio.create_task(database._await(database._submit(lambda: 1)))
        other = database._submit(lambda: 2)
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.opened.set()
        assert other.result(10) == 2

    asyncio.run(main())


# Connections, and the end.


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


# Whole processes.


def run_script(server: RealServer, script: str) -> str:
    """Run a script in a process of its own, on an empty server and this test's database; return what it printed."""
    begin = """
        import asyncio, os, sys, threading, time
        import django
        django.setup()
        from coreason_budget import service
        from coreason_budget.models import SpendRecord
    """
    with server.client() as client:
        client.flushall()
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-W",
            "ignore:.*fork:DeprecationWarning",
            "-W",
            "ignore::ResourceWarning",  # psycopg's, of connections that end with the process
            "-c",
            textwrap.dedent(begin) + script,
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.user_project_tests.settings",
            "USER_PROJECT_DATABASE": login(),
            "USER_PROJECT_REDIS": server.url,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_a_forked_child_charges_too(real_server):
    script = textwrap.dedent("""
        service.charge("forks", "0.25")
        with service.deferred_writes():
            service.charge("forks", "0.25")
        child = os.fork()
        service.charge("forks", "0.25")
        asyncio.run(service.acharge("forks", "0.25"))
        assert service.flush(10)
        if child:
            assert os.waitpid(child, 0)[1] == 0
            print(service.status("forks")[0].spent, SpendRecord.objects.count())
    """)
    assert run_script(real_server, script) == "1.5 6"


@pytest.mark.slow
def test_the_end_of_the_interpreter_waits_for_the_records(real_server):
    script = textwrap.dedent("""
        with service.deferred_writes():
            for _ in range(50):
                service.charge("ends", "0.01")
        asyncio.run(service.acharge("ends", "0.01"))
    """)
    run_script(real_server, script)
    assert SpendRecord.objects.count() == 51


@pytest.mark.slow
def test_a_database_that_hangs_does_not_hang_the_end(real_server):
    script = textwrap.dedent("""
        from coreason_budget.ledger import database
        database.FLUSH_AT_EXIT_SECONDS = 0.2
        service.charge("hangs", "0.01")
        service.manager().ledger.database.post(threading.Event().wait)
        with service.deferred_writes():
            service.charge("hangs", "0.01")
    """)
    run_script(real_server, script)
    assert SpendRecord.objects.count() == 1


@pytest.mark.slow
def test_a_charge_in_an_exit_handler_is_not_lost(real_server):
    script = textwrap.dedent("""
        import atexit
        service.check("exits")
        atexit.register(lambda: service.charge("exits", "0.01", charge_id="last words"))
    """)
    run_script(real_server, script)
    with real_server.client() as client:
        waiting = client.xrange("{coreason-budget}:journal")
    assert SpendRecord.objects.count() + sum(fields.get("c") == "last words" for _, fields in waiting) == 1
