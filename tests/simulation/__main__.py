"""
Runs cases from the command line and tells the seeds of those that fail.

``python -m tests.simulation --cases 100000`` runs many on all cores; ``--seed N`` replays one and prints what happened.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from time import monotonic
from typing import TYPE_CHECKING, Final

import django

if TYPE_CHECKING:
    from collections.abc import Iterable

PROGRESS_SECONDS: Final = 10.0


def main() -> int:
    """Run what the command line asks for. Return 1 if a promise was broken."""
    parser = ArgumentParser("python -m tests.simulation", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000, help="how many seeds to run (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: %(default)s)")
    parser.add_argument("--every", type=int, default=1, help="leave so many between them, less one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="in how many processes")
    parser.add_argument("--seed", type=int, nargs="+", help="run these only, and show what happens in them")
    parser.add_argument("--regressions", action="store_true", help="run the cases that have failed once")
    parser.add_argument("--quietly", action="store_true", help="with --seed: do not show it")
    parser.add_argument("--stop", action="store_true", help="stop at the first failure")
    options = parser.parse_args()
    if options.seed:
        return run(options.seed, is_shown=not options.quietly, stops=options.stop)
    if options.regressions:
        return run(None, is_shown=False, stops=options.stop)
    if options.jobs > 1:
        return share(options)
    seeds = range(options.first, options.first + options.cases * options.every, options.every)
    return run(seeds, is_shown=False, stops=options.stop)


def share(options: Namespace) -> int:
    """Have other processes run every so manieth case each."""
    jobs = min(options.jobs, options.cases)
    shares = [len(range(job, options.cases, jobs)) for job in range(jobs)]
    command = [sys.executable, "-m", "tests.simulation", "--jobs", "1", "--every", str(jobs)]
    command += ["--stop"] if options.stop else []
    processes = [
        subprocess.Popen([*command, "--first", str(options.first + job), "--cases", str(share)])
        for job, share in enumerate(shares)
    ]
    started = monotonic()
    failed = sum(process.wait() != 0 for process in processes)
    verdict = f"{failed} of {jobs} processes saw a promise broken" if failed else "every promise was kept"
    say(f"{options.cases} cases in {monotonic() - started:.0f} s: {verdict}")
    return 1 if failed else 0


def run(seeds: Iterable[int] | None, *, is_shown: bool, stops: bool) -> int:
    """Run the cases of seeds in this process; None for the regressions."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from .cases import Case, Cases
    from .regressions import REGRESSIONS

    asked = map(Case.of, seeds) if seeds is not None else REGRESSIONS
    number, failed = 0, 0
    started = told = monotonic()
    with Cases() as cases:
        gc.freeze()  # what is there stays there; looking through it costs a tenth of the time
        gc.set_threshold(20_000)
        for number, case in enumerate(asked, 1):
            result = cases.run(case)
            if is_shown:
                for instant, who, what in result.trace:
                    say(f"{instant} {who}: {what}")
            if result.failure:
                failed += 1
                say(f"seed {case.seed} ({case.profile.name}): {result.failure}")
                if stops:
                    break
            if monotonic() - told >= PROGRESS_SECONDS:
                told = monotonic()
                pace = number / (told - started)
                say(f"... {number} cases, the last is {case.seed}, {pace:.1f} per s, {failed} failed")
    say(f"{number} cases, {failed} failed, {monotonic() - started:.1f} s")
    return 1 if failed else 0


def say(text: str) -> None:
    """Print now, also into a pipe."""
    print(text, flush=True)  # noqa: T201  # it is a program of the command line


if __name__ == "__main__":
    sys.exit(main())
