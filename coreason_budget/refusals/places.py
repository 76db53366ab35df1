"""Where calls are asked for: a view and a path, which are only looked at if a call is refused."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Place", "here", "placed"]


@dataclass(frozen=True, slots=True)
class Place:
    """A view or task, named by a function because that takes time, and the path of a request without its query."""

    view: Callable[[], str]
    path: str = ""


_place: ContextVar[Place | None] = ContextVar("coreason_budget_place", default=None)


def here() -> Place | None:
    """Return where the running code asks, None if nobody has said."""
    return _place.get()


class placed:  # noqa: N801 - used as a function; a generator's context manager takes three times as long
    """Have calls in the block asked for at a place."""

    __slots__ = ("_before", "_place")

    def __init__(self, place: Place) -> None:
        self._place = place

    def __enter__(self) -> None:
        self._before = _place.get()
        _place.set(self._place)

    def __exit__(self, *_: object) -> None:
        _place.set(self._before)  # by value: the block may end in another context, where no token is valid
