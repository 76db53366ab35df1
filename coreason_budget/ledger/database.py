"""
The one place where the ledger's database work is done: on threads with autocommit connections of their own.

So neither ``ATOMIC_REQUESTS`` nor an ``atomic()`` block of the caller can roll a charge back or hide a row from a rebuild.
Where the work must see the caller's own connection (in a Django ``TestCase``, on an in-memory SQLite database) it runs
on that connection instead.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS, Error, connections, router

from ..exceptions import BudgetUnavailableError
from ..log import logger
from .lane import Lane, LaneFullError

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from ..conf import BudgetConfig

__all__ = ["Database", "deferred_writes", "in_request"]

T = TypeVar("T")

WRITES: Final = 10_000
QUERIES: Final = 10_000
FLUSH_AT_EXIT_SECONDS: Final = 5.0

in_request: ContextVar[bool] = ContextVar("coreason_budget_in_request", default=False)
_deferred: ContextVar[bool] = ContextVar("coreason_budget_deferred_writes", default=False)


@contextmanager
def deferred_writes() -> Iterator[None]:
    """Do not wait for the database after charges in this block; for batch jobs. The journal holds them meanwhile."""
    token = _deferred.set(True)
    try:
        yield
    finally:
        _deferred.reset(token)


class Database:
    """
    Runs the ledger's work on the database that the router names for ``SpendRecord``.

    Two threads: one answers operations that wait (``call``), one writes finished charges and keeps house (``write``,
    ``post``), so that nobody waits behind a backlog.
    """

    def __init__(self, config: BudgetConfig) -> None:
        self._work = config.database_work
        self._timeout = config.database_timeout
        self._queries = self._lane("queries", QUERIES)
        self._writes = self._lane("writes", WRITES)
        self._last_error = float("-inf")
        _flush_at_exit(self)

    def _lane(self, name: str, size: int) -> Lane:
        return Lane(name, size, prepare=_prepare_connections, tidy=_tidy_connections, idle=connections.close_all)

    @property
    def alias(self) -> str:
        """The database that spend records are written to."""
        from ..models import SpendRecord

        return router.db_for_write(SpendRecord) or DEFAULT_DB_ALIAS

    def call(self, work: Callable[[], T]) -> T:
        """
        Do work and return its result.

        Raise BudgetUnavailableError if the database fails or does not answer in time.
        """
        if self._queries.is_own_thread() or self._writes.is_own_thread():
            return _translated(work)
        if not self._is_inline():
            return self._wait(self._submit(self._queries, work))
        if _loop_is_running():
            return self._wait(self._submit(self._queries, _lending(self._connection(), work)))
        return _translated(work)

    async def acall(self, work: Callable[[], T]) -> T:
        """Do work and return its result, never on the event loop's thread. See call()."""
        if not self._may_be_inline():
            return await self._await(self._submit(self._queries, work))
        if self._is_inline() and self._connection().connection is not None:
            return await self._await(self._submit(self._queries, _lending(self._connection(), work)))
        result: T = await sync_to_async(self.call, thread_sensitive=True)(work)
        return result

    def write(self, work: Callable[[], Any]) -> None:
        """Do work later, in order; wait for it only where the caller is in no hurry (see ``_should_wait``)."""
        if self._is_inline():
            self._quietly(lambda: self.call(work))
            return
        future = self.post(work)
        if future is not None and self._should_wait():
            self._quietly(lambda: self._wait(future))

    async def awrite(self, work: Callable[[], Any]) -> None:
        """Do work later, in order. See write()."""
        if self._may_be_inline():
            try:
                await self.acall(work)
            except BudgetUnavailableError as error:
                self._report(error)
            return
        self.post(work)

    def post(self, work: Callable[[], Any]) -> Future[Any] | None:
        """Queue work for the writing thread. Return None if its queue is full: the journal keeps what it would write."""
        try:
            return self._writes.submit(self._reporting(work))
        except LaneFullError as error:
            self._report(error)
            return None

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all queued work is done, at most that many seconds. Return whether it is."""
        if self._writes.is_own_thread():
            return False
        return self._writes.flush(timeout)

    @property
    def waiting(self) -> int:
        """How many writes are queued in this process."""
        return self._writes.waiting

    def close(self, timeout: float = FLUSH_AT_EXIT_SECONDS) -> bool:
        """Finish what is queued, end the threads and close their connections. Return whether all was finished."""
        return all([self._writes.stop(timeout), self._queries.stop(timeout)])

    def is_inline(self) -> bool:
        """Tell whether work of this thread is done on its own connection."""
        return self._is_inline()

    # where the work is done ------------------------------------------------------------------------------------------

    def _connection(self) -> BaseDatabaseWrapper:
        return connections[self.alias]

    def _is_inline(self) -> bool:
        if self._work != "auto":
            return self._work == "inline"
        connection = self._connection()
        return _is_in_memory(connection) or _is_in_test_case(connection)

    def _may_be_inline(self) -> bool:
        """Tell whether some thread's work may be inline; the event loop's thread cannot see another's connection."""
        if self._work != "auto":
            return self._work == "inline"
        return _under_test() or _is_in_memory(self._connection())

    def _should_wait(self) -> bool:
        """A shell, script or task sees its records at once; a request, a loop or an open transaction does not wait."""
        connection = self._connection()
        manual = connection.connection is not None and not connection.autocommit
        if _deferred.get() or connection.in_atomic_block or manual:
            return False
        return _under_test() or not (in_request.get() or _loop_is_running())

    # waiting and errors ----------------------------------------------------------------------------------------------

    def _submit(self, lane: Lane, work: Callable[[], T]) -> Future[T]:
        try:
            return lane.submit(lambda: _translated(work))
        except LaneFullError as error:
            raise BudgetUnavailableError(str(error)) from error

    def _wait(self, future: Future[T]) -> T:
        try:
            return future.result(self._timeout)
        except FutureTimeoutError:
            future.cancel()
            raise self._too_slow() from None

    async def _await(self, future: Future[T]) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise self._too_slow() from None

    def _too_slow(self) -> BudgetUnavailableError:
        return BudgetUnavailableError(f"The database did not answer within {self._timeout:g} s.")

    def _reporting(self, work: Callable[[], Any]) -> Callable[[], Any]:
        def reported() -> Any:
            try:
                return _translated(work)
            except BudgetUnavailableError as error:
                self._report(error)
                raise

        return reported

    def _quietly(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except BudgetUnavailableError as error:
            self._report(error)

    def _report(self, error: Exception) -> None:
        """Log an error, but not the same trouble again within ten seconds: every charge would repeat it."""
        now = monotonic()
        if now - self._last_error > 10:
            self._last_error = now
            logger.error("Spend records wait in the journal: {}", error)


def _translated(work: Callable[[], T]) -> T:
    try:
        return work()
    except Error as error:
        raise BudgetUnavailableError(f"The database cannot be used: {type(error).__name__}: {error}") from error


def _lending(connection: BaseDatabaseWrapper, work: Callable[[], T]) -> Callable[[], T]:
    """Return work that runs on another thread with the caller's connection, while the caller waits for it."""
    alias = connection.alias

    def lent() -> T:
        own = connections[alias]
        connections[alias] = connection
        try:
            return work()
        finally:
            connections[alias] = own

    connection.inc_thread_sharing()
    return lent


def _prepare_connections() -> None:
    for connection in connections.all(initialized_only=True):
        connection.close_if_unusable_or_obsolete()
        if connection.connection is not None and not connection.get_autocommit():
            connection.set_autocommit(True)


def _tidy_connections() -> None:
    # A test runner drops its database at the end, which an open connection of another thread would prevent.
    if _under_test():
        connections.close_all()


def _is_in_memory(connection: BaseDatabaseWrapper) -> bool:
    return connection.vendor == "sqlite" and bool(connection.is_in_memory_db())  # type: ignore[attr-defined]


def _is_in_test_case(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether a TestCase's own transaction is open: the mark that ``atomic(durable=True)`` looks at."""
    return any(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)


def _under_test() -> bool:
    """Tell whether Django's test environment is set up in this process."""
    import sys

    utils = sys.modules.get("django.test.utils")
    return utils is not None and hasattr(utils._TestState, "saved_data")


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _flush_at_exit(database: Database) -> None:
    # threading's own exit hook comes first and does not wait for daemon threads; they still run in atexit handlers.
    reference = weakref.ref(database)

    def flush() -> None:
        alive = reference()
        if alive is not None and threading.current_thread() is threading.main_thread():
            alive.flush(FLUSH_AT_EXIT_SECONDS)

    atexit.register(flush)
