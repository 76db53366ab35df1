"""
The one place where the ledger's database work is done: on threads with autocommit connections of their own.

So neither ``ATOMIC_REQUESTS`` nor an ``atomic()`` block of the caller can roll a charge back or hide a row from a
rebuild. Where the work must see the caller's own connection (in a Django ``TestCase``, on an in-memory SQLite database)
it runs on that connection instead.
"""

from __future__ import annotations

import asyncio
import atexit
import weakref
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS, Error, connections, router, transaction

from ..exceptions import BudgetUnavailableError
from ..log import logger
from . import isolation
from .lane import Lane, LaneFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from django.db.backends.base.base import BaseDatabaseWrapper

    from ..conf import BudgetConfig
    from ..models import SpendRecord

__all__ = ["Database", "deferred_writes", "flush_all", "in_request", "loop_is_running"]

T = TypeVar("T")

WRITES: Final = 10_000
QUERIES: Final = 10_000
FLUSH_AT_EXIT_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 3.0
QUIET_SECONDS: Final = 10.0
HELD_BACK_SECONDS: Final = 30.0
#: So long a write that nobody waits for lets others join it: of ten together each costs a third of one alone.
JOINED_WITHIN: Final = 0.01

in_request: ContextVar[bool] = ContextVar("coreason_budget_in_request", default=False)
_deferred: ContextVar[bool] = ContextVar("coreason_budget_deferred_writes", default=False)
_all: weakref.WeakSet[Database] = weakref.WeakSet()


@contextmanager
def deferred_writes() -> Iterator[None]:
    """Do not wait for the database after charges in this block; for batch jobs. The journal holds them meanwhile."""
    token = _deferred.set(True)
    try:
        yield
    finally:
        _deferred.reset(token)


def flush_all(timeout: float) -> bool:
    """Wait until all managers of this process have done their queued work, at most that many seconds."""
    deadline = monotonic() + timeout
    flushed = [database.flush(max(0.0, deadline - monotonic())) for database in list(_all)]
    return all(flushed)


@atexit.register
def _flush_at_exit() -> None:
    # threading's own exit hook comes first and does not wait for daemon threads; they still run in atexit handlers.
    flush_all(FLUSH_AT_EXIT_SECONDS)


