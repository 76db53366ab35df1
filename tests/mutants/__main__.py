"""Hunts for deliberate faults, all or those named: ``python -m tests.mutants [name ...]``. All must be caught."""

from __future__ import annotations

import sys

from .faults import FAULTS
from .hunt import hunt


def main(names: list[str]) -> int:
    """Print for each fault whether it was caught, and by what."""
    missed = 0
    faults = [fault for fault in FAULTS if not names or fault.name in names]
    for fault in faults:
        catch = hunt(fault)
        missed += not catch.by
        verdict = f"caught      {catch.by[:110]}" if catch.by else "NOT CAUGHT"
        print(f"{fault.name:48} {catch.seconds:5.1f} s  {verdict}", flush=True)  # noqa: T201
    print(f"{len(faults)} faults, {missed} not caught")  # noqa: T201
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
