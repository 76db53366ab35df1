"""
Puts a fault into a copy of the package and has the suite look for it: the simulation, then tests.

What is run on the copy is the suite as it is; only ``coreason_budget`` is another.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Final

from ..environment import own_environment
from .faults import FIRST, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["CASES", "Catch", "StaleFaultError", "Verdict", "faulty_text", "hunt"]

ROOT: Final = Path(__file__).parents[2]
LEDGER: Final = Path("coreason_budget", "ledger")
#: Any of these may be beside the package where modules are run, so that the copy is what they import.
BESIDE: Final = ("tests", "example_project", "pyproject.toml")
CASES: Final = 400

#: Tests that look where the simulation does not: values that only some databases refuse, and the tasks, loops and
#: transactions of callers.
TESTS: Final = (
    "tests/contract",
    "tests/database/test_transactions.py",
    "tests/faults/test_cancelled.py",
    "tests/faults/test_loops.py",
    "tests/faults/test_lost_replies.py",
)
#: One store tells whether they see a fault, and what a script does is the same for both drivers.
ONCE: Final = "not fake and not redis and not async"
#: Nobody is in a hurry, and what is slow on a busy machine is not caught.
QUIETLY: Final = ("-p", "no:cacheprovider", "-o", "timeout=900")

SEED: Final = re.compile(r"seed (\d+) \((.*?)\): (.*)")
FAILED: Final = re.compile(r"FAILED (\S+)")


class StaleFaultError(Exception):
    """The text that a fault replaces is not there, or not once: the fault has to be written anew."""


class Verdict(Enum):
    """What became of a fault. ``BROKEN`` is a failure of the hunt: the suite did not run as it should."""

    CAUGHT = "caught"
    MISSED = "NOT CAUGHT"
    BROKEN = "NO ANSWER"


@dataclass(frozen=True, slots=True)
class Catch:
    """What became of a fault, and what says so: the promise that was broken, or the test that failed."""

    verdict: Verdict
    by: str
    seconds: float = 0.0


def hunt(fault: Fault | None, cases: int = CASES) -> Catch:
    """Run the suite on a copy of the package with a fault, or with none. Raise StaleFaultError."""
    started = monotonic()
    with copied(fault) as home:
        tests = fault.tests if fault is not None else ()
        catch = _tested(home, tests) if tests else _simulated(home, fault, cases)
        if catch.verdict is Verdict.MISSED and cases == CASES:
            catch = _simulated(home, fault, cases) if tests else _tested(home, TESTS)
    return Catch(catch.verdict, catch.by, monotonic() - started)


@contextmanager
def copied(fault: Fault | None) -> Iterator[Path]:
    """Yield a folder with a copy of the package that has the fault, and the suite beside it."""
    with TemporaryDirectory(prefix="coreason-budget-mutant-") as name:
        home = Path(name)
        shutil.copytree(
            ROOT / "coreason_budget", home / "coreason_budget", ignore=shutil.ignore_patterns("__pycache__")
        )
        for beside in BESIDE:
            (home / beside).symlink_to(ROOT / beside)
        if fault is not None:
            (home / LEDGER / fault.file).write_text(faulty_text(fault), "utf-8")
        yield home


def faulty_text(fault: Fault) -> str:
    """Return the text of the file with the fault in it. Raise StaleFaultError."""
    text = (ROOT / LEDGER / fault.file).read_text("utf-8")
    if text.count(fault.text) != 1:
        raise StaleFaultError(f"{fault.name}: {fault.file} has this {text.count(fault.text)} times: {fault.text!r}")
    return text.replace(fault.text, fault.instead)


def _simulated(home: Path, fault: Fault | None, cases: int) -> Catch:
    first, every = (FIRST, 1) if fault is None else (fault.first, fault.every)
    seeds = ("--first", str(first), "--every", str(every), "--cases", str(cases))
    code, told = _run(home, "tests.simulation", "--jobs", "1", "--stop", *seeds)
    if code == 0:
        return Catch(Verdict.MISSED, "")
    seed = SEED.search(told)
    # Whatever else is raised may be the simulation's own.
    is_promise = (
        seed is not None and seed[3].startswith(("BrokenPromiseError: ", "11. ")) and "Traceback" not in seed[3]
    )
    if seed is None or not is_promise:
        return Catch(Verdict.BROKEN, seed[0] if seed else told[-3000:])
    promise = seed[3].removeprefix("BrokenPromiseError: ").partition(": ")[0]
    return Catch(Verdict.CAUGHT, f"{promise} (seed {seed[1]}, {seed[2]})")


def _tested(home: Path, tests: Sequence[str]) -> Catch:
    code, told = _run(home, "pytest", "-x", "-q", "-n", "0", *QUIETLY, "-k", ONCE, *tests)
    if code == 0:
        return Catch(Verdict.MISSED, "")
    failed = FAILED.search(told)
    if code != 1 or failed is None:
        return Catch(Verdict.BROKEN, told[-3000:])
    return Catch(Verdict.CAUGHT, failed[1])


def _run(home: Path, module: str, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=home,
        env=own_environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.returncode, done.stdout
