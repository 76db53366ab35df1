"""Puts a fault into a copy of the package and has the suite look for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .faults import Fault

__all__ = ["Catch", "StaleFaultError", "faulty_text", "hunt"]

ROOT: Final = Path(__file__).parents[2]
LEDGER: Final = Path("coreason_budget", "ledger")
#: Any of these may be beside the package where modules are run, so that the copy is what they import.
BESIDE: Final = ("tests", "example_project", "pyproject.toml")
CASES: Final = 400


class StaleFaultError(Exception):
    """The text that a fault replaces is not there, or not once: the fault has to be written anew."""


@dataclass(frozen=True, slots=True)
class Catch:
    """What became of a fault: ``by`` says what was broken, empty if nobody noticed."""

    by: str
    seconds: float


def hunt(fault: Fault, cases: int = CASES) -> Catch:
    """Run the simulation on a copy of the package with a fault. Raise StaleFaultError."""
    started = monotonic()
    with TemporaryDirectory(prefix="coreason-budget-mutant-") as name:
        home = Path(name)
        shutil.copytree(
            ROOT / "coreason_budget", home / "coreason_budget", ignore=shutil.ignore_patterns("__pycache__")
        )
        for beside in BESIDE:
            (home / beside).symlink_to(ROOT / beside)
        (home / LEDGER / fault.file).write_text(faulty_text(fault), "utf-8")
        return Catch(_simulate(home, fault, cases), monotonic() - started)


def faulty_text(fault: Fault) -> str:
    """Return the text of the file with the fault in it. Raise StaleFaultError."""
    text = (ROOT / LEDGER / fault.file).read_text("utf-8")
    if text.count(fault.text) != 1:
        raise StaleFaultError(f"{fault.name}: {fault.file} has this {text.count(fault.text)} times: {fault.text!r}")
    return text.replace(fault.text, fault.instead)


def _simulate(home: Path, fault: Fault, cases: int) -> str:
    arguments = [
        "--jobs",
        "1",
        "--first",
        str(fault.first),
        "--every",
        str(fault.every),
        "--cases",
        str(cases),
        "--stop",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=home,
        env={key: value for key, value in os.environ.items() if not key.startswith(("COVERAGE_", "COV_"))},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode == 0:
        return ""
    broken = [line for line in done.stdout.splitlines() if line.startswith("seed ")]
    if not broken:
        raise RuntimeError(f"The simulation could not run:\n{done.stdout[-5000:]}")
    return broken[0]
