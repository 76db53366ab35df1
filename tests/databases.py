"""The database of this run, whichever it is: how other processes log in to it, and how it fails."""

from __future__ import annotations

import json
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

from django.db import connection, connections
from django.db.backends.signals import connection_created

from coreason_budget.models import SpendRecord

from .servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOGIN: Final = ("ENGINE", "NAME", "USER", "HOST", "PORT")


def login() -> str:
    """Return the test database as an item of DATABASES, in JSON."""
    return json.dumps({key: str(connection.settings_dict[key]) for key in _LOGIN})


@contextmanager
def locked() -> Iterator[None]:
    """Keep all others from writing records, as another process does."""
    holder = connection.copy()
    lock = f"LOCK TABLE {SpendRecord._meta.db_table} IN EXCLUSIVE MODE"
    with closing(holder), holder.cursor() as cursor:
        cursor.execute("BEGIN IMMEDIATE" if connection.vendor == "sqlite" else f"BEGIN; {lock}")
        yield
        cursor.execute("ROLLBACK")


@contextmanager
def down() -> Iterator[None]:
    """Lead new connections to where no database is."""
    where = {"NAME": "/no/such/folder/db"} if connection.vendor == "sqlite" else {"PORT": str(free_port())}
    with _changed(connections.settings["default"], **where):
        yield


@contextmanager
def read_only() -> Iterator[None]:
    """Have new connections only read."""
    options = connections.settings["default"]["OPTIONS"]
    if connection.vendor == "sqlite":
        changes = {"init_command": f"{options['init_command']} PRAGMA query_only=1;"}
    else:
        changes = {"options": "-c default_transaction_read_only=on"}
    with _changed(options, **changes):
        yield


@contextmanager
def hung() -> Iterator[None]:
    """Have every query of new connections wait until the end of this block."""
    with _waiting(60):
        yield


@contextmanager
def slow() -> Iterator[None]:
    """Have every query of new connections wait for a tenth of a second, or until the end of this block."""
    with _waiting(0.1):
        yield


@contextmanager
def _waiting(seconds: float) -> Iterator[None]:
    over = threading.Event()

    def wait(execute: Any, *query: Any) -> Any:
        over.wait(seconds)
        return execute(*query)

    def hang(*, connection: Any, **_: object) -> None:
        connection.execute_wrappers.append(wait)

    connection_created.connect(hang)
    try:
        yield
    finally:
        over.set()
        connection_created.disconnect(hang)


@contextmanager
def _changed(settings: dict[str, Any], **changes: Any) -> Iterator[None]:
    """Change settings of the connections that are opened in this block, the test's own too."""
    before = settings.copy()
    connections.close_all()
    settings.update(changes)
    try:
        yield
    finally:
        connections.close_all()
        settings.clear()
        settings.update(before)
