"""
The ledger's promises under faults: many simulated cases, each wholly decided by a seed.

They run in processes of their own, without the test runner's database, and on all cores.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from ..environment import own_environment
from .regressions import REGRESSIONS

ROOT: Final = Path(__file__).parents[2]
CASES: Final = 1_000
#: In every other million of seeds holds are topped up, and some take what has room; late ones reset windows too.
FIRST: Final = 101_000_000


def simulate(*arguments: object, **environment: str) -> str:
    """Run ``python -m tests.simulation`` and return what it says. Raise AssertionError if a promise is broken."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", *map(str, arguments)],
        cwd=ROOT,
        env=own_environment(**environment),  # coverage does not understand tasks that share a thread
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:]
    return done.stdout


@pytest.mark.once
@pytest.mark.timeout(300)
def test_every_promise_is_kept_in_a_thousand_cases() -> None:
    told = simulate("--first", FIRST, "--cases", CASES, "--jobs", 2)

    assert told.splitlines()[-1].startswith(f"{CASES} cases in ")
    assert told.splitlines()[-1].endswith("every promise was kept")


def test_cases_that_failed_once_fail_no_more() -> None:
    told = simulate("--regressions")

    assert told.splitlines()[-1].startswith(f"{len(REGRESSIONS)} cases, 0 failed")


def test_a_seed_decides_all_that_happens() -> None:
    shows = [simulate("--seed", 5, 79, PYTHONHASHSEED=seed).splitlines()[:-1] for seed in ("1", "2")]

    assert len(shows[0]) > 100
    assert shows[0] == shows[1]
