"""Streamed answers: the hold of a decorated call lives until its stream ends, breaks, or the client goes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self

from asgiref.sync import async_to_sync

from ..exceptions import BudgetUnavailableError, HoldClosedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import StreamingHttpResponse

    from ..ledger.steps import Operation
    from .budget import Frame

__all__ = ["hold_while_streaming"]

_closing: Final[set[asyncio.Task[None]]] = set()  # a loop keeps only weak references to its tasks


def hold_while_streaming(
    response: StreamingHttpResponse, frame: Frame, end: Callable[[bool], Operation[None]]
) -> StreamingHttpResponse:
    """
    Have a streamed answer perform ``end`` once its stream is over, however that comes about.

    It is told whether the stream was good: not if nobody began to read it, or if it failed.
    """
    # The raw iterator: what streaming_content returns is a wrapper that does not pass a close() on.
    chunks = response._iterator  # type: ignore[attr-defined]  # noqa: SLF001
    held = AsyncChunks(chunks, frame, end) if response.is_async else Chunks(chunks, frame, end)
    response.streaming_content = held
    return response


class _Held:
    """A stream and the hold that it lives on."""

    def __init__(self, chunks: Any, frame: Frame, end: Callable[[bool], Operation[None]]) -> None:
        self._chunks = chunks
        self._frame = frame
        self._end = end
        self._is_good = False
        self._is_over = False
        self._pause = frame.manager.config.hold_ttl / 2
        self._extend_at = frame.since + self._pause  # the view may have taken long before it returned the stream

    def __del__(self) -> None:
        self._abandon()  # nobody closed it: a middleware threw the answer away, or the server could not send it

    def _abandon(self) -> None:
        """End it where nothing can be waited for."""
        if not self._is_over:
            self._is_over = True
            self._frame.hold.abandon()

    def _learn(self, error: BaseException) -> None:
        """Note how it ends: of itself or because the client goes, which is good, or because it failed."""
        self._is_good = not isinstance(error, Exception) or isinstance(error, (StopIteration, StopAsyncIteration))

    def _must_extend(self) -> bool:
        """Return whether the hold would not live long enough for the next chunks."""
        if monotonic() < self._extend_at:
            return False
        self._extend_at = monotonic() + self._pause
        return True


class Chunks(_Held):
    """The chunks of a plain iterator."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._must_extend():
            with suppress(HoldClosedError, BudgetUnavailableError):
                self._frame.hold.extend()
        self._is_good = True
        try:
            with self._frame.entered():
                return next(self._chunks)
        except BaseException as error:
            self._learn(error)
            self._finish()
            raise

    def close(self) -> None:
        """End it. Django calls this when the answer was sent, or could not be."""
        try:
            close = getattr(self._chunks, "close", None)
            if close is not None and not self._is_over:
                with self._frame.entered():
                    close()
        finally:
            self._finish()

    def _finish(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._frame.manager.drive(self._end(self._is_good))


class AsyncChunks(_Held):
    """The chunks of an asynchronous iterator."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._must_extend():
            with suppress(HoldClosedError, BudgetUnavailableError):
                await self._frame.hold.aextend()
        self._is_good = True
        try:
            with self._frame.entered():
                return await anext(self._chunks)
        except GeneratorExit:  # the event loop is no more: nothing can be awaited
            self._abandon()
            raise
        except BaseException as error:
            self._learn(error)
            await self._finish()
            raise

    async def aclose(self) -> None:
        """End it: first the view's own generator, so that it may still charge."""
        try:
            aclose = getattr(self._chunks, "aclose", None)
            if aclose is not None and not self._is_over:
                with self._frame.entered():
                    await aclose()
        except GeneratorExit:  # as above
            self._abandon()
            raise
        finally:
            await self._finish()

    def close(self) -> None:
        """End it. Django calls this when the answer was sent, or could not be; under ASGI in a thread. See aclose()."""
        if self._is_over:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            async_to_sync(self.aclose)()
            return
        task = loop.create_task(self.aclose())
        _closing.add(task)
        task.add_done_callback(_closing.discard)

    async def _finish(self) -> None:
        if not self._is_over:
            self._is_over = True
            await self._frame.manager.asettle(self._end(self._is_good))
