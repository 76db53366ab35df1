"""Managers on every store, with a clock that the test sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget import BudgetConfig, BudgetManager, service

from .tools import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.dispatch import Signal

    from tests.conftest import Backend, Driver

    from .tools import Make


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the async tests to one of the two real servers: the client speaks to both in the same words."""
    twice = {item for item in items if "contract" in item.path.parts and "async-redis" in item.name}
    config.hook.pytest_deselected(items=list(twice))
    items[:] = [item for item in items if item not in twice]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(backend: Backend, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Make a manager: ``make(daily_user_limit_usd="1")``. The first one is the project's, as the receivers see it."""
    made: list[BudgetManager] = []

    def make_one(*, own_clock: bool = True, **settings: Any) -> BudgetManager:
        manager = BudgetManager(BudgetConfig(**settings), clock=clock if own_clock else None)
        if not made:
            monkeypatch.setattr(service, "_manager", manager)
        made.append(manager)
        return manager

    yield make_one
    for manager in made:
        manager.close_sync()


@pytest.fixture
def budget(make: Make) -> BudgetManager:
    """Return a manager with a dollar a day for users, three for projects and a hundred for all."""
    return make(daily_user_limit_usd="1", daily_project_limit_usd="3", daily_global_limit_usd="100")


@pytest.fixture
def charged(driver: Driver, budget: BudgetManager) -> BudgetManager:
    """Return a budget that has a charge ``c-1`` of 0.6 USD, of ann in apollo, in the database."""
    driver(budget, "check", "ann", "apollo")
    driver(budget, "charge", "ann", "0.6", "apollo", "gpt-4o", "c-1")
    assert budget.flush(10)
    return budget


@pytest.fixture
def heard() -> Iterator[Callable[[Signal], list[dict[str, Any]]]]:
    """Listen to a signal: ``heard(spend_recorded)`` is the list of what it has said since."""
    listening: list[tuple[Signal, Any]] = []

    def listen(signal: Signal) -> list[dict[str, Any]]:
        said: list[dict[str, Any]] = []

        def receive(**values: Any) -> None:
            said.append(values)

        signal.connect(receive, weak=False)
        listening.append((signal, receive))
        return said

    yield listen
    for signal, receive in listening:
        signal.disconnect(receive)
