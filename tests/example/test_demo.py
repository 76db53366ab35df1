from __future__ import annotations

import fcntl
import re
from decimal import Decimal
from typing import TYPE_CHECKING

from .places import EXAMPLE, manage, records_in, wait_for_the_end_of_the_keeper

if TYPE_CHECKING:
    from pathlib import Path


def recorded(data: Path) -> tuple[int, Decimal]:
    costs = [record.cost for record in records_in(data)]
    return len(costs), sum(costs, Decimal(0))


def numbers(pattern: str, text: str) -> list[str]:
    found = re.search(pattern, text, re.MULTILINE)
    assert found, text
    return list(found.groups())


def test_the_demo_accounts_for_every_nano_dollar_and_can_go_on(tmp_path):
    data = tmp_path / "data of the demo"
    run = manage("demo", "--no-serve", "--calls", "60", cwd=tmp_path, EXAMPLE_DATA_DIR=str(data))
    assert run.returncode == 0, run.stderr
    assert "equal to the nano-dollar: yes (9 accounts compared)" in run.stdout
    calls, passed, refused = map(int, numbers(r"^together +(\d+) +(\d+) +(\d+)", run.stdout))
    assert calls == 60 == passed + refused
    assert passed
    assert refused
    (in_redis,) = numbers(r"^spent today in Redis +\$([\d.]+)$", run.stdout)
    assert recorded(data) == (passed, Decimal(in_redis))
    assert "60/60" in run.stderr
    assert all(line.startswith("calls:") for line in run.stderr.splitlines() if line), run.stderr

    wait_for_the_end_of_the_keeper(data / "valkey")
    again = manage("demo", "--no-serve", "--calls", "20", "--keep", cwd=EXAMPLE, EXAMPLE_DATA_DIR=str(data))
    assert again.returncode == 0, again.stderr
    (in_redis_now,) = numbers(r"^spent today in Redis +\$([\d.]+)$", again.stdout)
    (more,) = map(int, numbers(r"^together +\d+ +(\d+)", again.stdout))
    assert recorded(data) == (passed + more, Decimal(in_redis_now))
    assert Decimal(in_redis_now) >= Decimal(in_redis)


def test_the_demo_refuses_a_trace_that_is_none(tmp_path):
    run = manage("demo", "--trace", "nowhere.csv", cwd=tmp_path, EXAMPLE_DATA_DIR=str(tmp_path / "data"))
    assert run.returncode == 1
    assert "CommandError: nowhere.csv cannot be read" in run.stderr


def test_a_second_demo_on_the_same_data_is_refused(tmp_path):
    with (tmp_path / "demo.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        run = manage("demo", cwd=tmp_path, EXAMPLE_DATA_DIR=str(tmp_path))
    assert run.returncode == 1
    assert "CommandError: Another demo is running" in run.stderr


def test_a_redis_that_cannot_be_reached_is_a_clear_error(tmp_path):
    data = tmp_path / "data"
    run = manage("demo", cwd=tmp_path, EXAMPLE_DATA_DIR=str(data), REDIS_URL="redis://127.0.0.1:1/0")
    assert run.returncode == 1
    assert "CommandError: The budgets cannot be checked" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (data / "valkey").exists()


def test_commands_that_do_no_work_start_no_server(tmp_path):
    data = tmp_path / "data"
    assert manage("check", cwd=tmp_path, EXAMPLE_DATA_DIR=str(data)).returncode == 0
    assert not (data / "valkey").exists()
