"""One daemon thread that works through a queue, started at first need and again after a fork."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

__all__ = ["Lane", "LaneFullError"]

IDLE_SECONDS: Final = 60.0


class LaneFullError(RuntimeError):
    """The queue of a lane is full; the work was not taken."""


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[], Any]
    future: Future[Any]


class Lane:
    """
    A queue and its thread.

    ``idle`` runs on the thread when the queue has been empty for a minute and before the thread ends; ``prepare`` and
    ``tidy`` run before and after each job.
    """

    def __init__(
        self,
        name: str,
        size: int,
        *,
        prepare: Callable[[], None],
        tidy: Callable[[], None],
        idle: Callable[[], None],
    ) -> None:
        self.name = name
        self._size = size
        self._prepare = prepare
        self._tidy = tidy
        self._idle = idle
        self._lock = threading.Lock()
        self._start_afresh()
        os.register_at_fork(after_in_child=self._start_afresh)

    def _start_afresh(self) -> None:
        self._lock = threading.Lock()
        self._queue: queue.Queue[_Job | None] = queue.Queue(self._size)
        self._thread: threading.Thread | None = None
        self._unfinished = 0
        self._quiet = threading.Condition()

    def submit(self, work: Callable[[], Any]) -> Future[Any]:
        """Queue a job and return its future. Raise LaneFullError if the queue is full."""
        future: Future[Any] = Future()
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name=f"coreason-budget-{self.name}", daemon=True)
                self._thread.start()
            with self._quiet:
                self._unfinished += 1
            try:
                self._queue.put_nowait(_Job(work, future))
            except queue.Full:
                self._finished()
                raise LaneFullError(f"The queue of {self.name} is full ({self._size} jobs).") from None
        return future

    @property
    def waiting(self) -> int:
        """How many jobs are queued or being worked on."""
        return self._unfinished

    def is_own_thread(self) -> bool:
        """Tell whether the caller runs on the lane's thread."""
        return threading.current_thread() is self._thread

    def flush(self, timeout: float | None) -> bool:
        """Wait until nothing is queued, at most that many seconds. Return whether that was reached."""
        with self._quiet:
            return self._quiet.wait_for(lambda: self._unfinished == 0, timeout)

    def stop(self, timeout: float) -> bool:
        """Finish what is queued and end the thread, waiting at most that many seconds. Return whether it ended."""
        deadline = monotonic() + timeout
        drained = self.flush(timeout)
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None and thread.is_alive():
                self._queue.put(None)
        if thread is not None:
            thread.join(max(0.0, deadline - monotonic()))
        return drained and (thread is None or not thread.is_alive())

    def _finished(self) -> None:
        with self._quiet:
            self._unfinished -= 1
            self._quiet.notify_all()

    def _work(self) -> None:
        jobs = self._queue
        while True:
            try:
                job = jobs.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                self._idle()
                continue
            if job is None:
                self._idle()
                return
            self._do(job)

    def _do(self, job: _Job) -> None:
        try:
            if job.future.set_running_or_notify_cancel():
                try:
                    self._prepare()
                    result = job.work()
                except BaseException as error:  # noqa: BLE001 - it is the waiter's, not the lane's
                    job.future.set_exception(error)
                else:
                    job.future.set_result(result)
        finally:
            try:
                self._tidy()
            finally:
                self._finished()
