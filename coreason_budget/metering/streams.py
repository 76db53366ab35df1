"""Chunks that come one by one: what holds money for them is told how they end, whichever way that is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from asgiref.sync import async_to_sync

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractContextManager

    from ..ledger.steps import Operation
    from ..manager import BudgetManager

__all__ = ["AsyncChunks", "Chunks", "Keeper", "close_soon"]

_closing: Final[set[asyncio.Task[None]]] = set()  # a loop keeps only weak references to its tasks


class Keeper(Protocol):
    """Whoever holds money while chunks come."""

    manager: BudgetManager

    def entered(self) -> AbstractContextManager[None]:
        """Return the context in which the source of the chunks runs."""

    def read(self, chunk: Any) -> bool:
        """Note a chunk and return whether the reader of the stream gets it."""

    @property
    def is_due(self) -> bool:
        """Whether the money would not be held for as long as the next chunks may take."""

    def renew(self) -> Operation[None]:
        """Have it held for longer."""

    def end(self, *, is_good: bool) -> Operation[None]:
        """Settle. ``is_good`` is False if the stream failed or nobody began to read it."""

    def abandon(self) -> None:
        """Settle where nothing can be waited for: no input or output, and no event loop."""


class _Kept:
    """Chunks and their keeper."""

    def __init__(self, chunks: Any, keeper: Keeper) -> None:
        self._chunks = chunks
        self._keeper = keeper
        self._is_good = False
        self._is_over = False

    def __del__(self) -> None:
        self._abandon()  # nobody closed it: it was thrown away, or could not be sent

    def _abandon(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._keeper.abandon()

    def _learn(self, error: BaseException) -> None:
        """Note how it ends: of itself or because the reader goes, which is good, or because it failed."""
        self._is_good = not isinstance(error, Exception) or isinstance(error, (StopIteration, StopAsyncIteration))

    def _over(self) -> Operation[None]:
        self._is_over = True
        return self._keeper.end(is_good=self._is_good)


class Chunks(_Kept):
    """The chunks of a plain iterator."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        self._is_good = True
        try:
            if self._keeper.is_due:
                self._keeper.manager.drive(self._keeper.renew())
            while True:
                with self._keeper.entered():
                    chunk = next(self._chunks)
                if self._keeper.read(chunk):
                    return chunk
        except BaseException as error:
            self._learn(error)
            self._finish()
            raise

    def close(self) -> None:
        """End it: first its source, which may still charge."""
        try:
            close = getattr(self._chunks, "close", None)
            if close is not None and not self._is_over:
                with self._keeper.entered():
                    close()
        finally:
            self._finish()

    def _finish(self) -> None:
        if not self._is_over:
            self._keeper.manager.drive(self._over())


class AsyncChunks(_Kept):
    """The chunks of an asynchronous iterator."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        self._is_good = True
        try:
            if self._keeper.is_due:
                await self._keeper.manager.asettle(self._keeper.renew())
            while True:
                with self._keeper.entered():
                    chunk = await anext(self._chunks)
                if self._keeper.read(chunk):
                    return chunk
        except GeneratorExit:  # the event loop is no more: nothing can be awaited
            self._abandon()
            raise
        except BaseException as error:
            self._learn(error)
            await self._finish()
            raise

    async def aclose(self) -> None:
        """End it. See Chunks.close()."""
        try:
            aclose = getattr(self._chunks, "aclose", None)
            if aclose is not None and not self._is_over:
                with self._keeper.entered():
                    await aclose()
        except GeneratorExit:  # as above
            self._abandon()
            raise
        finally:
            await self._finish()

    def close(self) -> None:
        """End it where it cannot be awaited; Django does so in a thread under ASGI. See aclose()."""
        if not self._is_over and not close_soon(self.aclose):
            async_to_sync(self.aclose)()

    async def _finish(self) -> None:
        if not self._is_over:
            await self._keeper.manager.asettle(self._over())


def close_soon(aclose: Callable[[], Coroutine[Any, Any, None]]) -> bool:
    """Have the running event loop close something, and return whether there is one."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return False
    task = loop.create_task(aclose())
    _closing.add(task)
    task.add_done_callback(_closing.discard)
    return True
