"""Sites of every kind on an empty ledger, people who use them, and ears for what should not be said."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.db.backends.utils import CursorWrapper

from coreason_budget.ledger.steps import Command
from tests.conftest import end_loop, fake_backend, server_backend
from tests.contract.tools import Clock

from .site import Ledger, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django import Settings

    from tests.servers import RealServer

SITES = ("wsgi-sync", "wsgi-async", "asgi-sync", "asgi-async")
NATIVE = ("wsgi-sync", "asgi-async")  # where nothing stands between the view and the server


@pytest.fixture
def clock() -> Clock:
    """Return the ledger's clock; it stands at noon."""
    return Clock()


@pytest.fixture
def store(settings: Settings) -> None:
    """Empty the ledger: a fake server of the test's own."""
    settings.CACHES = {**settings.CACHES, "default": fake_backend().alias}


@pytest.fixture
def real_store(settings: Settings, real_server: RealServer) -> None:
    """Empty the ledger: the real server."""
    settings.CACHES = {**settings.CACHES, "default": server_backend("real", real_server).alias}


@pytest.fixture
def ledger(store: None, settings: Settings, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Ledger:
    """Return the budget: a dollar a day for users, three for projects and a hundred for all."""
    return Ledger(settings, monkeypatch, clock)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """Run an event loop that lives as long as the test."""
    made = asyncio.Runner()
    yield made
    end_loop(made)


@pytest.fixture(params=SITES)
def site(request: pytest.FixtureRequest, settings: Settings, runner: asyncio.Runner, ledger: Ledger) -> Site:
    """Run the test with plain and with asynchronous views, over WSGI and over ASGI."""
    door, _, kind = request.param.partition("-")
    return Site(settings, runner, door, kind)


@pytest.fixture(params=NATIVE)
def native_site(request: pytest.FixtureRequest, settings: Settings, runner: asyncio.Runner, ledger: Ledger) -> Site:
    """Run the test with plain views over WSGI and with asynchronous ones over ASGI."""
    door, _, kind = request.param.partition("-")
    return Site(settings, runner, door, kind)


@pytest.fixture
def plain_site(settings: Settings, runner: asyncio.Runner, ledger: Ledger) -> Site:
    """Return a site of plain views over WSGI, for what cannot differ."""
    return Site(settings, runner, "wsgi", "sync")


@pytest.fixture(params=["wsgi", "asgi"])
def rest_site(request: pytest.FixtureRequest, settings: Settings, runner: asyncio.Runner, ledger: Ledger) -> Site:
    """Run the test over WSGI and over ASGI with plain views: REST framework has no other."""
    return Site(settings, runner, request.param, "sync")


@pytest.fixture
def async_site(settings: Settings, runner: asyncio.Runner, ledger: Ledger) -> Site:
    """Return a site of asynchronous views over ASGI, for what only these do."""
    return Site(settings, runner, "asgi", "async")


@pytest.fixture
def ann(transactional_db: None) -> Any:
    """Return a user."""
    return User.objects.create_user("ann")


@pytest.fixture
def ben(transactional_db: None) -> Any:
    """Return another user."""
    return User.objects.create_user("ben")


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the SQL that any thread sends to the database."""
    seen: list[str] = []
    execute = CursorWrapper.execute

    def watched(self: Any, sql: str, params: Any = None) -> Any:
        seen.append(sql)
        return execute(self, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", watched)
    return seen


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the commands that any thread or loop sends to Redis."""
    seen: list[str] = []

    def watch(name: str) -> None:
        perform = getattr(Command, name)

        def watched(self: Command, context: Any) -> Any:
            seen.append(str(self.args[0]))
            return perform(self, context)

        monkeypatch.setattr(Command, name, watched)

    watch("perform")
    watch("aperform")
    return seen


class Ear(logging.Handler):
    """Hears what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())


@pytest.fixture
def warnings_of_the_app() -> Iterator[list[str]]:
    """List the warnings and errors that the app has logged."""
    yield from _listen("coreason_budget")


@pytest.fixture(autouse=True)
def quiet_loops() -> Iterator[None]:
    """Fail if an event loop complained: of tasks that were destroyed, of errors that nobody has seen."""
    for heard in _listen("asyncio"):
        yield
        assert heard == []


@pytest.fixture
def clean(quiet_loops: None) -> Iterator[None]:
    """Collect what the test has left behind before loops and warnings are looked at; takes time."""
    yield
    gc.collect()


def _listen(name: str) -> Iterator[list[str]]:
    logger, ear = logging.getLogger(name), Ear()
    logger.addHandler(ear)
    try:
        yield ear.heard
    finally:
        logger.removeHandler(ear)
