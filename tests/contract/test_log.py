"""The log: a good guest that keeps to its own file and to the project's logging."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from loguru import logger as loguru

from coreason_budget import BudgetConfig, BudgetExceededError, log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from coreason_budget import BudgetManager
    from tests.conftest import Driver

    from .tools import Make


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Return a path for the log; what was opened there is closed after the test."""
    file = tmp_path / "logs" / "app.log"
    yield file
    sink = log._sinks.pop(str(file), -1)
    if sink != -1:
        loguru.remove(sink)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line)["record"] for line in path.read_text("utf-8").splitlines()]


@pytest.mark.django_db(transaction=True)
def test_a_refusal_is_one_record_of_json_in_the_file(driver: Driver, make: Make, path: Path) -> None:
    budget = make(daily_user_limit_usd="1", log_path=str(path))
    driver(budget, "check", "ann")
    assert not path.exists()  # it is opened at the first record

    with pytest.raises(BudgetExceededError) as refused:
        driver(budget, "check", "ann", amount=2)

    (record,) = read(path)
    assert (record["level"]["name"], record["message"]) == (
        "INFO",
        f"Refused: {refused.value} Reference: {refused.value.reference}.",
    )


@pytest.mark.django_db(transaction=True)
def test_charges_are_told_to_the_standard_logger_if_it_wants_them(
    driver: Driver, budget: BudgetManager, caplog: pytest.LogCaptureFixture
) -> None:
    driver(budget, "check", "ann")
    driver(budget, "charge", "ann", "0.1", charge_id="c-1")
    assert "c-1" not in caplog.text

    with caplog.at_level(logging.DEBUG, "coreason_budget"):
        driver(budget, "charge", "ann", "0.1", charge_id="c-2")

    found = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    assert found == [("coreason_budget", "DEBUG", "Charged 100000000 nano-USD to ann (c-2)")]


def test_what_the_project_logs_does_not_end_up_in_our_file(path: Path) -> None:
    log.configure(BudgetConfig(log_path=str(path)))

    loguru.info("the project's own")
    log.logger.info("ours")

    assert [record["message"] for record in read(path)] == ["ours"]


def test_a_file_is_added_once_however_many_managers_there_are(path: Path) -> None:
    for _ in range(3):
        log.configure(BudgetConfig(log_path=str(path)))

    log.logger.info("ours")

    assert len(read(path)) == 1


def test_commands_open_no_file(path: Path) -> None:
    log.configure(BudgetConfig(log_path=str(path)), to_file=False)

    log.logger.info("ours")

    assert not path.exists()


def test_a_path_that_cannot_be_written_warns_once(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    config = BudgetConfig(log_path=str(blocked / "app.log"))

    with pytest.warns(RuntimeWarning, match="cannot write its log to .*LOG_PATH"):
        log.configure(config)
    log.configure(config)
    log.logger.info("goes on")

    log._sinks.pop(config.log_path)


def test_a_directory_is_no_log(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match="cannot write its log"):
        log.configure(BudgetConfig(log_path=str(tmp_path)))

    log._sinks.pop(str(tmp_path))


def test_the_projects_own_handlers_are_left_alone() -> None:
    code = """
        import io, logging
        from loguru import logger
        mine = io.StringIO()
        logger.remove()
        logger.add(mine, format="{message}")
        logging.basicConfig(format="%(name)s: %(message)s", level=logging.INFO)
        from django.conf import settings
        settings.configure()
        from coreason_budget import BudgetConfig, log
        log.configure(BudgetConfig(log_path=""))
        logger.info("before")
        log.logger.info("ours {}", 1)
        print(mine.getvalue().split())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "['before', 'ours', '1']"
    assert done.stderr.strip() == "coreason_budget: ours 1"
