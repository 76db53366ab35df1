"""One HTTP exchange with Django's real handlers, step by step: a WSGI server and an ASGI server in miniature."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any

from coreason_budget.refusals.references import read_reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Answer", "AsgiExchange", "Call", "WsgiExchange"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client has received."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> dict[str, Any]:
        """The members of a refusal but for its reference, which is another each time and the same wherever it is."""
        members: dict[str, Any] = self.json
        reference = members.pop("reference")
        assert read_reference(reference) == reference
        assert members.pop("instance") == f"urn:coreason-budget:refusal:{reference}"
        assert self.headers["X-Budget-Reference"] == reference
        return members

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def budget(self) -> tuple[str | None, ...]:
        """What the X-Budget headers say: the cost, what remains, the reset."""
        return tuple(self.headers.get(f"X-Budget-{name}") for name in ("Cost-USD", "Remaining-USD", "Reset"))


@dataclass(frozen=True, slots=True)
class Call:
    """A request, as a client makes it."""

    path: str = "/"
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class WsgiExchange:
    """A call over WSGI. Nothing is iterated before it is asked for."""

    def __init__(self, handler: Any, call: Call) -> None:
        self._started: list[tuple[str, list[tuple[str, str]]]] = []
        self._response = handler(
            _environ(call), lambda status, headers, _=None: self._started.append((status, headers))
        )
        self._chunks: Iterator[bytes] | None = None
        status, headers = self._started[0]
        self.start = Answer(int(status.split()[0]), dict(headers))

    def chunk(self) -> bytes:
        """Receive the next chunk, empty at the end."""
        if self._chunks is None:
            self._chunks = iter(self._response)
        return next(self._chunks, b"")

    def leave(self) -> None:
        """Go away, now. The server closes the response, as PEP 3333 tells it to."""
        self._response.close()

    def finish(self) -> Answer:
        """Receive what is left."""
        body = b""
        try:
            while part := self.chunk():
                body += part
        finally:
            self._response.close()
        return Answer(self.start.status, self.start.headers, body)

    def forget(self) -> None:
        """Let go of the response without closing it."""
        self._response = self._chunks = None


class AsgiExchange:
    """A call over ASGI. The handler waits after each message until the next is asked for."""

    def __init__(self, runner: asyncio.Runner, handler: Any, call: Call) -> None:
        self._runner = runner
        self._call = call
        self._handler = handler
        self._run(self._begin())
        self._started: Answer | None = None

    @property
    def start(self) -> Answer:
        """The status and the headers."""
        if self._started is None:
            message = self._run(self._received())
            headers = {key.decode(): value.decode("latin1") for key, value in message["headers"]}
            self._started = Answer(message["status"], headers)
        return self._started

    def chunk(self) -> bytes:
        """Receive the next chunk, empty at the end."""
        _ = self.start  # comes first
        message = self._run(self._received())
        return b"" if message is None else bytes(message["body"])

    def leave(self) -> None:
        """Go away, now, and let the handler end."""
        self.disconnect()
        self._run(self._ended())

    def disconnect(self) -> None:
        """Go away, without waiting for the handler."""
        self._inbox.put_nowait({"type": "http.disconnect"})

    def finish(self) -> Answer:
        """Receive what is left."""
        body, start = b"", self.start
        while (message := self._run(self._received())) is not None:
            body += message["body"]
        self._run(self._ended())
        return Answer(start.status, start.headers, body)

    def until(self, event: asyncio.Event) -> None:
        """Let the handler go on, beyond what it has sent, until something has happened."""
        self._wanted.release()
        self._run(_within(event.wait()))

    def end(self) -> None:
        """Let the handler end, taking whatever it sends."""
        self._run(self._ended())

    def _run(self, coroutine: Any) -> Any:
        return self._runner.run(coroutine)

    async def _begin(self) -> None:
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._wanted = asyncio.Semaphore(0)
        self._has_begun = False
        self._inbox.put_nowait({"type": "http.request", "body": self._call.body, "more_body": False})
        self.task = asyncio.create_task(self._handler(_scope(self._call), self._inbox.get, self._send))

    async def _send(self, message: dict[str, Any]) -> None:
        self._outbox.put_nowait(message)
        await self._wanted.acquire()

    async def _received(self) -> dict[str, Any] | None:
        """Return the next message that holds anything, None at the end."""
        while True:
            if self._has_begun:
                self._wanted.release()
            self._has_begun = True
            getting = asyncio.create_task(self._outbox.get())
            await _within(asyncio.wait({getting, self.task}, return_when=asyncio.FIRST_COMPLETED))
            if not getting.done():
                getting.cancel()
                with suppress(asyncio.CancelledError):
                    await getting
                self.task.result()
                return None
            message = getting.result()
            if message["type"] == "http.response.start" or message.get("body"):
                return message

    async def _ended(self) -> None:
        await _within(self.task)


async def _within(waiting: Any, seconds: float = 20) -> Any:
    async with asyncio.timeout(seconds):
        return await waiting


def _environ(call: Call) -> dict[str, Any]:
    path, _, query = call.path.partition("?")
    return {
        "REQUEST_METHOD": call.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.encode().decode("latin1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(call.body)),
        "CONTENT_TYPE": call.headers.get("content-type", ""),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(call.body),
        "wsgi.errors": BytesIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in call.headers.items()},
    }


def _scope(call: Call) -> dict[str, Any]:
    path, _, query = call.path.partition("?")
    headers = {"host": "testserver", "content-length": str(len(call.body)), **call.headers}
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": call.method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 50_000),
        "server": ("testserver", 80),
    }
