"""
Real traffic at full speed from four processes: whether every total is exact, and what a budget adds to a call.

The trace is a CSV file as those of the Azure Public Dataset (CC-BY 4.0): Patel, Choukse, Zhang, Shah, Goiri, Maleki,
Bianchini, "Splitwise: Efficient Generative LLM Inference Using Phase Splitting", ISCA 2024. It is not part of this
repository. ``python -m benchmarks.replay PROCESS`` is one of the processes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import quantiles
from time import perf_counter, perf_counter_ns
from typing import TYPE_CHECKING, Final

from .tables import Row
from .traffics import recorded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from example_project.chat.traffic import Tokens

    from .stage import Options

__all__ = ["measure"]

PROCESSES: Final = 4
USERS: Final = 200
PROJECTS: Final = 10
#: Nano-USD for each token in and out: $2.50 and $10 per million, as gpt-4o costs.
PRICE_IN: Final = 2_500
PRICE_OUT: Final = 10_000
MICROS: Final = 1_000


def measure(options: Options) -> Iterator[Row]:
    """Return the rate of calls and what a budget adds to one. Raise RuntimeError unless all totals are exact."""
    trace = Path(options.trace)
    if not trace.is_file():
        yield Row("replay", "no trace to replay", None, "-", note=f"{trace.name} is not there; see --trace")
        return
    from django.db.models import Sum

    from coreason_budget import service
    from coreason_budget.models import SpendRecord
    from coreason_budget.money import to_nanos

    sizes = recorded(trace, options.size)
    service.manager().status("user-0", "project-0")
    start = perf_counter()
    command = [sys.executable, "-m", "benchmarks.replay", str(trace), options.size]
    children = [
        subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE, text=True)  # noqa: S603 - this package
        for number in range(PROCESSES)
    ]
    answers = [json.loads(child.communicate()[0]) for child in children]
    elapsed = perf_counter() - start
    expected = sum(map(_price, sizes))
    booked = SpendRecord.objects.aggregate(nanos=Sum("cost_nanos"), tokens=Sum("input_tokens"))["nanos"]
    (total,) = (status.spent for status in service.status("user-0") if status.scope == "global")
    totals = {"trace": expected, "Redis": to_nanos(total), "database": booked}
    if len(set(totals.values())) != 1 or SpendRecord.objects.count() != len(sizes):
        raise RuntimeError(f"The totals differ: {totals}, {SpendRecord.objects.count()} records of {len(sizes)}")
    paces = [micros for answer in answers for micros in answer["micros"]]
    cpu = sum(answer["cpu"] for answer in answers)
    working = max(answer["seconds"] for answer in answers)
    yield Row("replay", f"{len(sizes):,} calls from {PROCESSES} processes", len(sizes) / working, "calls/s")
    percentiles = quantiles(paces, n=100)
    yield Row("replay", "added to a call, p50", percentiles[49], "µs", note="reserve and charge together")
    yield Row("replay", "added to a call, p99", percentiles[98], "µs")
    yield Row("replay", "a call: CPU of the client", cpu / len(sizes) * 1e6, "µs", note="the row included")
    yield Row(
        "replay",
        "Redis = database = sum of the trace's prices",
        expected / 1e9,
        "USD",
        note=f"exact: {expected:,} nano-USD, after {elapsed:.1f} s with all starts and the last row",
    )


def replay(sizes: Sequence[Tokens], number: int) -> None:
    """Make one process' share of the calls and print what each took."""
    import django

    django.setup()
    from time import process_time

    from coreason_budget import service
    from coreason_budget.money import to_usd

    micros = []
    service.status("user-0", "project-0")
    start, cpu = perf_counter(), process_time()
    with service.deferred_writes():
        for i in range(number, len(sizes), PROCESSES):
            cost = to_usd(_price(sizes[i]))
            began = perf_counter_ns()
            hold = service.reserve(f"user-{i % USERS}", f"project-{i % PROJECTS}", amount=cost)
            hold.charge(cost=cost, model="gpt-4o", final=True)
            micros.append((perf_counter_ns() - began) / MICROS)
    seconds = perf_counter() - start
    if not service.flush(300):
        raise RuntimeError("The records were not written in time")
    print(json.dumps({"micros": micros, "seconds": seconds, "cpu": process_time() - cpu}))
    service.reset()


def _price(tokens: Tokens) -> int:
    return tokens.prompt * PRICE_IN + tokens.answer * PRICE_OUT


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")
    replay(recorded(Path(sys.argv[1]), sys.argv[2]), int(sys.argv[3]))
