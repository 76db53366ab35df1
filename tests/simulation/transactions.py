"""
Callers of a world who are in a transaction of their own, which is committed or rolled back when they have done.

Whatever becomes of it, the ledger has to go on as if there was none.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import OperationalError, transaction
from django.db.backends.sqlite3.base import DatabaseWrapper

from .tables import USERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .process import Process
    from .tables import Tables
    from .world import World

__all__ = ["Transactions"]


class CallersConnection(DatabaseWrapper):
    """A connection of a thread that is not the ledger's. Others hear of what it commits."""

    tables: Tables

    def _commit(self) -> None:
        super()._commit()  # type: ignore[misc]
        self.tables.version += 1
        self.tables.limits_version += 1


class Transactions:
    """Gives tasks connections of their own for as long as they are in a transaction."""

    def __init__(self, world: World) -> None:
        self._world = world

    @contextmanager
    def entered(self) -> Iterator[bool]:
        """
        Be in a transaction; yield whether it has a lock that others need, and so should not last.

        It has seen the database as it was then, or has written to it, or neither. Some have a connection of a database
        where others may write beside them: there the ledger does.
        """
        world, task = self._world, self._world.scheduler.current
        assert task is not None
        what = world.extras.choice(("nothing", "reads", "reads", "writes"))
        is_kept = world.extras.random() < 0.5
        connection = self._connection()
        connection.vendor = world.extras.choice(("sqlite", "sqlite" if what == "writes" else "postgresql"))
        before = self._mark()
        world.note(task.name, f"is in a transaction that {what}; kept: {is_kept}")
        task.connection = connection
        world.tables.connect(connection)
        try:
            with transaction.atomic():
                what = self._use(what, task.name)
                yield what == "writes"
                transaction.set_rollback(not is_kept)
        finally:
            task.connection = None
            world.tables.connect(None)
            world.tables.callers.append(connection)
        mark = task.name if is_kept and what == "writes" else before
        if what == "writes":
            world.auditor.require("a transaction is kept or not", self._mark() == mark, self._mark(), mark)

    def drop(self, process: Process) -> None:
        """Roll the transactions of a process back as the database does when its connections break."""
        for task in self._world.scheduler.tasks:
            if task.process is process and task.connection is not None:
                task.connection.connection.rollback()

    def _connection(self) -> CallersConnection:
        tables = self._world.tables
        if tables.callers:
            spare: CallersConnection = tables.callers.pop()
            return spare
        made = tables.new_connection(CallersConnection)
        made.tables = tables
        return made

    def _use(self, what: str, mark: str) -> str:
        users: Any = get_user_model()._default_manager
        if what == "reads":
            users.count()
        elif what == "writes":
            try:
                users.filter(pk=USERS[0]).update(last_name=mark)
            except OperationalError:  # somebody else is writing
                return "nothing"
        return what

    def _mark(self) -> str:
        return self._world.tables.mark()
