"""The database side of the app on PostgreSQL: the tests that prove it on SQLite, and those of PostgreSQL's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from ..environment import own_environment

ROOT: Final = Path(__file__).parent.parent.parent
CONTRACT: Final = ("journal", "late", "limits", "outages", "rebuild", "refund")
FAULTS: Final = ("databases", "housekeeping", "lost_data", "processes")
OF_SQLITE: Final = "other databases have"  # as the tests say that are skipped because SQLite alone is so
PARTS: Final = {
    # Refunds go to the database by the steps of the others: one driver tells whether PostgreSQL takes them.
    "contract": [*(f"tests/contract/test_{name}.py" for name in CONTRACT), "-k", "not (refund and async)"],
    "database": ["tests/database", "tests/postgres/cases.py"],
    "faults": [*(f"tests/faults/test_{name}.py" for name in FAULTS), "-k", "not 32"],
    "commands": [*(f"tests/commands/test_{name}.py" for name in ("drain", "prune", "reconcile"))],
}


@pytest.mark.debian("postgres")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "part", [pytest.param(part, marks=[] if part == "database" else [pytest.mark.once]) for part in PARTS]
)
def test_the_database_side_passes_on_postgresql(part: str) -> None:
    plugin = ["-p", "tests.postgres.plugin", "--ds=tests.postgres.settings", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugin, *PARTS[part]],
        cwd=ROOT,
        env=own_environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    assert " passed" in done.stdout
    skipped = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert [line for line in skipped if OF_SQLITE not in line] == []
