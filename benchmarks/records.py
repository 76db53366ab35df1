"""The admin's pages of spend records over a history of millions, and their export with the memory that it takes."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from coreason_budget import service

from . import seeds
from .site import ADMIN_MIDDLEWARE
from .tables import Row, spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .stage import Options

__all__ = ["measure"]

ROUNDS: Final = 7
DAYS: Final = 30
#: SQLite is for smaller sites.
FULL: Final = {"sqlite": 1_000_000, "postgresql": 5_000_000}
LIST: Final = "/admin/coreason_budget/spendrecord/"
PAGES: Final = {
    "the list, its first page": LIST,
    "a search for a user": f"{LIST}?q=user7",
    "a search for a charge id": f"{LIST}?q=record-77",
    "a search that finds nothing": f"{LIST}?q=nobody",
    "a filter of a model": f"{LIST}?model=model-7",
    "a filter of a user, a project and a model": f"{LIST}?user=user7&project=7&model=model-7",
    "the overview of 30 days": f"{LIST}overview/",
}
EXPORT: Final = {"action": "export_csv", "index": "0", "select_across": "1", "_selected_action": "all"}


def measure(options: Options) -> Iterator[Row]:
    """Return the time of each page. Raise RuntimeError if a page fails or the export lacks a record."""
    (count,) = options.sizes(full=(FULL[connection.vendor],), quick=(20_000,))
    seeds.history(service.manager(), count, DAYS)
    settings.MIDDLEWARE = list(ADMIN_MIDDLEWARE)
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    of = f"{count:,} records"
    for name, url in PAGES.items():
        millis = [_shown(client, url) for _ in range(1 + min(ROUNDS, options.rounds))][1:]
        yield Row("records", f"{name}, {of}", median(millis), "ms", spread=spread(millis))
    yield from _exported(client, count, of)


def _shown(client: Client, url: str) -> float:
    """Return the ms that a page takes."""
    start = perf_counter()
    response = client.get(url)
    if response.status_code != 200:  # noqa: PLR2004
        raise RuntimeError(f"{url} answered {response.status_code}")
    return (perf_counter() - start) * 1_000


def _exported(client: Client, count: int, of: str) -> Iterator[Row]:
    start = perf_counter()
    pieces = iter(client.post(LIST, EXPORT).streaming_content)  # type: ignore[attr-defined]
    lines = next(pieces).count(b"\n") + next(pieces).count(b"\n")
    first, before = perf_counter() - start, _resident()
    most = before
    for piece in pieces:
        lines += piece.count(b"\n")
        most = max(most, _resident())
    if lines != count + 1:
        raise RuntimeError(f"{lines - 1} records of {count} were exported")
    yield Row("records", f"CSV of {of}: until the first 2,000 are sent", first * 1_000, "ms")
    yield Row("records", f"CSV of {of}: records a second", count / (perf_counter() - start), "records/s")
    yield Row("records", f"CSV of {of}: memory from then on", (most - before) / 1_000, "kB")


def _resident() -> int:
    """Return the bytes of this process that are in memory."""
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * 4_096
