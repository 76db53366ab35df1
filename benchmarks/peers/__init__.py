"""Packages that do a like job, each in its own environment, with the same work in the same run as this project."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from ..tables import Row
from .contest import PART, Contender, crowd_rows, take_turns, time_rows, wire_rows
from .environments import UnavailableError
from .players import Player
from .roster import ROSTER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..stage import Options
    from .roster import Entry

__all__ = ["measure"]


def measure(options: Options) -> Iterator[Row]:
    """Return the figures of everybody on the roster; who cannot take part has a row that says why."""
    contenders = []
    with ExitStack() as stack:
        stores = {"redis": os.environ["COREASON_BENCHMARK_REDIS_URL"]}
        for entry in ROSTER:
            print(f"preparing {entry.name}", file=sys.stderr)
            try:
                store = stores.get(entry.store) or stores.setdefault(entry.store, stack.enter_context(_postgres()))
                player = stack.enter_context(Player(entry.module, entry.python(), store, paths=entry.paths()))
            except UnavailableError as reason:
                yield _absent(entry, reason)
            else:
                contenders.append(Contender(entry, player, store))
        failed = take_turns(contenders, options)
        for contender in contenders:
            if contender.entry.name in failed:
                yield _absent(contender.entry, failed[contender.entry.name])
        contenders = [contender for contender in contenders if contender.entry.name not in failed]
        for rows in (time_rows, wire_rows, crowd_rows):
            for contender in contenders:
                try:
                    yield from rows(contender)
                except UnavailableError as reason:
                    yield _absent(contender.entry, reason)


def _absent(entry: Entry, reason: UnavailableError) -> Row:
    wanted = " ".join(entry.requirements) or entry.name
    return Row(PART, entry.name, None, "not measured", note=f"{wanted}: {reason}")


@contextmanager
def _postgres() -> Iterator[str]:
    """Yield the URL of a database of a PostgreSQL that ends with the part."""
    try:
        from tests.postgres.server import ROLE, PostgresServer
        from tests.programs import find_program
    except ImportError as error:
        raise UnavailableError(f"its store cannot be started: {error}") from error
    if find_program("initdb") is None:
        raise UnavailableError("PostgreSQL, its store, is not installed")
    with ExitStack() as stack:
        try:
            server = stack.enter_context(PostgresServer(options={"max_connections": "300"}))
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            raise UnavailableError(f"PostgreSQL, its store, did not start: {error}") from error
        with server.admin() as admin:
            admin.execute(f"CREATE DATABASE benchmark OWNER {ROLE}")
        yield f"postgresql://{ROLE}@127.0.0.1:{server.port}/benchmark"
