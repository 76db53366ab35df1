"""Streamed answers: the hold of a decorated call lives until its stream ends, breaks, or the client goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..metering.streams import AsyncChunks, Chunks

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from django.http import StreamingHttpResponse

    from ..ledger.steps import Operation
    from .budget import Frame

__all__ = ["hold_while_streaming"]


def hold_while_streaming(
    response: StreamingHttpResponse, frame: Frame, end: Callable[[bool], Operation[None]]
) -> StreamingHttpResponse:
    """
    Have a streamed answer perform ``end`` once its stream is over, however that comes about.

    It is told whether the stream was good: not if nobody began to read it, or if it failed.
    """
    # The raw iterator: what streaming_content returns is a wrapper that does not pass a close() on.
    chunks = response._iterator  # type: ignore[attr-defined]  # noqa: SLF001
    keeper = _Answer(frame, end)
    response.streaming_content = AsyncChunks(chunks, keeper) if response.is_async else Chunks(chunks, keeper)
    return response


class _Answer:
    """The decorated call that a streamed answer belongs to."""

    def __init__(self, frame: Frame, end: Callable[[bool], Operation[None]]) -> None:
        self._frame = frame
        self._end = end
        self._purse = frame.purse
        self.manager = frame.manager

    def entered(self) -> AbstractContextManager[None]:
        """Have what the stream does belong to the call."""
        return self._frame.entered()

    def read(self, chunk: Any) -> bool:
        """Pass every chunk on."""
        return True

    @property
    def is_due(self) -> bool:
        """Whether the hold would not live long enough for the next chunks."""
        return self._purse.is_due

    def renew(self) -> Operation[None]:
        """Keep the hold alive."""
        return self._purse.renew()

    def end(self, *, is_good: bool) -> Operation[None]:
        """End the call."""
        return self._end(is_good)

    def abandon(self) -> None:
        """Have the hold given back by another thread."""
        self._frame.hold.abandon()
