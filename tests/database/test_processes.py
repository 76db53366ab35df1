"""Processes that fork, end or are kept from ending."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coreason_budget.models import SpendRecord

from ..databases import login

if TYPE_CHECKING:
    from ..servers import RealServer

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.django_db(transaction=True)


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
