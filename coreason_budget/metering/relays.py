"""A provider's stream as its reader gets it: it behaves as the provider's own, and is booked however it ends."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from ..exceptions import StreamConsumedError
from .streams import AsyncChunks, Chunks, close_soon

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["AsyncRelay", "Relay"]


class _Passing:
    """Whatever else the provider's stream has: it is there under the same name."""

    _chunks: Any
    _is_over: bool

    def __getattr__(self, name: str) -> Any:
        if name == "_chunks":  # not set yet
            raise AttributeError(name)
        return getattr(self._chunks, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._chunks!r}>"

    @property  # type: ignore[misc]  # isinstance() asks for it: code that tells streams by their class still does
    def __class__(self) -> type:
        return type(self._chunks)

    def _begin(self) -> None:
        if self._is_over:
            raise StreamConsumedError(
                "This stream was read to its end or closed: a provider sends an answer once. Keep its chunks in a "
                "list to go through them again."
            )


class Relay(_Passing, Chunks):
    """A stream that is read with ``for``; a context manager that closes it."""

    def __iter__(self) -> Self:
        self._begin()
        return self

    def __del__(self) -> None:
        is_over = self._is_over
        super().__del__()
        close = None if is_over else getattr(self._chunks, "close", None)
        if close is not None:
            with suppress(Exception):  # or the provider goes on, and bills what nobody gets
                close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncRelay(_Passing, AsyncChunks):
    """A stream that is read with ``async for``. See Relay."""

    def __aiter__(self) -> Self:
        self._begin()
        return self

    def __del__(self) -> None:
        is_over = self._is_over
        super().__del__()
        aclose = None if is_over else getattr(self._chunks, "aclose", None)
        if aclose is not None:
            close_soon(aclose)  # or the provider goes on, and bills what nobody gets

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
