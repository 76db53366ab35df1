"""Models that were asked for though no price is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coreason_budget import UnknownModelError
from coreason_budget.metering.calls import MeteredCall, Request
from coreason_budget.metering.current import Payer
from coreason_budget.refusals.store import UnknownModel, unknown_models

if TYPE_CHECKING:
    from coreason_budget import BudgetManager
    from tests.conftest import Backend, Driver
    from tests.contract.tools import Clock

pytestmark = pytest.mark.django_db(transaction=True)

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def told(budget: BudgetManager) -> list[tuple[str, int]]:
    """Return the models and how often they were asked for."""
    assert budget.guard.refusals.flush(10)
    return [(model.name, model.times) for model in budget.drive(unknown_models(budget.ledger))]


def test_a_call_that_is_refused_for_want_of_a_price_is_noted(
    driver: Driver, budget: BudgetManager, clock: Clock
) -> None:
    for model in ("made-up-1", "made-up-2", "made-up-1"):
        clock.move(seconds=1)
        call = MeteredCall(budget, Payer("ann"), Request((model,), "Hello"))
        with pytest.raises(UnknownModelError):
            driver(Opening(call), "open")

    assert told(budget) == [("made-up-1", 2), ("made-up-2", 1)]
    (first, second) = budget.drive(unknown_models(budget.ledger))
    assert first == UnknownModel("made-up-1", 2, first.last)
    assert (first.last - second.last).total_seconds() == 1


class Opening:
    """Opens a call, both ways."""

    def __init__(self, call: MeteredCall) -> None:
        self.call = call

    def open(self) -> None:
        self.call.manager.drive(self.call.open())

    async def aopen(self) -> None:
        await self.call.manager.adrive(self.call.open())


def test_so_is_an_answer_that_cannot_be_priced(driver: Driver, budget: BudgetManager) -> None:
    hold = driver(budget, "reserve", "ann")
    with pytest.raises(UnknownModelError) as caught:
        driver(hold, "charge", {"model": "made-up-3", "usage": USAGE})

    assert caught.value.model == "made-up-3"
    assert told(budget) == [("made-up-3", 1)]


def test_a_price_that_is_only_looked_at_is_not(budget: BudgetManager) -> None:
    with pytest.raises(UnknownModelError):
        budget.pricing.calculate("made-up", 1, 1)
    with pytest.raises(UnknownModelError):
        budget.pricing.estimate("made-up", input_tokens=1)

    assert told(budget) == []


def test_names_that_callers_make_up_are_bounded(budget: BudgetManager, clock: Clock, backend: Backend) -> None:
    for batch in range(4):
        for number in range(250):
            clock.move(milliseconds=1)
            budget.guard.refusals.note_model(f"{batch}-{number:03}-{'x' * 500}")
        assert budget.guard.refusals.flush(10)

    found = told(budget)
    assert len(found) == 500
    assert {len(name) for name, _ in found} == {200}
    assert found[0][0].startswith("3-199-")
    with backend.client() as client:
        assert client.hlen("{coreason-budget}:refusals:models") == 500


def test_hostile_names_come_back_as_they_were(budget: BudgetManager) -> None:
    names = ["a b", 'x"\n\t1 2', "\u202etxet", "<script>", "0 0", "model é 🦊"]
    for name in names:
        budget.guard.refusals.note_model(name)
    budget.guard.refusals.note_model(" ")

    assert sorted(told(budget)) == sorted((name, 1) for name in names)


def test_a_name_that_no_text_can_have_stops_nothing(budget: BudgetManager) -> None:
    budget.guard.refusals.note_model("half \ud83e of a sign")
    budget.guard.refusals.note_model("made-up")

    assert sorted(told(budget)) == [("half ? of a sign", 1), ("made-up", 1)]


def test_a_model_that_nobody_asks_for_is_forgotten(budget: BudgetManager, clock: Clock) -> None:
    budget.guard.refusals.note_model("made-up")
    assert told(budget) == [("made-up", 1)]

    clock.move(days=90, milliseconds=1)

    assert told(budget) == []
