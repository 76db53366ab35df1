"""What the decorator and the middleware add to a real Django request, over WSGI and over ASGI."""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from coreason_budget import service
from coreason_budget.ledger.database import in_request

from . import site
from .measure import Contestant, compare, rows_of
from .tables import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .stage import Options

__all__ = ["measure"]


def measure(options: Options) -> Iterator[Row]:
    """Return the time of requests, and the CPU that a budget adds to one: all threads, the record's row included."""
    manager = service.manager()
    manager.status("7", "search")
    in_request.set(True)  # no request_started is sent here
    contestants = [Contestant("PING", manager.ledger.connections.client().ping), *_contestants()]
    times = compare(contestants, rounds=options.rounds, calls=options.calls)
    yield from rows_of("requests", contestants, times)
    for kind in ("WSGI", "ASGI"):
        for what in ("charge", "final charge"):
            pairs = zip(times[f"{kind}, {what}"].cpu, times[f"{kind}, undecorated"].cpu, strict=True)
            added = [mine - its for mine, its in pairs]
            yield Row("requests", f"{kind}, {what}: CPU added", median(added) / 1_000, "ms")


def _contestants() -> list[Contestant]:
    manager = service.manager()
    found = []
    kinds: tuple[tuple[str, Any, Any], ...] = (
        ("WSGI", site.wsgi_application, site.ask_wsgi),
        ("ASGI", site.asgi_application, site.ask_asgi),
    )
    for kind, application, ask in kinds:
        bare, budgeted = application(), application(site.MIDDLEWARE)
        path = "sync" if kind == "WSGI" else "async"
        for what, handler, view in (
            ("undecorated", bare, "plain"),
            ("charge", budgeted, "charge"),
            ("final charge", budgeted, "final"),
        ):
            work = partial(ask, handler, f"/{path}/{view}/search/")
            is_async = kind == "ASGI"
            found.append(Contestant(f"{kind}, {what}", work, "PING", is_async, after=lambda: manager.flush(60)))
    return found
