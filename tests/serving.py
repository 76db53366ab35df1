"""Web servers as child processes: real sockets, real HTTP, on a free port of 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx

from .servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

READY_WITHIN: Final = 60.0  # seconds
POLL: Final = 0.02
OWN: Final = ("COREASON_", "DJANGO_", "EXAMPLE_", "REDIS_")


@dataclass(frozen=True, slots=True)
class Site:
    """A web server that runs, and where it writes what it has to say."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def client(self, **options: Any) -> httpx.Client:
        """Return a client of the site, to be closed, that knows no proxies."""
        return httpx.Client(base_url=self.url, **{"trust_env": False, "timeout": 60, **options})

    def said(self) -> str:
        """Return what the server has written so far."""
        return self.log.read_text("utf-8", "replace")


def environment(**changes: str) -> dict[str, str]:
    """Return this environment without what it says to Django and providers, every way to the network a dead end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
    kept = {name: value for name, value in kept.items() if not name.endswith("_API_KEY")}
    kept = {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}
    return {**kept, "HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", **changes}


@contextlib.contextmanager
def serving(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Iterator[Site]:
    """
    Run Python with these arguments, ``{port}`` in them replaced, and yield the site once it accepts connections.

    Its working directory is the folder; so is where its log is. At the end it is asked to stop (SIGTERM).
    """
    port = free_port()
    log = folder / f"server-{port}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *(argument.replace("{port}", str(port)) for argument in arguments)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    site = Site(f"http://127.0.0.1:{port}", process, log)
    try:
        _await_connection(site, port)
        yield site
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"The server did not stop within 20 s:\n{site.said()[-5000:]}") from None


def _await_connection(site: Site, port: int) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while True:
        assert site.process.poll() is None, f"The server ended:\n{site.said()[-5000:]}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert time.monotonic() < deadline, f"The server did not start:\n{site.said()[-5000:]}"
        time.sleep(POLL)
