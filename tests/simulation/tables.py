"""
The database of a world: a real SQLite with the app's tables, in place of the configured one.

All tasks share the one connection that is the ledger's and are switched between statements, never inside a transaction;
so each statement and each transaction happens at one instant, as it does where every thread has an autocommit
connection of its own. Callers who are in a transaction have connections of their own, see ``transactions.py``.
"""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db import OperationalError, connections
from django.db.backends.sqlite3.base import DatabaseWrapper

from coreason_budget.models import DailySum, GlobalLimit, ModelPrice, ProjectLimit, SpendRecord, UserLimit
from coreason_budget.periods import to_ms

from .windows import CODES, NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["USERS", "Reset", "Row", "Tables"]

C = TypeVar("C", bound=DatabaseWrapper)

USERS: Final = (1, 2)


@dataclass(frozen=True, slots=True)
class Reset:
    """In which window of which account how much less counts (nano-USD, negative)."""

    subject: str
    code: str
    window: str
    nanos: int


@dataclass(frozen=True, slots=True)
class Row:
    """A spend record as the auditor sees it."""

    charge_id: str
    journal_id: int | None
    cost: int
    subjects: tuple[str, ...]
    at: int
    hold_id: str
    kind: str
    reset: Reset | None = None


class LedgersConnection(DatabaseWrapper):
    """A connection that tells before it does something, and after it has."""

    tables: Tables

    def _commit(self) -> None:
        super()._commit()  # type: ignore[misc]
        self.tables.version += 1
        self.tables.hook("commit")


class Tables:
    """
    The tables of a world. ``version`` grows with every change of the records.

    ``hook`` is told of each "statement" before it runs, which it may make wait or fail, also of those "in transaction",
    which it may only make fail, and of each "commit" after it, which it may make fail all the same: a connection that
    breaks before the answer; and that a statement was "refused", because a caller's transaction has the lock.
    """

    def __init__(self) -> None:
        self.version = 0
        self.limits_version = 0
        self.hook: Callable[[str], None] = lambda _: None
        self._stack = ExitStack()
        folder = self._stack.enter_context(TemporaryDirectory(prefix="coreason-budget-simulation-"))
        # Nobody waits for a lock: whoever has it would wait for the same thread.
        options = {"timeout": 0, "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"}
        self._settings = {**connections.settings["default"], "NAME": Path(folder, "db.sqlite3"), "OPTIONS": options}
        self._connection = LedgersConnection(self._settings, "default")
        self._connection.tables = self
        self.callers: list[Any] = []  # connections that are nobody's now
        self._rows: tuple[int, dict[str, Row]] = (-1, {})

    @contextmanager
    def installed(self) -> Iterator[Tables]:
        """Be the database ``default`` of this thread."""
        configured = connections["default"]
        connections["default"] = self._connection
        try:
            self._create()
            with self._connection.execute_wrapper(self._execute):
                yield self
        finally:
            connections["default"] = configured
            self._connection.inc_thread_sharing()
            self._connection.close()
            self._stack.close()

    def connect(self, connection: BaseDatabaseWrapper | None) -> None:
        """Make a connection the thread's, None for the ledger's."""
        connections["default"] = self._connection if connection is None else connection

    def new_connection(self, kind: type[C]) -> C:
        """Return a connection of somebody else, which is closed with the tables."""
        made = kind(self._settings, "default")
        self._stack.callback(made.close)
        return made

    def _create(self) -> None:
        with self._connection.schema_editor() as editor:
            user = get_user_model()
            for model in (ContentType, user, UserLimit, ProjectLimit, GlobalLimit, ModelPrice, SpendRecord, DailySum):
                editor.create_model(model)
        for pk in USERS:
            user.objects.create(pk=pk, username=f"user-{pk}")

    def empty(self) -> None:
        """Forget all records and limits."""
        for model in (UserLimit, ProjectLimit, GlobalLimit, SpendRecord, DailySum):
            self._ask(f"DELETE FROM {model._meta.db_table}")
        self._connection.connection.commit()
        self.version += 1
        self.limits_version += 1

    def rows(self) -> dict[str, Row]:
        """Return all records by charge id, unnoticed by the hooks."""
        if self._rows[0] != self.version:
            found = self._ask(
                "SELECT charge_id, journal_id, cost_nanos, user_id, project_id, at, hold_id, kind, metadata "
                f"FROM {SpendRecord._meta.db_table}"
            )
            self._rows = (self.version, {values[0]: _row(values) for values in found})
        return self._rows[1]

    def limits(self) -> list[tuple[str, str, str | None]]:
        """Return subject, period and amount (USD, None is unlimited) of all limits, unnoticed by the hooks."""
        return [
            *self._ask(f"SELECT 'user:' || user_id, period, amount_usd FROM {UserLimit._meta.db_table}"),
            *self._ask(f"SELECT 'project:' || project_id, period, amount_usd FROM {ProjectLimit._meta.db_table}"),
            *self._ask(f"SELECT 'global:', period, amount_usd FROM {GlobalLimit._meta.db_table}"),
        ]

    def mark(self) -> str:
        """Return what the last transaction of a caller has left, unnoticed by the hooks."""
        ((mark,),) = self._ask(f"SELECT last_name FROM {get_user_model()._meta.db_table} WHERE id = {USERS[0]}")
        return str(mark)

    def _ask(self, sql: str) -> list[Any]:
        rows: list[Any] = self._connection.connection.execute(sql).fetchall()
        return rows

    def _execute(self, execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:  # noqa: FBT001
        in_block = self._connection.in_atomic_block or sql == "BEGIN"
        self.hook("in transaction" if in_block else "statement")
        try:
            result = execute(sql, params, many, context)
        except OperationalError:
            self.hook("refused")
            raise
        if not sql.startswith(("SELECT", "BEGIN")):
            self.version += 1
            self.limits_version += "limit" in sql
            if not in_block:
                self.hook("commit")
        return result


def reset_of(metadata: str) -> Reset:
    """Return what the metadata of an adjustment say."""
    said = json.loads(metadata)
    code = next(code for code in CODES if NAMES[code] == said["period"])
    return Reset(said["adjusts"], code, said["window"], int(said["nanos"]))


def _row(values: Sequence[Any]) -> Row:
    charge_id, journal_id, cost, user, project, at, hold_id, kind, metadata = values
    instant = datetime.fromisoformat(str(at)).replace(tzinfo=UTC)
    subjects = (f"user:{user}", *([f"project:{project}"] if project else []), "global:")
    reset = reset_of(metadata) if charge_id.startswith("reset:") else None
    return Row(charge_id, journal_id, cost, subjects, to_ms(instant), hold_id, kind, reset)
