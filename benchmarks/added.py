"""What a wrapper adds to a call: the CPU, as rows, and the memory of an open stream. What is wrapped is elsewhere."""

from __future__ import annotations

import gc
import tracemalloc
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from coreason_budget import service

from .measure import compare
from .tables import Row, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .measure import Contestant
    from .stage import Options

__all__ = ["CALL", "added_cpu", "bytes_of_a_stream"]

#: What is asked, by whichever library.
CALL: Final[dict[str, Any]] = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "What is six times seven?"}],
    "max_tokens": 100,
}
STREAMS: Final = 200


def added_cpu(part: str, contestants: Sequence[Contestant], options: Options) -> Iterator[Row]:
    """Return the CPU of each call that is not wrapped, and what is added to it by each that is."""
    for contestant in contestants:
        compare([contestant], rounds=1, calls=3)  # what is imported at the first call
    with service.deferred_writes():  # as in a request: nobody waits for the database
        times = compare(contestants, rounds=options.rounds, calls=options.calls)
    for contestant in contestants:
        cpu = times[contestant.name].cpu
        if not contestant.than:
            yield Row(part, f"{contestant.name}: CPU", median(cpu), "µs", spread=spread(cpu))
            continue
        added = [mine - its for mine, its in zip(cpu, times[contestant.than].cpu, strict=True)]
        yield Row(part, f"{contestant.name}: CPU added to a call", median(added), "µs", spread=spread(added))


def bytes_of_a_stream(ask: Callable[[], Any]) -> float:
    """Return the bytes that an open stream takes, one chunk of which has been read."""
    with ask() as stream:
        next(stream)  # what is made once
    with ExitStack() as streams:
        gc.collect()
        tracemalloc.start()
        for _ in range(STREAMS):
            next(streams.enter_context(ask()))
        gc.collect()
        taken, _peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return taken / STREAMS
