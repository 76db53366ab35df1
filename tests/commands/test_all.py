"""What all commands share: their help, exit codes, and that they leave the workers' log file alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import load_command_class
from django.core.management.base import CommandError

from .terminal import run

pytestmark = pytest.mark.django_db(transaction=True)


COMMANDS = [
    "budget_status",
    "budget_drain",
    "budget_reconcile",
    "budget_doctor",
    "budget_report",
    "budget_prune",
    "budget_alert_preview",
]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_an_example(name: str) -> None:
    parser = load_command_class("coreason_budget", name).create_parser("manage.py", name)

    lines = parser.format_help().splitlines()

    assert lines[-1].startswith(f"  manage.py {name}")
    assert lines[-2].startswith("Example")
    assert max(len(line) for line in lines) <= 80


@pytest.mark.parametrize("name", ["budget_status", "budget_drain", "budget_reconcile"])
@pytest.mark.usefixtures("unreachable")
def test_a_command_that_cannot_ask_redis_says_so_with_an_exit_code_of_its_own(name: str) -> None:
    with pytest.raises(CommandError, match="Redis cannot be used") as raised:
        run(name)

    assert raised.value.returncode == 2


def test_a_command_does_not_open_the_log_file_of_the_workers(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    (tmp_path / "settings_of_commands.py").write_text(
        "from tests.settings import *\n"
        f"COREASON_BUDGET = {{'LOG_PATH': {str(log)!r}, 'REDIS_URL': 'redis://127.0.0.1:1/0'}}\n"
    )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "settings_of_commands",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path.cwd())]),
    }

    ended = subprocess.run(
        [sys.executable, "-m", "django", "budget_status"], env=environment, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 2, ended.stderr
    assert "The budget is unavailable (status)" in ended.stderr
    assert not log.exists()
