"""
Hunts for deliberate faults, all or those named: ``python -m tests.mutants [name ...]``. All must be caught.

It first runs the suite without a fault: what fails then would catch anything. Exit status 1 if a fault is not caught,
2 if the hunt itself has no answer.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from .faults import FAULTS
from .hunt import Verdict, hunt


def main() -> int:
    """Print for each fault whether it was caught, and by what."""
    parser = ArgumentParser("python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="of the faults (default: all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many are hunted at once")
    options = parser.parse_args()
    names = set(options.names) or {fault.name for fault in FAULTS}
    if unknown := names - {fault.name for fault in FAULTS}:
        parser.error(f"there is no such fault: {', '.join(sorted(unknown))}")

    sound = hunt(None)
    if sound.verdict is not Verdict.MISSED:
        say(f"without a fault: {sound.verdict.value} {sound.by}")
        return 2
    say(f"{'(none)':52} {sound.seconds:5.1f} s  the suite passes")

    faults = [fault for fault in FAULTS if fault.name in names]
    verdicts = Counter[Verdict]()
    with ThreadPoolExecutor(options.jobs) as pool:
        for fault, catch in zip(faults, pool.map(hunt, faults), strict=True):
            verdicts[catch.verdict] += 1
            say(f"{fault.name:52} {catch.seconds:5.1f} s  {catch.verdict.value} {catch.by}")
    say(f"{len(faults)} faults: {', '.join(f'{verdicts[verdict]} {verdict.value}' for verdict in Verdict)}")
    if verdicts[Verdict.BROKEN]:
        return 2
    return 1 if verdicts[Verdict.MISSED] else 0


def say(text: str) -> None:
    """Print now, also into a pipe."""
    print(text, flush=True)  # noqa: T201  # it is a program of the command line


if __name__ == "__main__":
    sys.exit(main())
