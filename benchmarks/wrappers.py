"""What a call of litellm costs more on a budget: CPU of each call, and memory of each stream that is open."""

from __future__ import annotations

import gc
import tracemalloc
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from coreason_budget import service
from coreason_budget.integrations.litellm import acompletion, completion
from coreason_budget.pricing.litellm_prices import load_litellm

from .measure import Contestant, compare
from .server import WritesHeldBack
from .tables import Row, spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .stage import Options

__all__ = ["measure"]

CALL: Final[dict[str, Any]] = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "What is six times seven?"}],
    "max_tokens": 100,
    "mock_response": "Six times seven is forty-two.",
}
PAYER: Final = {"budget_user": "ann", "budget_project": "search"}
STREAMS: Final = 200


def measure(options: Options) -> Iterator[Row]:
    """Return what is added to litellm's own mocked answers, on three accounts, one period each."""
    litellm = load_litellm()
    writes = WritesHeldBack(service.manager())
    contestants = [
        Contestant("litellm.completion", lambda: litellm.completion(**CALL)),
        Contestant(
            "completion on a budget",
            lambda: completion(**CALL, **PAYER),
            "litellm.completion",
            before=writes.begin,
            after=writes.end,
        ),
        Contestant("litellm.acompletion", lambda: litellm.acompletion(**CALL), is_async=True),
        Contestant(
            "acompletion on a budget",
            lambda: acompletion(**CALL, **PAYER),
            "litellm.acompletion",
            is_async=True,
            before=writes.begin,
            after=writes.end,
        ),
    ]
    for contestant in contestants[::2]:
        compare([contestant], rounds=1, calls=3)  # what is imported at the first call
    with service.deferred_writes():  # as in a request: nobody waits for the database
        times = compare(contestants, rounds=options.rounds, calls=options.calls)
    for contestant in contestants:
        cpu = times[contestant.name].cpu
        if not contestant.than:
            yield Row("wrappers", f"{contestant.name}: CPU", median(cpu), "µs", spread=spread(cpu))
            continue
        added = [mine - its for mine, its in zip(cpu, times[contestant.than].cpu, strict=True)]
        yield Row("wrappers", f"{contestant.name}: CPU added to a call", median(added), "µs", spread=spread(added))
    theirs = _memory(lambda: litellm.completion(**CALL, stream=True))
    ours = _memory(lambda: completion(**CALL, **PAYER, stream=True))
    yield Row("wrappers", "an open stream: memory added", (ours - theirs) / 1_024, "KiB")


def _memory(ask: Any) -> float:
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
