"""
What calls without a maximum hold, over what they cost, and how many cost more than was held for them.

Every traffic is replayed in order, and a call is predicted before it is observed. The learner is the real one, on the
real script; only the records of the charges are not written.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import count
from math import ceil
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from coreason_budget import service
from coreason_budget.ledger.scripts import Charge
from coreason_budget.ledger.steps import run
from coreason_budget.metering.learned import Learner, LearnKey

from .measure import Contestant, compare
from .tables import Row, spread
from .traffics import made_up, recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from coreason_budget import BudgetManager
    from coreason_budget.ledger.observations import Observation
    from coreason_budget.ledger.steps import Operation
    from example_project.chat.traffic import Tokens

    from .stage import Options

__all__ = ["measure"]

#: nano-USD for a token of input and of output.
GPT_4O: Final = (2_500, 10_000)
OTHERS: Final = {"claude-sonnet": (3_000, 15_000), "gpt-4o-mini": (150, 600)}
FIRST_GUESS: Final = 1_024


@dataclass(frozen=True, slots=True)
class Score:
    """How many of so many calls exceeded, and what was held (nano-USD) over what they cost."""

    exceeding: float
    ratio: float

    def __str__(self) -> str:
        return f"{self.ratio:.2f} ({self.exceeding:.2%})"


def measure(options: Options) -> Iterator[Row]:
    """Return a row for each traffic, and what predicting costs."""
    manager = service.manager()
    manager.status("ann", "search")
    trace, real = Path(options.trace), None
    if trace.is_file():
        real = recorded(trace, options.size)
        yield from _real(manager, real)
    else:
        yield Row("predictions", "no trace to replay", None, "-", note=f"{trace.name} is not there; see --trace")
    for name, calls in made_up(100 * options.calls):
        yield _row(name, calls, _learned(manager, name, calls))
    yield from _costs(manager, real or next(iter(made_up(5_000)))[1], options)


def _real(manager: BudgetManager, calls: Sequence[Tokens]) -> Iterator[Row]:
    lengths = _learned(manager, "trace", calls)
    half = len(calls) // 2
    yield _row("trace", calls, lengths)
    yield _row("trace, first half: what was tuned on", calls[:half], lengths[:half])
    yield _row("trace, second half", calls[half:], lengths[half:])
    yield _row("trace, backwards", calls[::-1], _learned(manager, "backwards", calls[::-1]))
    yield _row("trace, four processes in turn", calls, _learned(manager, "four", calls, processes=4))
    for model, prices in OTHERS.items():
        yield _row(f"trace, prices of {model}", calls, lengths, prices)


def _row(name: str, calls: Sequence[Tokens], lengths: Sequence[int], prices: tuple[int, int] = GPT_4O) -> Row:
    ours = _score(calls, lengths, prices)
    others = {
        "running 99th percentile": _running_percentile(calls),
        "1,024": [1_024] * len(calls),
        "16,384": [16_384] * len(calls),
        "by length of prompt, known before": _known_before(calls),
    }
    note = "; ".join(f"{other} {_score(calls, held, prices)}" for other, held in others.items())
    return Row("predictions", name, None, f"{ours.ratio:.2f} x the cost", note=f"{ours.exceeding:.2%} exceed; {note}")


def _score(calls: Sequence[Tokens], lengths: Sequence[int], prices: tuple[int, int]) -> Score:
    of_input, of_output = prices
    held = sum(of_input * call.prompt + of_output * length for call, length in zip(calls, lengths, strict=True))
    cost = sum(of_input * call.prompt + of_output * call.answer for call in calls)
    exceeding = sum(call.answer > length for call, length in zip(calls, lengths, strict=True))
    return Score(exceeding / len(calls), held / cost)


# what is predicted ---------------------------------------------------------------------------------------------------


def _learned(manager: BudgetManager, view: str, calls: Sequence[Tokens], processes: int = 1) -> list[int]:
    """Return what was held for each call, in tokens of output, by so many processes that take turns."""
    learners = [Learner(manager.config) for _ in range(processes)]
    key, charge, lengths = LearnKey("gpt-4o", view), _charger(manager), []
    for number, call in enumerate(calls):
        learner = learners[number % processes]
        expected = learner.output_tokens(key, call.prompt)
        lengths.append(expected)
        charge(learner.observation(key, call.prompt, call.answer, expected=expected))
    manager.ledger.connections.client().delete(manager.ledger.keys.journal)
    return lengths


def _charger(manager: BudgetManager) -> Callable[[Observation | None], Any]:
    """Return what makes the charge that carries an observation; its record is not written."""
    ledger = manager.ledger
    context: Any = SimpleNamespace(
        connections=ledger.connections, database=SimpleNamespace(write=lambda _: None), sleep=ledger.sleep
    )
    return lambda observed: run(_charge(manager, observed), context)


def _charge(manager: BudgetManager, observed: Observation | None) -> Operation[Any]:
    cost = Charge(uuid4().hex, 100_000, "ann", "search", "gpt-4o")
    deposit = manager.guard.accounts("ann", "search")
    return manager.ledger.charge(cost, deposit, nonce=uuid4().hex, observed=observed)


def _running_percentile(calls: Sequence[Tokens]) -> list[int]:
    seen: list[int] = []
    lengths = []
    for call in calls:
        lengths.append(seen[ceil(0.99 * len(seen)) - 1] if seen else FIRST_GUESS)
        insort(seen, call.answer)
    return lengths


def _known_before(calls: Sequence[Tokens]) -> list[int]:
    """
    Return what was cheapest with hindsight: one length for each half octave of prompts, and one call of 100 exceeds.

    Nobody can know it before, and none that is told only the prompt's length and learns no changes can do much better.
    """
    rows: dict[int, list[int]] = defaultdict(list)
    for call in calls:
        rows[_half_octave(call)].append(call.answer)
    for answers in rows.values():
        answers.sort()
    low, high = 0.0, 1e9
    for _ in range(60):  # the price of an exceeding call, in tokens, at which one of 100 does
        price = (low + high) / 2
        held = {row: _cheapest(answers, price) for row, answers in rows.items()}
        exceeding = sum(call.answer > held[_half_octave(call)] for call in calls)
        low, high = (price, high) if exceeding > len(calls) / 100 else (low, price)
    held = {row: _cheapest(answers, high) for row, answers in rows.items()}
    return [held[_half_octave(call)] for call in calls]


def _half_octave(call: Tokens) -> int:
    return (call.prompt**2).bit_length()


def _cheapest(answers: Sequence[int], price: float) -> int:
    calls = len(answers)
    candidates = sorted(set(answers[-1 - calls // 4 :]), reverse=True)
    return min(candidates, key=lambda length: calls * length + price * (calls - bisect_left(answers, length + 1)))


# what predicting costs ------------------------------------------------------------------------------------------------


def _costs(manager: BudgetManager, calls: Sequence[Tokens], options: Options) -> Iterator[Row]:
    key, learner, turns = LearnKey("gpt-4o", "costs"), Learner(manager.config), count()
    told: list[Sequence[str]] = []

    def learn(fields: Sequence[str]) -> None:
        told.append(fields)
        learner.learn(key, fields)

    charge = _charger(manager)
    for call in calls[:5_000]:
        expected = learner.output_tokens(key, call.prompt)
        observed = learner.observation(key, call.prompt, call.answer, expected=expected)
        assert observed is not None  # noqa: S101 - it learns
        charge(replace(observed, learn=learn))

    def turn() -> Tokens:
        return calls[next(turns) % 5_000 % len(calls)]

    contestants = [
        Contestant("predicting", lambda: learner.output_tokens(key, turn().prompt)),
        Contestant("observing", lambda: learner.observation(key, turn().prompt, turn().answer, expected=100)),
        Contestant(
            "taking up what the charge's reply tells", lambda: learner.learn(key, told[next(turns) % len(told)])
        ),
    ]
    times = compare(contestants, rounds=options.rounds, calls=options.calls)
    for contestant in contestants:
        cpu = times[contestant.name].cpu
        yield Row("predictions", contestant.name, median(cpu), "µs", note=_around(cpu))
    micros = _server_time(manager, learner, key, calls, options)
    added = [learning - plain for plain, learning in zip(*micros, strict=True)]
    yield Row("predictions", "charge: the server's time", median(micros[0]), "µs", note=_around(micros[0]))
    yield Row("predictions", "what an observation adds to it", median(added), "µs", note=_around(added))
    fields = manager.ledger.connections.client().memory_usage(manager.ledger.keys.learned(key.slot))
    yield Row("predictions", "memory of one model in one view", float(fields), "bytes", note="after 5,000 calls")


def _server_time(
    manager: BudgetManager, learner: Learner, key: LearnKey, calls: Sequence[Tokens], options: Options
) -> tuple[list[float], list[float]]:
    """
    Return the µs of a charge by the server's own count, without and with an observation, round by round.

    The commands of a turn are sent at once: a server that is waited for after each spends its time waking up.
    """
    client = manager.ledger.connections.client()
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(4 * options.rounds):
        for is_learning, micros in enumerate(found):
            pipeline = client.pipeline(transaction=False)
            for call in calls[: options.calls]:
                observed = learner.observation(key, call.prompt, call.answer, expected=100) if is_learning else None
                command: Any = next(_charge(manager, observed))
                pipeline.execute_command(*command.args)
            client.config_resetstat()
            pipeline.execute()
            micros.append(client.info("commandstats")["cmdstat_evalsha"]["usec_per_call"])
    return found


def _around(values: list[float]) -> str:
    low_high = spread(values)
    return f"5-95 %: {low_high[0]:.1f}-{low_high[1]:.1f} µs" if low_high else ""
