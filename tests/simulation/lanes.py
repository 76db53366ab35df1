"""The threads of a process that work through a queue, as tasks of a world; and waiting for them in its time."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any, TypeVar

from coreason_budget.ledger.database import Database

from .clock import SECOND
from .scheduler import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreason_budget.conf import BudgetConfig

    from .process import Process
    from .scheduler import Task

T = TypeVar("T")


class WorldFuture(Future[T]):
    """A future whose waiter parks."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self._process = process

    def result(self, timeout: float | None = None) -> T:
        """Return the result, waiting for it in the time of the world."""
        if not self.done():
            scheduler = self._process.world.scheduler
            waiter = scheduler.current
            self.add_done_callback(lambda _: scheduler.wake(waiter))
            scheduler.park(None if timeout is None else round(timeout * SECOND))
        return self.outcome()

    async def aresult(self, timeout: float) -> T:  # noqa: ASYNC109  # it is the time of the world
        """See result()."""
        if not self.done():
            scheduler = self._process.world.scheduler
            waiter = scheduler.current
            self.add_done_callback(lambda _: scheduler.wake(waiter))
            await scheduler.apark(round(timeout * SECOND))
        return self.outcome()

    def outcome(self) -> T:
        if not self.done():
            raise FutureTimeoutError
        return super().result(0)


class WorldLane:
    """What ``ledger.lane.Lane`` is, on a task instead of a thread."""

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self._process = process
        self._jobs: deque[tuple[Callable[[], Any], WorldFuture[Any], object]] = deque()
        self._later: tuple[int, Callable[[], Any]] | None = None
        self._busy = False
        self._task: Task | None = None

    def submit(self, work: Callable[[], T], *, once: object = None, within: float = 0.0) -> WorldFuture[T]:
        """Queue a job and return its future; with ``once`` that of a job which waits in the queue under that name."""
        for _, waiting, name in self._jobs:
            if once is not None and name == once:
                return waiting
        future: WorldFuture[T] = WorldFuture(self._process)
        self._jobs.append((work, future, once))
        self._rouse()
        return future

    def submit_later(self, work: Callable[[], Any], seconds: float) -> None:
        """Do work once that time has passed, or at the next flush."""
        self._later = (self._process.world.clock.now + round(seconds * SECOND), work)
        self._rouse()

    def _rouse(self) -> None:
        scheduler = self._process.world.scheduler
        if self._task is None and not self._process.dead:
            self._task = scheduler.spawn(f"{self._process.name}.{self.name}", self._run, self._process)
        scheduler.wake(self._task)

    @property
    def waiting(self) -> int:
        return len(self._jobs) + self._busy

    @property
    def has_work(self) -> bool:
        """Whether there is something to do, now or later."""
        return bool(self.waiting or self._later)

    def is_own_thread(self) -> bool:
        return self._task is not None and self._process.world.scheduler.current is self._task

    def flush(self, timeout: float | None) -> bool:
        """Wait until all is done that is queued now, what was to be done later too."""
        if self._later is not None:
            (_, work), self._later = self._later, None
            self.submit(work)
        if self._process.dead or self._process.world.scheduler.closed:
            return True
        try:
            self.submit(lambda: None).result(timeout)
        except FutureTimeoutError:
            return False
        return True

    def stop(self, timeout: float) -> bool:
        return self.flush(timeout)

    def _run(self) -> None:
        scheduler, clock = self._process.world.scheduler, self._process.world.clock
        while True:
            if self._later is not None and self._later[0] <= clock.now:
                (_, work), self._later = self._later, None
                self.submit(work)
            if not self._jobs:
                due = NEVER if self._later is None else self._later[0]
                scheduler.park(None if due == NEVER else due - clock.now)
                continue
            work, future, _ = self._jobs.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            self._busy = True
            try:
                result = work()
            except Exception as error:  # noqa: BLE001  # it is the waiter's
                future.set_exception(error)
            else:
                future.set_result(result)
            finally:
                self._busy = False


class WorldDatabase(Database):
    """The ledger's database side as it is, with lanes of the world and waiting in its time."""

    def __init__(self, config: BudgetConfig, process: Process) -> None:
        super().__init__(config)
        self._queries = WorldLane("queries", process)  # type: ignore[assignment]
        self._writes = WorldLane("writes", process)  # type: ignore[assignment]

    @property
    def has_work(self) -> bool:
        """Whether a lane has something to do, now or later."""
        return bool(self._queries.has_work or self._writes.has_work)  # type: ignore[attr-defined]

    async def _await(self, future: Any) -> Any:
        try:
            return await future.aresult(self._timeout)
        except FutureTimeoutError:
            future.cancel()
            raise self._too_slow() from None
