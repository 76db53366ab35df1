"""Traffic to predict: a trace of a real service where there is one, and made-up traffic of many shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING, Final

from example_project.chat.traffic import Tokens, read_trace

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["made_up", "recorded"]

QUICK: Final = 1_000

#: How long the answer to a prompt is; told the prompt's length, and how much of the traffic has passed (0 to 1).
Answers = Callable[[Random, int, float], float]


def _mixed(chance: Random, prompt: int, _: float) -> float:
    """Return a chat's answer to a short prompt, a summary of a long one."""
    return chance.lognormvariate(6.3, 0.25) if prompt > 1_500 else chance.lognormvariate(5.5, 0.5)  # noqa: PLR2004


SHAPES: Final[dict[str, tuple[Answers, float, float]]] = {
    "answers of one kind": (lambda chance, *_: chance.lognormvariate(5, 0.6), 6, 0.8),
    "growing slowly, e-fold": (lambda chance, _, passed: chance.lognormvariate(5 + passed, 0.6), 6.5, 0.8),
    "five times longer at once": (
        lambda chance, _, passed: chance.lognormvariate(5 if passed < 0.5 else 6.6, 0.5),  # noqa: PLR2004
        6,
        0.8,
    ),
    "five times shorter at once": (
        lambda chance, _, passed: chance.lognormvariate(6.6 if passed < 0.5 else 5, 0.5),  # noqa: PLR2004
        6,
        0.8,
    ),
    "to and fro, 20 times": (
        lambda chance, _, passed: chance.lognormvariate(5 if int(passed * 20) % 2 else 6.5, 0.4),
        6,
        0.8,
    ),
    "chats and summaries": (_mixed, 6.8, 1.2),
    "labels": (lambda chance, *_: chance.choice((2, 2, 2, 3, 5)), 6, 0.4),
    "parts of the prompt": (lambda chance, prompt, _: prompt * chance.uniform(0.2, 0.6), 6.5, 1),
    "essays": (lambda chance, *_: chance.lognormvariate(7.5, 0.5), 5, 0.5),
    "any length to 4,096": (lambda chance, *_: chance.randint(1, 4_096), 6, 0.8),
    "a heavy tail (Pareto 1.5)": (lambda chance, *_: min(100_000, 60 * chance.paretovariate(1.5)), 6, 0.8),
    "long prompts of agents": (lambda chance, *_: chance.lognormvariate(4.5, 1.1), 8.5, 1.2),
}


def made_up(calls: int, seed: int = 2026) -> Iterator[tuple[str, Sequence[Tokens]]]:
    """Return traffic of every shape by its name; prompts are lognormal. The same seed, the same traffic."""
    for name, shape in SHAPES.items():
        yield name, _traffic(shape, calls, seed)
    yield "answers of one kind, 200 calls", _traffic(SHAPES["answers of one kind"], 200, seed)


def _traffic(shape: tuple[Answers, float, float], calls: int, seed: int) -> list[Tokens]:
    chance = Random(seed)  # noqa: S311 - traffic to look at, no secrets
    answer, middle, width = shape
    found = []
    for number in range(calls):
        prompt = max(1, round(chance.lognormvariate(middle, width)))
        found.append(Tokens(prompt, max(1, round(answer(chance, prompt, number / calls)))))
    return found


def recorded(trace: Path, size: str) -> list[Tokens]:
    """Return the calls of a trace, in order; the first of them if the size is quick."""
    with trace.open(encoding="utf-8-sig") as lines:
        calls = sum(1 for _ in lines) - 1
    return read_trace(trace, calls if size == "full" else min(calls, QUICK))