class Database:
    """
    Runs the ledger's work on the database that the router names for ``SpendRecord``.

    Two threads: one answers operations that wait (``call``), one writes finished charges and keeps house (``write``,
    ``post``), so that nobody waits behind a backlog.
    """

    def __init__(self, config: BudgetConfig) -> None:
        self._work = config.database_work
        self._timeout = config.database_timeout
        self._queries = Lane("queries", QUERIES, prepare=self._prepare, tidy=_tidy, end=_close_connections)
        self._writes = Lane("writes", WRITES, prepare=self._prepare, tidy=_tidy, end=_close_connections)
        self._last_error = float("-inf")
        self._in_memory: dict[str, bool] = {}
        _all.add(self)

    @property
    def alias(self) -> str:
        """The database that spend records are written to."""
        return router.db_for_write(_spend_record()) or DEFAULT_DB_ALIAS

    def call(self, work: Callable[[], T]) -> T:
        """
        Do work and return its result.

        Raise BudgetUnavailableError if the database fails or does not answer in time.
        """
        if self._is_own_thread():
            return _translated(work)
        own = self._connection()
        connection = self._inline_connection(own)
        if connection is None:
            return self._wait(self._submit(work))
        if connection is own and not loop_is_running():
            return _translated(work)
        return self._wait(self._submit(_lending(connection, work)))

    async def acall(self, work: Callable[[], T]) -> T:
        """Do work and return its result, never on the event loop's thread. See call()."""
        if not self._may_be_inline():
            return await self._await(self._submit(work))
        # A loop has no connection of its own; the one that counts may be that of the thread where sync work is run.
        result: T = await sync_to_async(self.call, thread_sensitive=True)(work)
        return result

    def write(self, work: Callable[[], Any]) -> None:
        """
        Do work later, in order; wait for it only where the caller is in no hurry (see ``_should_wait``).

        Work that is queued already and has not begun is not queued again: it writes all that there is by then. Where
        nobody waits it begins a little later, so that others join it.

        SQLite has one writer, and a transaction that has read cannot wait for another: it fails. So the work of a
        caller in one is done when that is committed.

        Errors are logged, and the work is done again after a while: it must write all that is still to be written.
        """
        if self._is_own_thread():
            self._reported(work, again=work)
            return
        connection = self._connection()
        if self._inline_connection(connection) is not None:
            self._reported(lambda: self.call(work))
        elif connection.vendor == "sqlite" and connection.in_atomic_block:
            self._hold_back(work)
        else:
            waits = self._should_wait(connection)
            future = self._post(
                lambda: self._reported(work, again=work), once=work, within=0.0 if waits else JOINED_WITHIN
            )
            if future is not None and waits:
                with suppress(FutureTimeoutError, BudgetUnavailableError):  # it stays queued, or is done with the next
                    future.result(self._timeout)

    async def awrite(self, work: Callable[[], Any]) -> None:
        """Do work later, in order. See write()."""
        if not self._may_be_inline():
            self._post(lambda: self._reported(work, again=work), once=work, within=JOINED_WITHIN)
            return
        try:
            await self.acall(work)
        except BudgetUnavailableError as error:
            self._report(error)

    def post(self, work: Callable[[], Any]) -> bool:
        """Have the writing thread do work. Return False if its queue is full: the journal has what it would write."""
        return self._post(lambda: self._reported(work)) is not None

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all queued work is done, at most that many seconds. Return whether it is."""
        return not self._writes.is_own_thread() and self._writes.flush(timeout)

    @property
    def waiting(self) -> int:
        """How many writes are queued in this process."""
        return self._writes.waiting

    def close(self, timeout: float = FLUSH_AT_EXIT_SECONDS) -> bool:
        """Finish what is queued, end the threads and close their connections. Return whether all was finished."""
        return all([self._writes.stop(timeout), self._queries.stop(timeout)])

    def is_inline(self) -> bool:
        """Tell whether work of this thread is done on a connection that the caller uses too."""
        return not self._is_own_thread() and self._inline_connection(self._connection()) is not None

    # where the work is done ------------------------------------------------------------------------------------------

    def _connection(self) -> BaseDatabaseWrapper:
        return connections[self.alias]

    def _is_own_thread(self) -> bool:
        return self._queries.is_own_thread() or self._writes.is_own_thread()

    def _inline_connection(self, own: BaseDatabaseWrapper) -> BaseDatabaseWrapper | None:
        """Return the connection that this thread's work has to be done on, None if it is the ledger's own."""
        if self._work == "inline":
            return own
        isolated = isolation.current()
        if self._work == "thread" and isolated is None:
            return None
        if isolation.is_in_test_case(own):
            return own
        test = own if isolated is None or isolated.database is None else isolated.database
        if test is not own and isolation.is_in_test_case(test):
            return test
        return test if _is_in_memory(own) else None

    def _may_be_inline(self) -> bool:
        """Tell whether some thread's work may be inline; the event loop's thread cannot see another's connection."""
        if self._work != "auto" and isolation.current() is None:
            return self._work == "inline"
        return isolation.under_test() or self._is_in_memory()

    def _is_in_memory(self) -> bool:
        """Tell whether the database is in memory. It is looked up once: a new task would make a connection for it."""
        alias = self.alias
        known = self._in_memory.get(alias)
        if known is None:
            known = self._in_memory[alias] = _is_in_memory(connections[alias])
        return known

    def _should_wait(self, connection: BaseDatabaseWrapper) -> bool:
        """Tell whether a write is waited for: in a shell, script or task, not in a request, loop or transaction."""
        manual = connection.connection is not None and not connection.autocommit
        if _deferred.get() or connection.in_atomic_block or manual:
            return False
        return isolation.under_test() or not (in_request.get() or loop_is_running())

    def _hold_back(self, work: Callable[[], Any]) -> None:
        """Have work done once the caller's transaction is committed, or after a while if it never is."""

        def write() -> None:
            self._reported(work, again=work)

        transaction.on_commit(lambda: self._post(write), using=self.alias, robust=True)
        with suppress(LaneFullError):
            self._writes.submit_later(write, HELD_BACK_SECONDS)

    # waiting and errors ----------------------------------------------------------------------------------------------

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        try:
            return self._queries.submit(lambda: _translated(work))
        except LaneFullError as error:
            raise BudgetUnavailableError(str(error)) from error

    def _post(self, work: Callable[[], Any], once: object = None, within: float = 0.0) -> Future[Any] | None:
        try:
            return self._writes.submit(work, once=once, within=within)
        except LaneFullError as error:
            self._report(error)
            return None

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

    def _reported(self, work: Callable[[], Any], *, again: Callable[[], Any] | None = None) -> None:
        """Do work; log what it raises, and do it ``again`` after a while."""
        try:
            _translated(work)
        except BudgetUnavailableError as error:
            self._report(error)
            if again is not None:
                self._writes.submit_later(lambda: self._reported(again, again=again), RETRY_SECONDS)
        except Exception as error:  # noqa: BLE001 - nobody else would see it
            logger.opt(exception=error).error("The ledger's work failed: {!r}", error)

    def _report(self, error: Exception) -> None:
        """Log an error, but not the same trouble again within a while: every charge would repeat it."""
        now = monotonic()
        if now - self._last_error > QUIET_SECONDS:
            self._last_error = now
            logger.error("Spend records wait in the journal: {}", error)

    def _prepare(self) -> None:
        """Make the connections of a lane's thread fit for a job. Raise BudgetUnavailableError."""
        _translated(self._mend_connections)

    def _mend_connections(self) -> None:
        own = self._connection()
        if own.settings_dict["CONN_MAX_AGE"] == 0:
            # That is until the end of a request, and these threads have none. To connect for every job cost PostgreSQL
            # 20 ms each; Django tries a connection before it is used again, and it is closed when the thread ends.
            own.close_at = None
            own.health_check_enabled = True  # type: ignore[attr-defined] # the stubs do not know it
        for connection in connections.all(initialized_only=True):
            connection.close_if_unusable_or_obsolete()
        if not own.settings_dict["AUTOCOMMIT"]:
            own.set_autocommit(True)


@cache
def _spend_record() -> type[SpendRecord]:
    from ..models import SpendRecord

    return SpendRecord


def loop_is_running() -> bool:
    """Tell whether the caller is on the thread of a running event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


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
        connection.inc_thread_sharing()
        try:
            return work()
        finally:
            connection.dec_thread_sharing()
            connections[alias] = own

    return lent


def _tidy() -> None:
    # A test runner drops its database at the end, which an open connection of another thread would prevent.
    if isolation.under_test():
        _close_connections()


def _close_connections() -> None:
    for connection in connections.all(initialized_only=True):
        with suppress(Error):
            connection.close()


def _is_in_memory(connection: BaseDatabaseWrapper) -> bool:
    return connection.vendor == "sqlite" and bool(connection.is_in_memory_db())  # type: ignore[attr-defined]
