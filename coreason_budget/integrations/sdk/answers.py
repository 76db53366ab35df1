"""
The answers of a provider as they come over the wire: read on the way, whichever way the caller reads them.

An SDK hands out streams, helpers around streams and bare responses, and closes them in many ways; the bytes of all of
them come out of one HTTP response, and that is where they are counted.
"""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any, Final

from ...metering.sending import StreamedCall
from ...metering.streams import AsyncChunks, Chunks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...ledger.steps import Operation
    from ...metering.calls import MeteredCall
    from ...metering.produced import Produced

__all__ = ["Wire", "body_for", "metered", "read_whole"]

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")

_kinds: Final[dict[type, type]] = {}  # of responses, and what they become when they are metered


class Events:
    """A body of server-sent events; no more is kept of it than an event that has not ended."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Yield the events that have ended."""
        *lines, self._rest = _LINE_END.split(self._rest + data)
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:])
            elif not line and self._data:
                event = _decoded(b"\n".join(self._data) if len(self._data) > 1 else self._data[0])
                self._data.clear()
                if event is not None:
                    yield event

    def finish(self, produced: Produced) -> None:
        """Nothing is left to read: an event that has not ended says nothing."""


class Document:
    """A body of JSON."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> Iterable[dict[str, Any]]:
        """Keep the bytes: they say nothing before the last of them is there."""
        self._parts.append(data)
        return ()

    def finish(self, produced: Produced) -> None:
        """Read it, if it is all there."""
        answer = _decoded(b"".join(self._parts))
        if answer is None:
            produced.lose()
        else:
            produced.read_whole(answer)


class Unreadable:
    """A body of a kind that nobody here can read."""

    def feed(self, data: bytes) -> Iterable[dict[str, Any]]:
        """Let the bytes pass."""
        return ()

    def finish(self, produced: Produced) -> None:
        """Own up to it."""
        produced.lose()


def body_for(response: Any) -> Events | Document | Unreadable:
    """Return what reads the body of an HTTP response."""
    kind = str(response.headers.get("content-type", "")).lower()
    if "event-stream" in kind and "amazon" not in kind:
        return Events()
    return Document() if "json" in kind or response.is_closed else Unreadable()


class Wire(StreamedCall):
    """The keeper of an HTTP response: it books what has come over the wire, also what its reader has not looked at."""

    def __init__(self, call: MeteredCall, body: Events | Document | Unreadable) -> None:
        super().__init__(call)
        self._body = body

    def read(self, chunk: bytes) -> bool:
        """Note what bytes say; the reader gets them all."""
        for event in self._body.feed(chunk):
            self.produced.read(event)
        return True

    def finish(self) -> Produced:
        """Return what was produced, as far as the bytes say."""
        self._body.finish(self.produced)
        return self.produced

    def settle(self, *, is_good: bool) -> Operation[None]:
        """Book it. A provider that has begun to answer has read the prompt, so this is never free."""
        yield from self._call.settle(self.finish())


def read_whole(call: MeteredCall, response: Any) -> Produced:
    """Return what was produced for a call, by a response whose body is there."""
    wire = Wire(call, body_for(response))
    wire.read(response.content)
    return wire.finish()


def metered(response: Any, wire: Wire) -> None:
    """Have a response that nobody has read yet count its bytes, and settle when it is read, closed or thrown away."""
    vars(response)["_meter"] = _Meter(wire)
    kind = type(response)
    if kind not in _kinds:
        _kinds[kind] = type(kind.__name__, (_Metered, kind), {})
    response.__class__ = _kinds[kind]  # methods put on the response itself would form cycles with it


class _Meter:
    """What a response is counted with. It knows nothing of the response: what is thrown away ends at once."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.source: _Source | None = None

    def __del__(self) -> None:
        self.wire.abandon()

    def counted(self, chunks: Any, kind: type[Chunks | AsyncChunks]) -> Any:
        """Return bytes so that they are counted, the first time."""
        if self.source is not None:
            return chunks
        self.source = _Source(chunks)
        return kind(self.source, self.wire)

    def ends(self) -> bool:
        """Return whether it is over when the response is closed, and its caller can wait for what is to be done."""
        if self.source is not None and self.source.is_awaited:
            return False  # by a body that has ended: its reader gets the last bytes now
        if isinstance(sys.exc_info()[1], GeneratorExit):  # maybe in a destructor, which must not wait
            self.wire.hand_over()
            return False
        return True


class _Metered:
    """The methods of a response, sync and async, that all ways to read and to close it lead to."""

    _meter: _Meter

    def iter_bytes(self, chunk_size: int | None = None) -> Any:
        return self._meter.counted(super().iter_bytes(chunk_size), Chunks)  # type: ignore[misc]

    def aiter_bytes(self, chunk_size: int | None = None) -> Any:
        return self._meter.counted(super().aiter_bytes(chunk_size), AsyncChunks)  # type: ignore[misc]

    def close(self) -> None:
        meter = self._meter
        try:
            super().close()  # type: ignore[misc]
        finally:
            if meter.ends():
                meter.wire.manager.drive(meter.wire.end(is_good=True))

    async def aclose(self) -> None:
        meter = self._meter
        try:
            await super().aclose()  # type: ignore[misc]
        finally:
            if meter.ends():
                await meter.wire.manager.asettle(meter.wire.end(is_good=True))


class _Source:
    """Bytes that come, and whether somebody waits for them. It cannot be closed: its response is."""

    def __init__(self, chunks: Any) -> None:
        self._chunks = chunks
        self.is_awaited = False

    def __next__(self) -> bytes:
        self.is_awaited = True
        try:
            data: bytes = next(self._chunks)
            return data
        finally:
            self.is_awaited = False

    async def __anext__(self) -> bytes:
        self.is_awaited = True
        try:
            data: bytes = await anext(self._chunks)
            return data
        finally:
            self.is_awaited = False


def _decoded(data: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(data)
    except ValueError:  # cut short, or no JSON: [DONE]
        return None
    return value if isinstance(value, dict) else None
