"""``python -m benchmarks``: what the budget costs, in one table and one plot."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .plots import plot
from .stage import PARTS, Options, perform
from .tables import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .tables import Row


#: Real traffic; not part of this repository.
TRACE: Final = Path(__file__).parents[2] / "shared" / "traces" / "AzureLLMInferenceTrace_conv.csv"
DEFAULTS: Final = {"full": (15, 100), "quick": (5, 40)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts that are wanted, print their table and write it and the plot."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="the parts to run (default: all)")
    parser.add_argument("--quick", action="store_const", const="quick", default="full", help="small sizes, few rounds")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (default 15, quick 5)")
    parser.add_argument("--calls", type=int, help="calls of each contestant in a round (default 100, quick 40)")
    parser.add_argument("--trace", type=Path, default=TRACE, help="what is replayed (default: Azure's, if there)")
    parser.add_argument("--output", default="", help="folder for results.md and performance.svg (default: none)")
    given = parser.parse_args(arguments)
    rounds, calls = DEFAULTS[given.quick]
    options = Options(given.rounds or rounds, given.calls or calls, given.quick, str(given.trace.resolve()))
    rows: list[Row] = []
    print(f"Python {platform.python_version()}, {os.cpu_count()} CPUs", file=sys.stderr)
    for part in given.only:
        rows += _rows(part, options)
    text = table(rows)
    print(text)
    if given.output:
        folder = Path(given.output)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.md").write_text(text + "\n", "utf-8")
        (folder / "performance.svg").write_text(plot(rows), "utf-8")


def _rows(part: str, options: Options) -> list[Row]:
    rows: list[Row] = []
    try:
        for row in perform(part, options):
            print(f"{row.part}: {row.name}", file=sys.stderr)
            rows.append(row)
    except subprocess.CalledProcessError as error:
        print(f"{part} failed: {error}", file=sys.stderr)
    return rows


if __name__ == "__main__":
    main()
