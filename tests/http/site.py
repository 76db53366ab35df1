"""A project of the test's own behind Django's real handlers: any view at the root, called over WSGI or ASGI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client
from django.urls import path

from coreason_budget import BudgetConfig, BudgetManager, budgeted, service

from .exchange import AsgiExchange, Call, WsgiExchange
from .steps import as_async, as_sync, async_chunks, chunks

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Generator

    from pytest_django import Settings

    from .exchange import Answer

__all__ = ["MIDDLEWARE", "Site", "Urls", "cookies_of"]

MIDDLEWARE = "coreason_budget.middleware.BudgetMiddleware"


class Urls:
    """A root URLconf with one view."""

    def __init__(self, route: str, view: Any) -> None:
        self.urlpatterns = [path(route, view)]


class Site:
    """A Django project with one view, behind a ``door`` (wsgi or asgi); its views are of one ``kind`` (sync, async)."""

    def __init__(self, settings: Settings, runner: asyncio.Runner, door: str, kind: str) -> None:
        self.settings = settings
        self.runner = runner
        self.door = door
        self.kind = kind

    @property
    def is_async(self) -> bool:
        return self.kind == "async"

    def view(self, body: Callable[..., Any]) -> Any:
        """Return a body as a view of the site's kind."""
        return as_async(body) if self.is_async else as_sync(body)

    def budgeted(self, **terms: Any) -> Callable[[Callable[..., Any]], Any]:
        """Decorate a body: ``@site.budgeted(estimate="0.5")``."""
        return lambda body: budgeted(**terms)(self.view(body))

    def stream(self, steps: Generator[Any, Any, None]) -> Any:
        """Return what a streaming response is made of, of the site's kind."""
        return async_chunks(steps) if self.is_async else chunks(steps)

    def open(
        self, view: Any, at: str = "/", *, route: str = "", method: str = "GET", user: Any = None, **headers: str
    ) -> Any:
        """Begin to call a view, as a user who is logged in: ``site.open(view, "/p/1/", route="p/<project>/")``."""
        self.settings.ROOT_URLCONF = Urls(route, view)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if user is not None:
            sent["cookie"] = cookies_of(user)
        call = Call(at, method, sent)
        if self.door == "asgi":
            return AsgiExchange(self.runner, ASGIHandler(), call)
        return WsgiExchange(WSGIHandler(), call)

    def get(self, view: Any, at: str = "/", **options: Any) -> Answer:
        """Call a view and return its answer. See open()."""
        answer: Answer = self.open(view, at, **options).finish()
        return answer

    def run(self, view: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a view, as other code of the project may, and return what it returns or raise what it raises."""
        if self.is_async:
            return self.runner.run(view(*args, **kwargs))
        return view(*args, **kwargs)

    def without_middleware(self) -> None:
        """Take the app's middleware out."""
        self.settings.MIDDLEWARE = [name for name in self.settings.MIDDLEWARE if name != MIDDLEWARE]


class Ledger:
    """The project's budget, with a clock that the test sets, and how it stands."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch, clock: Any) -> None:
        self.settings = settings
        self.clock = clock
        self._monkeypatch = monkeypatch
        self.configure()

    def configure(self, **overrides: Any) -> BudgetManager:
        """Set settings of the app: ``ledger.configure(daily_user_limit_usd="2")``; what is left out is the default."""
        limits = {"daily_user_limit_usd": "1", "daily_project_limit_usd": "3", "daily_global_limit_usd": "100"}
        values = {"log_path": "", **limits, **overrides}
        self.settings.COREASON_BUDGET = {name.upper(): value for name, value in values.items()}
        manager = BudgetManager(BudgetConfig(), clock=self.clock)
        self._monkeypatch.setattr(service, "_manager", manager)
        return manager

    def of(self, user: Any, project: Any = None, *, scope: str = "user") -> tuple[str, str]:
        """Return what is spent and what is held, in USD."""
        items = service.status(getattr(user, "pk", user), project)
        (found,) = [item for item in items if (item.scope, item.period) == (scope, "day")]
        return f"{found.spent:f}", f"{found.held:f}"

    def settled(self) -> None:
        """Let the threads of the ledger do what was left to them."""
        assert service.flush(10)


def cookies_of(user: Any) -> str:
    """Return the cookies of somebody who is logged in."""
    client = Client()
    client.force_login(user)
    return "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())


def breaking_stream(test: Any) -> Any:
    """Mark a test whose stream breaks: under ASGI Django closes neither the request's body nor a connection then."""
    for leak in ("Unclosed file <tempfile.SpooledTemporaryFile", "unclosed database in <sqlite3.Connection"):
        test = pytest.mark.filterwarnings(f"ignore:{leak}:ResourceWarning")(test)
    return test
