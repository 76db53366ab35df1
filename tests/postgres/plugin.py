"""
Runs tests of this suite on PostgreSQL: ``uv run pytest -p tests.postgres.plugin --ds=tests.postgres.settings ...``.

The run starts a server of its own. Of the stores only Valkey takes part.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest
from asgiref.sync import sync_to_async

from .server import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER: Final = pytest.StashKey[PostgresServer]()


def pytest_sessionstart(session: pytest.Session) -> None:
    from django.db import connections

    server = session.config.stash[SERVER] = PostgresServer().start()
    connections.settings["default"]["PORT"] = str(server.port)


def pytest_sessionfinish(session: pytest.Session) -> None:
    session.config.stash[SERVER].discard()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    other = [item for item in items if _store(item) not in {None, "real"}]
    config.hook.pytest_deselected(items=other)
    items[:] = [item for item in items if item not in other]


def _store(item: pytest.Item) -> object:
    call = getattr(item, "callspec", None)
    return None if call is None else call.params.get("backend")


@pytest.fixture(scope="session", autouse=True)
def closed_connections(django_db_setup: None) -> Iterator[None]:
    """Close what async tests with inline work leave to asgiref's thread: a database in use cannot be dropped."""
    from django.db import connections

    yield
    asyncio.run(sync_to_async(connections.close_all)())
