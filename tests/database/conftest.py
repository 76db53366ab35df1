"""A budget whose writes can be held up, and a database that fails."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from unittest import mock

import pytest
from django.db import OperationalError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from coreason_budget import service
from coreason_budget.ledger import isolation
from coreason_budget.models import SpendRecord

from ..conftest import fake_backend


@pytest.fixture
def budget(settings):
    settings.CACHES = {"default": fake_backend().alias}
    return service.manager()


@pytest.fixture
def production(monkeypatch):
    """Have the app believe that no test runs."""
    monkeypatch.setattr(isolation, "under_test", lambda: False)


class Gate:
    """Work that waits until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self) -> None:
        self.entered.set()
        assert self.opened.wait(10)


@pytest.fixture
def gate():
    made = Gate()
    yield made
    made.opened.set()


@contextmanager
def database_down():
    """Refuse every new connection, as a server that is gone does."""
    connections.close_all()
    with mock.patch.object(BaseDatabaseWrapper, "connect", side_effect=OperationalError("gone")) as connect:
        yield connect


def lock_records() -> None:
    """Keep all others from writing records until the caller's transaction ends."""
    if connection.vendor == "sqlite":
        SpendRecord.objects.all().delete()  # any write takes the lock of the whole database
        return
    with connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {SpendRecord._meta.db_table} IN EXCLUSIVE MODE")
