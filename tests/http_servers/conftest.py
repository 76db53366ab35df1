"""A small site behind gunicorn and uvicorn, each with a Redis of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest

from ..servers import RealServer
from ..serving import environment, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from ..serving import Site

ROOT: Final = Path(__file__).resolve().parents[2]
APP: Final = "tests.http_servers.site:wsgi"
GUNICORN: Final = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2", "--no-control-socket", APP]
SERVERS: Final = {
    "gunicorn-sync": [*GUNICORN, "--worker-class", "sync"],
    "gunicorn-gthread": [*GUNICORN, "--worker-class", "gthread", "--threads", "8"],
    "uvicorn": ["-m", "uvicorn", "--port", "{port}", "--log-level", "warning", "tests.http_servers.site:asgi"],
}


@dataclass(frozen=True, slots=True)
class Served:
    """The site behind one server."""

    site: Site
    redis: RealServer
    folder: Path
    streaming: str  # how the views are named whose stream Django passes on as it comes, and does not read first

    def gate(self, user: str) -> Path:
        """Make the pipe that a stream in two parts waits at; writing to it lets the stream go on."""
        path = self.folder / f"gate-{user}"
        os.mkfifo(path)
        return path

    def client_of(self, user: str, **options: Any) -> httpx.Client:
        """Return a client, to be closed, that speaks for a user."""
        return self.site.client(headers={"X-User": user}, **options)

    def standing(self, user: str) -> dict[str, Any]:
        """Return what a user has spent and holds (USD), what the database says, and how much a stream has said."""
        with self.client_of(user) as client:
            answer = client.get("/standing/")
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            return found


@pytest.fixture(scope="package", params=SERVERS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve the site by gunicorn, with both of its kinds of workers, and by uvicorn."""
    folder = tmp_path_factory.mktemp(request.param)
    with RealServer() as redis:
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        surroundings = environment(
            DJANGO_SETTINGS_MODULE="tests.http_servers.settings",
            PYTHONPATH=paths,
            SITE_FOLDER=str(folder),
            SITE_REDIS_URL=redis.url,
        )
        subprocess.run([sys.executable, "-m", "django", "migrate", "-v0"], check=True, env=surroundings, cwd=ROOT)
        with serving(SERVERS[request.param], folder, surroundings) as site:
            yield Served(site, redis, folder, "a" if request.param == "uvicorn" else "")


@pytest.fixture
def user() -> str:
    """Return a user that no other test knows."""
    return uuid4().hex


@pytest.fixture
def client(served: Served, user: str) -> Iterator[httpx.Client]:
    """Return an HTTP client of that user."""
    with served.client_of(user) as opened:
        yield opened
