"""The throw-away PostgreSQL: what is committed outlives its crash, and it never outlives the run."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..servers import free_port
from .server import PostgresServer

pytestmark = pytest.mark.debian("postgres")

ROOT = Path(__file__).parent.parent.parent
RUN = """
import os, signal
from tests.postgres.server import PostgresServer

server = PostgresServer().start()
print(server.home, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_is_committed_outlives_a_crash() -> None:
    with PostgresServer() as server:
        with server.admin() as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
        server.kill()
        assert not server.is_running
        server.start()
        with server.admin() as connection:
            assert connection.execute("SELECT value FROM kept").fetchall() == [(7,)]
        home = server.home

    assert not home.exists()


def test_it_ends_with_a_run_that_is_killed() -> None:
    run = subprocess.run([sys.executable, "-c", RUN], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    home = Path(run.stdout.strip())
    assert home.is_absolute()

    deadline = time.monotonic() + 20
    while home.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_one_that_cannot_start_says_why() -> None:
    server = PostgresServer(options={"max_connections": "none", "port": str(free_port())})
    with pytest.raises(RuntimeError, match=r"did not start:[\s\S]*max_connections"):
        server.start()
    server.discard()
