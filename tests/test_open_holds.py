"""What is seen of the calls in flight: whose money they have set aside, how much of it and since when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from coreason_budget import ANONYMOUS, BudgetConfig, BudgetManager
from coreason_budget.management.holds import OpenHold, OpenHolds, open_holds
from coreason_budget.scopes import GLOBAL, Scope, Subject

from .contract.tools import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("backend")]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def budget(clock: Clock) -> Iterator[BudgetManager]:
    manager = BudgetManager(BudgetConfig(), clock=clock)
    yield manager
    manager.close_sync()


@pytest.fixture(params=["sync", "async"])
def look(request: pytest.FixtureRequest, budget: BudgetManager) -> Callable[[int], OpenHolds]:
    def ask(most: int) -> OpenHolds:
        operation = open_holds(budget.ledger, most)
        return asyncio.run(budget.adrive(operation)) if request.param == "async" else budget.drive(operation)

    return ask


def test_a_hold_tells_whose_it_is_how_much_is_left_and_how_old_it_is(
    budget: BudgetManager, clock: Clock, look: Callable[[int], OpenHolds]
) -> None:
    budget.reserve("ann", "apollo: 7", "0.05", 600).charge(cost="0.02")
    clock.move(seconds=90)

    [hold] = look(5).first

    assert hold == OpenHold(
        hold_id=hold.hold_id,
        subjects=(Subject(Scope.USER, "ann"), Subject(Scope.PROJECT, "apollo: 7"), GLOBAL),
        left=30_000_000,
        age=90.0,
        ends_in=510.0,
    )
    assert (hold.user_id, hold.project_id) == ("ann", "apollo: 7")


def test_topping_a_hold_up_does_not_make_it_younger(
    budget: BudgetManager, clock: Clock, look: Callable[[int], OpenHolds]
) -> None:
    hold = budget.reserve("ann", amount="0.05", ttl=600)
    clock.move(seconds=300)
    hold.top_up("0.01")

    [shown] = look(5).first

    assert (shown.left, shown.age) == (60_000_000, 300.0)


def test_all_are_counted_and_those_that_end_first_are_shown(
    budget: BudgetManager, look: Callable[[int], OpenHolds]
) -> None:
    for seconds in (300, 100, 200):
        budget.reserve(ANONYMOUS, amount="0.01", ttl=seconds)

    seen = look(2)

    assert seen.count == 3
    assert [(hold.user_id, hold.project_id, hold.ends_in) for hold in seen.first] == [("", "", 100.0), ("", "", 200.0)]


def test_a_hold_that_has_ended_is_gone(budget: BudgetManager, look: Callable[[int], OpenHolds]) -> None:
    budget.reserve("ann", amount="0.05").release()

    assert look(5) == OpenHolds(0, [])
