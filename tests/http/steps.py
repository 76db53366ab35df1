"""Views and streams that are written once: generators that yield what they do with the budget, run sync or async."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial, wraps
from inspect import isgenerator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

__all__ = ["Do", "as_async", "as_sync", "async_chunks", "call", "charge", "chunks", "do"]


@dataclass(frozen=True, slots=True)
class Do:
    """A call by its sync name; async code awaits the one with an ``a`` in front."""

    target: Any
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)

    def perform(self) -> Any:
        return getattr(self.target, self.name)(*self.args, **self.kwargs)

    async def aperform(self) -> Any:
        return await getattr(self.target, f"a{self.name}")(*self.args, **self.kwargs)


def do(target: Any, name: str, /, *args: Any, **kwargs: Any) -> Do:
    """Have a view call this: ``hold = yield do(service, "reserve", user_id)``."""
    return Do(target, name, args, kwargs)


class _Function:
    """A view as something with a sync name; of an asynchronous site it is awaited."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.call = self.acall = function


def call(view: Callable[..., Any], *args: Any, **kwargs: Any) -> Do:
    """Have a view call another one of its kind: ``response = yield call(inner, request)``."""
    return Do(_Function(view), "call", args, kwargs)


def charge(request: Any, cost: str = "0.2", **options: Any) -> Do:
    """Have a view charge to the request's budget."""
    return do(request.budget, "charge", cost=cost, **options)


def as_sync(body: Callable[..., Any]) -> Callable[..., Any]:
    """Return a plain view of a body."""

    @wraps(body)
    def view(*args: Any, **kwargs: Any) -> Any:
        steps = body(*args, **kwargs)
        if not isgenerator(steps):
            return steps
        advance = partial(next, steps)
        while True:
            try:
                step = advance()
            except StopIteration as stop:
                return stop.value
            try:
                advance = partial(steps.send, step.perform())
            except BaseException as error:  # noqa: BLE001  # it is for the body to decide
                advance = partial(steps.throw, error)

    return view


def as_async(body: Callable[..., Any]) -> Callable[..., Any]:
    """Return an asynchronous view of a body."""

    @wraps(body)
    async def view(*args: Any, **kwargs: Any) -> Any:
        steps = body(*args, **kwargs)
        if not isgenerator(steps):
            return steps
        advance = partial(next, steps)
        while True:
            try:
                step = advance()
            except StopIteration as stop:
                return stop.value
            try:
                advance = partial(steps.send, await step.aperform())
            except BaseException as error:  # noqa: BLE001  # it is for the body to decide
                advance = partial(steps.throw, error)

    return view


def chunks(steps: Generator[Any, Any, None]) -> Iterator[Any]:
    """Stream what a body yields, but for what it wants done."""
    advance = partial(next, steps)
    while True:
        try:
            item = advance()
        except StopIteration:
            return
        try:
            if isinstance(item, Do):
                advance = partial(steps.send, item.perform())
            else:
                yield item
                advance = partial(next, steps)
        except BaseException as error:  # noqa: BLE001  # it is for the body to decide
            advance = partial(steps.throw, error)


async def async_chunks(steps: Generator[Any, Any, None]) -> AsyncIterator[Any]:
    """See chunks()."""
    advance = partial(next, steps)
    while True:
        try:
            item = advance()
        except StopIteration:
            return
        try:
            if isinstance(item, Do):
                advance = partial(steps.send, await item.aperform())
            else:
                yield item
                advance = partial(next, steps)
        except BaseException as error:  # noqa: BLE001  # it is for the body to decide
            advance = partial(steps.throw, error)
