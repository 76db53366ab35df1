"""
What a request needs done, beside the ledger's own steps: the same two drivers perform them.

With these the life of a decorated call is one body for sync and async views.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.utils.functional import LazyObject, empty

from ..ledger.database import loop_is_running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ..ledger.steps import Context

__all__ = ["Hook", "User", "is_async", "is_unloaded", "seen_user"]


@dataclass(frozen=True, slots=True)
class Hook:
    """A function of the project, plain or ``async def``. It may query the database."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def perform(self, context: object) -> Any:
        """Return what the function returns."""
        answer = self.function(*self.args, **self.kwargs)
        return async_to_sync(partial(_awaited, answer))() if isawaitable(answer) else answer

    async def aperform(self, context: object) -> Any:
        """Return what the function returns; a plain one runs in a thread. See perform()."""
        if is_async(self.function):
            return await self.function(*self.args, **self.kwargs)
        answer = await sync_to_async(self.function)(*self.args, **self.kwargs)
        return await answer if isawaitable(answer) else answer


def is_async(function: Callable[..., Any]) -> bool:
    """Tell whether calling this gives an awaitable; of an object its ``__call__`` counts."""
    return iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


@dataclass(frozen=True, slots=True)
class User:
    """The user of a request (Django's or a framework's own), None without authentication."""

    request: Any

    def perform(self, context: Context) -> Any:
        """Return the user; loads it from the database at first use."""
        user = seen_user(self.request)
        if is_unloaded(user) and loop_is_running():  # the ORM cannot be used on the thread of a loop
            context.database.call(partial(bool, user))
        return user

    async def aperform(self, context: object) -> Any:
        """Return the user, loaded without blocking. See perform()."""
        user = seen_user(self.request)
        if not is_unloaded(user):
            return user
        if _is_of_django(user):
            return await self.request.auser()  # the view that awaits it too gets the same without a query
        await sync_to_async(bool)(user)
        return user


def seen_user(request: Any) -> Any:
    """Return the user of a request, without any query: lazy, unless somebody has looked at it before."""
    user = getattr(request, "user", None)
    if is_unloaded(user) and _is_of_django(user):
        return getattr(request, "_acached_user", user)  # what auser() keeps
    return user


def is_unloaded(user: object) -> bool:
    """Tell whether a user is lazy and nobody has looked at it yet."""
    return isinstance(user, LazyObject) and user.__dict__["_wrapped"] is empty


def _is_of_django(user: Any) -> bool:
    """Tell whether a lazy user is the one that auser() loads; other middleware may have put its own in its place."""
    return getattr(user.__dict__.get("_setupfunc"), "__module__", None) == "django.contrib.auth.middleware"
