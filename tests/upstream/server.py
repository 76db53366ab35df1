"""The server: an ASGI app on uvicorn, in a thread, on a free port of 127.0.0.1."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self
from uuid import uuid4

import uvicorn

from .books import Exchange
from .flow import carry_out
from .replies import Reply
from .requests import read_body
from .stage import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

__all__ = ["UpstreamServer"]

_STARTS_WITHIN: Final = 15  # seconds


class UpstreamServer:
    """One server for the whole run. It is up once the constructor returns; leaving its ``with`` ends it."""

    def __init__(self) -> None:
        config = uvicorn.Config(
            self._app,
            "127.0.0.1",
            0,
            interface="asgi3",
            http="h11",
            ws="none",
            lifespan="off",
            proxy_headers=False,
            log_config=None,
            log_level="critical",
        )
        self._server = uvicorn.Server(config)
        self._upstreams: dict[str, Upstream] = {}
        self._thread = threading.Thread(target=self._server.run, name="upstream", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        waited = threading.Event()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("The upstream did not start.")
            waited.wait(0.005)  # uvicorn has no event for it
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *error: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(_STARTS_WITHIN)

    @contextmanager
    def upstream(self) -> Iterator[Upstream]:
        """Make an upstream with a path of its own. What goes wrong inside it is raised at the end."""
        token = uuid4().hex
        made = self._upstreams[token] = Upstream(f"http://127.0.0.1:{self.port}/{token}")
        try:
            yield made
        finally:
            del self._upstreams[token]
            made.close()
        if made.faults:
            raise ExceptionGroup("The upstream itself failed.", made.faults)

    async def _app(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        assert scope["type"] == "http"
        _, token, path = scope["path"].split("/", 2) if scope["path"].count("/") > 1 else ("", "", "")
        upstream = self._upstreams.get(token)
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        raw = await _read(receive)
        if upstream is None:
            await Reply(send).whole(410, {"error": {"message": "The test of this upstream is over."}})
            return
        exchange = Exchange(scope["method"], f"/{path}", headers, None)
        left = asyncio.create_task(_left(receive))
        try:
            exchange.body = read_body(headers, raw)
            await carry_out(upstream, exchange, Reply(send), left)
        except Exception as error:  # noqa: BLE001  # the fixture raises it in the test
            upstream.faults.append(error)
        finally:
            exchange.end("broken")
            left.cancel()


async def _read(receive: ASGIReceiveCallable) -> bytes:
    raw = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return raw
        raw += message.get("body", b"")
        if not message.get("more_body"):
            return raw


async def _left(receive: ASGIReceiveCallable) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
