"""
Runs many tasks on one thread, one step at a time, in an order that a seed decides.

A task of synchronous code is a greenlet, so the code under test is the real one and knows nothing of it: whatever it
does, it parks where a wire, a query or a pause would make it wait. A task of asynchronous code is a coroutine on an
event loop that is run by single turns.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, Final

from greenlet import getcurrent, greenlet

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from random import Random

    from django.db.backends.base.base import BaseDatabaseWrapper

    from .clock import Clock
    from .process import Process

__all__ = ["Ended", "Scheduler", "Task", "Thread"]

#: When a task that waits for somebody else to wake it is due.
NEVER: Final = 1 << 62

_strand: ContextVar[Strand] = ContextVar("strand")


class Ended(BaseException):
    """The world of a task has ended, or its process was killed: nothing it does has an effect any more."""


class Task:
    """
    Something that runs until it parks. ``wake`` is when it is due, in ms; ``process`` dies with all its tasks.

    ``connection`` is the database connection of its thread, where that is not the ledger's.
    """

    def __init__(self, name: str, process: Process | None) -> None:
        self.name = name
        self.process = process
        self.wake = 0
        self.done = False
        self.error: BaseException | None = None
        self.interrupt: BaseException | None = None
        self.connection: BaseDatabaseWrapper | None = None

    def resume(self) -> None:
        """Run on until the task parks or ends."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop the task with an exception that it may handle."""
        raise NotImplementedError

    def end(self) -> None:
        """Make a parked task run to its end; the world is closed by now."""
        raise NotImplementedError


class Thread(Task):
    """A task of synchronous code."""

    def __init__(self, name: str, process: Process | None, hub: greenlet, work: Callable[[], Any]) -> None:
        super().__init__(name, process)
        self._greenlet = greenlet(self._run, hub)  # where it ends is where the scheduler runs, not who made it
        self._work = work

    def _run(self) -> None:
        try:
            self._work()
        except Ended:
            pass
        except BaseException as error:  # noqa: BLE001  # the world looks at it
            self.error = error
        self.done = True

    def resume(self) -> None:
        self._greenlet.switch()

    def stop(self) -> None:
        self.interrupt = SystemExit()
        if self._greenlet:
            self.resume()

    def end(self) -> None:
        while not self.done and self._greenlet:
            self._greenlet.throw(Ended)
        self.done = True


class Strand(Task):
    """A task of asynchronous code: a coroutine on the loop of the world."""

    def __init__(
        self,
        name: str,
        process: Process | None,
        loop: asyncio.AbstractEventLoop,
        work: Callable[[], Coroutine[Any, Any, Any]],
    ) -> None:
        super().__init__(name, process)
        self._loop = loop
        self._work = work
        self._task: asyncio.Task[Any] | None = None
        self.parked: asyncio.Future[None] | None = None

    async def _run(self) -> None:
        _strand.set(self)
        try:
            await self._work()
        except (Ended, asyncio.CancelledError):
            pass
        except BaseException as error:  # noqa: BLE001  # the world looks at it
            self.error = error

    def resume(self) -> None:
        if self._task is None:
            self._task = self._loop.create_task(self._run(), context=copy_context())
        elif self.parked is not None:
            parked, self.parked = self.parked, None
            parked.set_result(None)
        self._turn()

    def stop(self) -> None:
        if self._task is None or self._task.done():
            return
        self._task.cancel()  # as a web server does whose client has gone
        if self.parked is not None and self.parked.cancelled():
            self.parked = None
        self._loop.call_soon(self._loop.stop)
        self._loop.run_forever()
        self._turn()

    def end(self) -> None:
        while self._task is not None and not self._task.done():
            if self.parked is not None and not self.parked.done():
                self.parked.set_exception(Ended())
                self.parked = None
            self._turn()
        self.done = True

    def _turn(self) -> None:
        while self._task is not None and not self._task.done() and self.parked is None:
            self._loop.call_soon(self._loop.stop)
            self._loop.run_forever()
        self.done = self._task is not None and self._task.done()


