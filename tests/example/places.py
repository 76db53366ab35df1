"""Where the example is, its processes, and the records that they leave behind."""

from __future__ import annotations

import fcntl
import sqlite3
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple

from example_project.chat_site import embedded

from ..serving import environment as clean_environment

EXAMPLE: Final = Path(__file__).resolve().parent.parent.parent / "example_project"
NO_KEYS: Final = {"OPENAI_API_KEY": "", "ANTHROPIC_API_KEY": "", "GEMINI_API_KEY": ""}


def environment(**changes: str) -> dict[str, str]:
    """Return a clean environment, without any provider's key and with every way to the network a dead end."""
    return clean_environment(**{**NO_KEYS, **changes})


def wait_for_the_end_of_the_keeper(folder: Path) -> None:
    """Return when the server of this data has stopped."""
    with (folder / embedded.KEEPER_LOCK).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)


def manage(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a management command of the example to its end."""
    return subprocess.run(
        [sys.executable, str(EXAMPLE / "manage.py"), *arguments],
        cwd=cwd,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


class Record(NamedTuple):
    """A spend record: the model and the cost in USD."""

    model: str
    cost: Decimal


def records_in(data: Path) -> list[Record]:
    """Return the spend records in the database of a data folder, in the order in which they were booked."""
    with closing(sqlite3.connect(data / "db.sqlite3")) as database:
        rows = database.execute("SELECT model, cost_nanos FROM coreason_budget_spendrecord ORDER BY journal_id")
        return [Record(model, Decimal(nanos).scaleb(-9)) for model, nanos in rows]
