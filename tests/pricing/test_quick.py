"""Which sums are done on an event loop itself: those that load nothing and are about little."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget import BudgetConfig, BudgetManager
from coreason_budget.pricing import PricingEngine, encodings, engine
from coreason_budget.pricing.tokens import is_short

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize(
    "prompt",
    [
        "x" * 10,
        b"x" * 10,
        ["x" * 9],
        [{"content": "x" * 8}],
        {"content": [{"text": "x" * 7}]},
        SimpleNamespace(content="x" * 9),
        [SimpleNamespace(content=["x" * 7])],
    ],
)
def test_what_is_counted_of_a_prompt_decides_whether_it_is_short(prompt: Any) -> None:
    assert is_short(prompt, 10)
    assert not is_short(prompt, 9)


@pytest.fixture
def prices() -> PricingEngine:
    made = PricingEngine(BudgetConfig())
    made.count("gpt-4", "Hello")  # litellm and its encoders are loaded by now
    made.count("gpt-4o", "Hello")
    return made


def test_short_sums_are_quick_and_long_ones_are_not(prices: PricingEngine) -> None:
    assert prices.is_quick(["gpt-4", "gpt-4o"], "x" * 2_000)
    assert not prices.is_quick(["gpt-4"], "x" * 2_001)
    assert not prices.is_quick(["gpt-4"], [{"role": "user", "content": "x" * 2_001}])


def test_nothing_is_quick_that_loads_litellm_first(prices: PricingEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "litellm_is_loaded", lambda: False)
    assert not prices.is_quick(["gpt-4"])


def test_a_model_whose_encoder_is_not_loaded_is_not_quick(
    prices: PricingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encodings._o200k, "cache_info", lambda: SimpleNamespace(currsize=0), raising=False)
    assert prices.is_quick(["gpt-4"])
    assert not prices.is_quick(["gpt-4", "gpt-4o"])


@pytest.fixture
def budget(prices: PricingEngine) -> Iterator[BudgetManager]:
    manager = BudgetManager(BudgetConfig(redis_url="redis://127.0.0.1:1/0"))
    manager.pricing = prices
    yield manager
    manager.close_sync()


@pytest.mark.parametrize(
    ("models", "prompt", "threads"),
    [(("gpt-4",), "Hello", 1), (("gpt-4",), "x" * 2_001, 2), (None, "", 2)],
)
def test_a_loop_is_not_held_up_by_long_sums(
    budget: BudgetManager, models: tuple[str, ...] | None, prompt: str, threads: int
) -> None:
    async def found() -> set[threading.Thread]:
        return {threading.current_thread(), await budget.areckon(threading.current_thread, models, prompt)}

    assert len(asyncio.run(found())) == threads
