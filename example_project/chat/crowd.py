"""Many callers at once: threads that send calls until none is left."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from queue import Empty, SimpleQueue
from threading import Event
from typing import TYPE_CHECKING

from django.db import connections

from .calls import Call, Outcome, send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["send_all"]


def send_all(calls: Iterable[Call], threads: int, on_outcome: Callable[[Outcome], object]) -> list[Outcome]:
    """Send all calls from several threads at once. The first error, or Ctrl-C, stops them all and is raised."""
    todo: SimpleQueue[Call] = SimpleQueue()
    done: SimpleQueue[Outcome] = SimpleQueue()
    for call in calls:
        todo.put(call)
    stop = Event()

    def work() -> None:
        try:
            while not stop.is_set():
                outcome = send(todo.get_nowait())
                done.put(outcome)
                on_outcome(outcome)
        except Empty:
            return
        finally:
            connections.close_all()

    with ThreadPoolExecutor(threads, "caller") as pool:
        try:
            workers = [pool.submit(work) for _ in range(threads)]
            ended, _ = wait(workers, return_when=FIRST_EXCEPTION)
            for worker in ended:
                worker.result()
        finally:
            stop.set()
    return [done.get() for _ in range(done.qsize())]
