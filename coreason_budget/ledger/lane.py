"""One daemon thread that works through a queue. It starts at first need and ends when there is nothing to do."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Lane", "LaneFullError"]

T = TypeVar("T")

IDLE_SECONDS: Final = 60.0


class LaneFullError(RuntimeError):
    """The work was not taken: the queue is full, or the interpreter ends and no thread can be started any more."""


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[], Any]
    future: Future[Any]
    once: object = None
    due: float = 0.0


class Lane:
    """
    A queue and its thread.

    ``prepare`` runs on the thread before each job, ``tidy`` after it and before the waiter is told; ``end`` runs when
    the thread ends, which it does when it is stopped or has had nothing to do for ``idle_seconds``. None of them but
    ``prepare`` may raise.
    """

    def __init__(
        self,
        name: str,
        size: int,
        *,
        prepare: Callable[[], None],
        tidy: Callable[[], None],
        end: Callable[[], None],
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.name = name
        self._size = size
        self._prepare = prepare
        self._tidy = tidy
        self._end = end
        self._idle_seconds = idle_seconds
        self.start_afresh()
        _lanes.add(self)

    def start_afresh(self) -> None:
        """Forget the thread and its jobs: in a forked child they are the parent's."""
        self._changed = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._once: dict[object, _Job] = {}
        self._unfinished = 0
        self._hurries = False  # somebody waits: jobs that wait for others to join them begin
        self._later: tuple[float, Callable[[], Any]] | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None

    def submit(self, work: Callable[[], T], *, once: object = None, within: float = 0.0) -> Future[T]:
        """
        Queue a job and return its future; with ``once`` that of a job which waits in the queue under that name.

        It begins ``within`` so many seconds, so that others can join it under its name; at once if somebody waits or
        another job does. Raise LaneFullError if it cannot be taken.
        """
        # A job that is seen there has not begun, with the lock or without.
        if once is not None and within and (waiting := self._once.get(once)) is not None:
            return waiting.future
        with self._changed:
            if not within:
                self._hurry()
            if once is not None and once in self._once:
                return self._once[once].future
            if len(self._jobs) >= self._size:
                raise LaneFullError(f"The queue of {self.name} is full ({self._size} jobs).")
            self._ensure_thread()
            job = _Job(work, Future(), once, monotonic() + within if within else 0.0)
            if once is not None:
                self._once[once] = job
            self._add(job)
        return job.future

    def submit_later(self, work: Callable[[], Any], seconds: float) -> None:
        """Do work once that time has passed, or at the next flush; in place of what was to be done later before."""
        with self._changed:
            if not self._stopping:
                self._ensure_thread()
                self._later = (monotonic() + seconds, work)
                self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """How many jobs are queued or being worked on."""
        return self._unfinished

    def is_own_thread(self) -> bool:
        """Tell whether the caller runs on the lane's thread."""
        return threading.current_thread() is self._thread

    def flush(self, timeout: float | None) -> bool:
        """Wait until nothing is queued, at most that many seconds. Return whether that was reached."""
        with self._changed:
            self._hurry()
            self._add_later()
            return self._changed.wait_for(lambda: self._unfinished == 0, timeout)

    def stop(self, timeout: float) -> bool:
        """
        Finish what is queued and end the thread, waiting at most that many seconds. Return whether it ended.

        A later job starts it again.
        """
        if self.is_own_thread():
            return False
        deadline = monotonic() + timeout
        self.flush(timeout)
        with self._changed:
            thread = self._thread
            self._stopping = True
            self._later = None
            self._changed.notify_all()
        if thread is not None:
            thread.join(max(0.0, deadline - monotonic()))
        return thread is None or not thread.is_alive()

    # all of these are called with the lock held ----------------------------------------------------------------------

    def _ensure_thread(self) -> None:
        self._stopping = False
        thread = self._thread
        # One that is being started counts: a destructor may submit work while this thread waits for the start.
        if thread is not None and (thread.is_alive() or thread.ident is None):
            return
        self._thread = threading.Thread(target=self._run, name=f"coreason-budget-{self.name}", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._thread = None
            raise LaneFullError(f"The thread of {self.name} cannot be started: {error}") from error

    def _add(self, job: _Job) -> None:
        self._jobs.append(job)
        self._unfinished += 1
        self._changed.notify_all()

    def _hurry(self) -> None:
        if self._jobs and not self._hurries:
            self._hurries = True
            self._changed.notify_all()

    def _add_later(self) -> None:
        if self._later is not None:
            (_, work), self._later = self._later, None
            self._add(_Job(work, Future()))

    # the thread ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while self._do_next():
            pass
        self._end()

    def _do_next(self) -> bool:
        job = self._next()
        if job is None:
            return False
        try:
            self._do(job)
        finally:
            with self._changed:
                self._unfinished -= 1
                self._changed.notify_all()
        return True

    def _next(self) -> _Job | None:
        """Return the next job; None if the thread is to end, which is decided with the lock held."""
        with self._changed:
            idle_until = monotonic() + self._idle_seconds
            while (patience := self._patience()) is None or patience > 0:
                now = monotonic()
                if patience is not None:
                    self._changed.wait(patience)
                    continue
                if self._later is not None and self._later[0] <= now:
                    self._add_later()
                elif self._stopping or (self._later is None and idle_until <= now):
                    self._thread = None
                    return None
                else:
                    self._changed.wait((self._later[0] if self._later is not None else idle_until) - now)
            job = self._jobs.popleft()
            self._once.pop(job.once, None)
            self._hurries = self._hurries and bool(self._jobs)
            return job

    def _patience(self) -> float | None:
        """Return how many seconds the first job may wait for others to join it, None if there is no job."""
        if not self._jobs:
            return None
        if self._hurries or self._stopping or len(self._jobs) > 1:
            return 0.0
        return self._jobs[0].due - monotonic()

    def _do(self, job: _Job) -> None:
        if not job.future.set_running_or_notify_cancel():
            return
        try:
            self._prepare()
            result = job.work()
        except BaseException as error:  # noqa: BLE001 - it is the waiter's, not the lane's
            tell = partial(job.future.set_exception, error)
        else:
            tell = partial(job.future.set_result, result)
        self._tidy()
        tell()


_lanes: weakref.WeakSet[Lane] = weakref.WeakSet()


def _start_afresh_in_child() -> None:
    for lane in list(_lanes):
        lane.start_afresh()


os.register_at_fork(after_in_child=_start_afresh_in_child)
