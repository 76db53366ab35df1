"""Writes the upstream's responses: whole, half, or event by event."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from uvicorn._types import ASGISendCallable

__all__ = ["Reply"]


class Reply:
    """Writes a response. One that is begun and not ended is cut off by the server, as a lost connection is."""

    def __init__(self, send: ASGISendCallable) -> None:
        self._send = send

    async def whole(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        await self.text(status, json.dumps(body).encode(), headers)

    async def text(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        await self._start(
            status, {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
        )
        await self._body(body, more=False)

    async def half(self, body: bytes) -> None:
        await self._start(200, {"content-type": "application/json", "content-length": str(len(body))})
        await self._body(body[: len(body) // 2], more=True)

    async def begin(self) -> None:
        await self._start(200, {"content-type": "text/event-stream; charset=utf-8"})

    async def events(self, events: Iterator[bytes]) -> None:
        for event in events:
            await self._body(event, more=True)

    async def end(self) -> None:
        await self._body(b"", more=False)

    async def _start(self, status: int, headers: Mapping[str, str]) -> None:
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs, "trailers": False})

    async def _body(self, body: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