class Scheduler:
    """
    Runs tasks, one at a time and one step at a time. The time goes on when nobody is due.

    ``connect`` is told whose connection is the thread's from now on, None for the ledger's.
    """

    def __init__(
        self,
        random: Random,
        clock: Clock,
        loop: asyncio.AbstractEventLoop | None,
        connect: Callable[[BaseDatabaseWrapper | None], None],
    ) -> None:
        self._random = random
        self._clock = clock
        self._loop = loop
        self._connect = connect
        self._hub = getcurrent()
        self._graveyard: list[Task] = []
        self._finished: list[Task] = []
        self.tasks: list[Task] = []
        self.current: Task | None = None
        self.closed = False

    def spawn(self, name: str, work: Callable[[], Any], process: Process | None = None, *, after: int = 0) -> Task:
        """Have synchronous work done, beginning after so many ms."""
        return self._add(Thread(name, process, self._hub, work), after)

    def spawn_async(
        self, name: str, work: Callable[[], Coroutine[Any, Any, Any]], process: Process, *, after: int = 0
    ) -> Task:
        """Have asynchronous work done, beginning after so many ms."""
        assert self._loop is not None
        return self._add(Strand(name, process, self._loop, work), after)

    def _add(self, task: Task, after: int) -> Task:
        task.wake = self._clock.now + after
        self.tasks.append(task)
        return task

    # parking ---------------------------------------------------------------------------------------------------------

    def park(self, ms: int | None) -> None:
        """Let others run; go on after so many ms, or when somebody wakes the task. For synchronous code."""
        task = self._prepare(ms)
        self._hub.switch()
        self._on_resume(task)

    async def apark(self, ms: int | None) -> None:
        """See park(). For asynchronous code."""
        strand = _strand.get()
        self.current = strand  # another task on the loop may have run since
        self._prepare(ms)
        parked = strand.parked = asyncio.get_running_loop().create_future()
        await parked
        self._on_resume(strand)

    def _prepare(self, ms: int | None) -> Task:
        task = self.current
        if self.closed or task is None or task not in self.tasks:
            raise Ended
        task.wake = NEVER if ms is None else self._clock.now + ms
        return task

    def _on_resume(self, task: Task) -> None:
        if self.closed:
            raise Ended
        if task.interrupt is not None:
            interrupt, task.interrupt = task.interrupt, None
            raise interrupt

    def wake(self, task: Task | None) -> None:
        """Let a parked task go on now."""
        if task is not None:
            task.wake = min(task.wake, self._clock.now)

    # running ---------------------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Run one step of a task that is due; else let the time go on to the next. Return False if nobody waits."""
        now = self._clock.now
        due = [task for task in self.tasks if task.wake <= now]
        if not due:
            wake = min((task.wake for task in self.tasks), default=NEVER)
            if wake == NEVER:
                return False
            self._clock.now = wake
            return True
        task = due[0] if len(due) == 1 else due[self._random.randrange(len(due))]
        self._run(task, task.resume)
        return True

    def interrupt(self, task: Task) -> None:
        """Stop a task with an exception that it may handle."""
        self._run(task, task.stop)

    def _run(self, task: Task, work: Callable[[], None]) -> None:
        self.current = task
        self._connect(task.connection)
        work()
        self._connect(None)
        self.current = None
        if task.done:
            self.tasks.remove(task)
            self._finished.append(task)

    def take_finished(self) -> list[Task]:
        """Return the tasks that have ended since the last time."""
        finished, self._finished = self._finished, []
        return finished

    def kill(self, process: Process) -> int:
        """Stop all tasks of a process where they stand, with no handler run. Return how many there were."""
        dead = [task for task in self.tasks if task.process is process]
        self.tasks = [task for task in self.tasks if task.process is not process]
        self._graveyard += dead  # collecting them now would run their handlers
        return len(dead)

    def close(self) -> None:
        """End all tasks. Their handlers run, and nothing that they do has an effect."""
        self.closed = True
        for task in (*self._graveyard, *self.tasks):
            self._connect(task.connection)
            task.end()
        self._connect(None)
        self._graveyard.clear()
        self.tasks.clear()
