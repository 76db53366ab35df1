"""
One body for sync and async: an operation is a generator that yields what it needs done, and one of two drivers does it.

``run`` performs the steps where it stands, ``arun`` awaits them. Whatever a step raises is thrown into the operation
at its ``yield``, so errors are handled in the one body too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from socket import gaierror
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from redis.exceptions import NoScriptError

from ..exceptions import BudgetUnavailableError

if TYPE_CHECKING:
    from django.dispatch import Signal

    from .connection import Connections
    from .database import Database

__all__ = ["Command", "Emit", "Operation", "Pause", "Query", "Step", "Twin", "Write", "arun", "run", "settle"]

T = TypeVar("T")


class Context(Protocol):
    """What steps are performed with."""

    connections: Connections
    database: Database
    sleep: Callable[[float], None]


class Step(Protocol):
    """One thing an operation needs done."""

    def perform(self, context: Context) -> Any:
        """Do it and return its result, blocking."""

    async def aperform(self, context: Context) -> Any:
        """Do it and return its result. See perform()."""


Operation = Generator[Step, Any, T]


class LostReplyError(BudgetUnavailableError):
    """The server did not answer in time or the connection broke: the command may have been executed."""


@dataclass(frozen=True, slots=True)
class Command:
    """A Redis command. Raises NoScriptError, LostReplyError, or BudgetUnavailableError for whatever else went wrong."""

    args: tuple[Any, ...]

    def perform(self, context: Context) -> Any:
        """Send the command and return the reply."""
        try:
            return context.connections.execute(self.args)
        except (NoScriptError, BudgetUnavailableError):
            raise
        except Exception as error:  # a driver raises what it likes; here, and only here, it becomes our error
            raise unavailable(error) from error

    async def aperform(self, context: Context) -> Any:
        """Send the command and return the reply. See perform()."""
        try:
            return await context.connections.aexecute(self.args)
        except (NoScriptError, BudgetUnavailableError):
            raise
        except Exception as error:  # as in perform()
            raise unavailable(error) from error


def unavailable(error: Exception) -> BudgetUnavailableError:
    """Return the driver's error as ours; errors after which the command may have run are told apart."""
    from redis.exceptions import ConnectionError as RedisConnectionLost
    from redis.exceptions import TimeoutError as RedisTimeout

    never_sent = isinstance(error.__cause__ or error.__context__, (ConnectionRefusedError, gaierror))
    lost = isinstance(error, (RedisConnectionLost, RedisTimeout, OSError)) and not never_sent
    kind = LostReplyError if lost else BudgetUnavailableError
    return kind(f"Redis cannot be used: {type(error).__name__}: {str(error) or 'it did not answer in time'}")


@dataclass(frozen=True, slots=True)
class Query:
    """Work on the database, done on the ledger's own connection; the operation waits for its result."""

    work: Callable[[], Any]

    def perform(self, context: Context) -> Any:
        """Do the work and return its result."""
        return context.database.call(self.work)

    async def aperform(self, context: Context) -> Any:
        """Do the work and return its result. See perform()."""
        return await context.database.acall(self.work)


@dataclass(frozen=True, slots=True)
class Write:
    """Work on the database that the operation hands over; it is waited for only where nobody is in a hurry."""

    work: Callable[[], Any]

    def perform(self, context: Context) -> None:
        """Hand the work over."""
        context.database.write(self.work)

    async def aperform(self, context: Context) -> None:
        """Hand the work over. See perform()."""
        await context.database.awrite(self.work)


@dataclass(frozen=True, slots=True)
class Emit:
    """A signal to send. Receivers that raise are logged by Django and break nothing."""

    signal: Signal
    sender: object
    values: Mapping[str, Any]

    def perform(self, context: Context) -> None:
        """Send it."""
        self.signal.send_robust(self.sender, **self.values)

    async def aperform(self, context: Context) -> None:
        """Send it; synchronous receivers run in a thread. See perform()."""
        await self.signal.asend_robust(self.sender, **self.values)


@dataclass(frozen=True, slots=True)
class Twin:
    """A method that has an ``a``-prefixed form."""

    target: object
    name: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def perform(self, context: object) -> Any:
        """Call the method."""
        return getattr(self.target, self.name)(*self.args, **self.kwargs)

    async def aperform(self, context: object) -> Any:
        """Call its asynchronous form. See perform()."""
        return await getattr(self.target, f"a{self.name}")(*self.args, **self.kwargs)


@dataclass(frozen=True, slots=True)
class Pause:
    """A short wait for somebody else to finish."""

    seconds: float

    def perform(self, context: Context) -> None:
        """Wait."""
        context.sleep(self.seconds)

    async def aperform(self, context: Context) -> None:
        """Wait. See perform()."""
        await asyncio.sleep(self.seconds)


def run(operation: Operation[T], context: Context) -> T:
    """Drive an operation to its end on this thread and return its result."""
    try:
        step = next(operation)
        while True:
            try:
                result = step.perform(context)
            except BaseException as error:  # noqa: BLE001  # it is for the operation to decide
                step = operation.throw(error)
            else:
                step = operation.send(result)
    except StopIteration as stop:
        value: T = stop.value
        return value


async def arun(operation: Operation[T], context: Context) -> T:
    """Drive an operation to its end on the running event loop and return its result. See run()."""
    try:
        step = next(operation)
        while True:
            try:
                result = await step.aperform(context)
            except BaseException as error:  # it is for the operation to decide
                if not _loop_is_running():  # it was closed in mid-call: nothing can be awaited any more
                    operation.close()
                    raise GeneratorExit from error
                step = operation.throw(error)
            else:
                step = operation.send(result)
    except StopIteration as stop:
        value: T = stop.value
        return value


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def settle(operation: Operation[T], context: Context) -> T:
    """
    Drive an operation that must not stop half-way: money that was spent is booked even if the caller is cancelled.

    The cancellation is raised once the operation has ended, which its time-outs bound.
    """
    task = asyncio.ensure_future(arun(operation, context))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                continue
        if not task.cancelled():
            task.exception()
        raise
