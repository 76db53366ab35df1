"""The signals: what they carry, and that no receiver can break a call."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User

from coreason_budget import BudgetExceededError, BudgetUnavailableError
from coreason_budget.guard import BudgetGuard
from coreason_budget.signals import budget_exceeded, budget_threshold_reached, budget_unavailable, spend_recorded

from .tools import held, spent

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreason_budget import BudgetManager
    from tests.conftest import Driver

    from .tools import Clock, Make

pytestmark = pytest.mark.django_db(transaction=True)

SIGNALS = [budget_exceeded, budget_threshold_reached, budget_unavailable, spend_recorded]


@pytest.fixture
def everywhere(request: pytest.FixtureRequest) -> Callable[[Callable[..., Any]], None]:
    """Connect a receiver to every signal of the app for the test."""

    def connect(receiver: Callable[..., Any]) -> None:
        for signal in SIGNALS:
            signal.connect(receiver, weak=False)
            request.addfinalizer(partial(signal.disconnect, receiver))

    return connect


def test_a_recorded_spend_tells_who_and_what(
    driver: Driver, budget: BudgetManager, heard: Callable[..., list[dict[str, Any]]]
) -> None:
    recorded = heard(spend_recorded)

    receipts = [
        driver(budget, "charge", "ann", "0.1", "apollo", "gpt-4o", "c-1"),
        driver(budget, "charge", "ann", "0.2"),
    ]

    values = [{name: item[name] for name in ("user_id", "project_id", "model")} for item in recorded]
    assert values == [
        {"user_id": "ann", "project_id": "apollo", "model": "gpt-4o"},
        {"user_id": "ann", "project_id": None, "model": None},
    ]
    assert [item["receipt"] for item in recorded] == receipts
    assert {item["sender"] for item in recorded} == {BudgetGuard}


def test_a_hold_that_housekeeping_books_is_told_as_spend(
    driver: Driver, budget: BudgetManager, heard: Callable[..., list[dict[str, Any]]], clock: Clock
) -> None:
    recorded = heard(spend_recorded)
    hold = driver(budget, "reserve", "ann", "apollo", amount="0.5", ttl=60)
    clock.move(seconds=60)

    budget.guard.housekeeper.tick()
    budget.guard.housekeeper.tick()

    ((item,),) = [recorded]
    assert (item["receipt"].charge_id, f"{item['receipt'].cost:f}") == (f"expired:{hold.id}", "0.5")
    assert (item["user_id"], item["project_id"]) == ("ann", "apollo")


def test_a_receiver_that_raises_breaks_nothing(
    driver: Driver, budget: BudgetManager, everywhere: Callable[..., None]
) -> None:
    called = []

    def receiver(signal: object, **_: object) -> None:
        called.append(signal)
        raise RuntimeError("a receiver's own trouble")

    everywhere(receiver)

    driver(budget, "check", "ann")
    with driver.entered(budget.reservation("ann", amount="0.9")) as hold:
        driver(hold, "charge", cost="0.85")
    with pytest.raises(BudgetExceededError):
        driver(budget, "check", "ann", amount=1)

    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.85", "0")
    assert called == [spend_recorded, budget_threshold_reached, budget_threshold_reached, budget_exceeded]


def test_receivers_may_use_the_orm_in_sync_and_in_async_code(
    driver: Driver, budget: BudgetManager, everywhere: Callable[..., None]
) -> None:
    def receiver(signal: object, **_: object) -> None:
        User.objects.create(username=f"{SIGNALS.index(signal)}-{User.objects.count()}")  # type: ignore[arg-type]

    everywhere(receiver)
    driver(budget, "check", "ann")

    driver(budget, "charge", "ann", "0.6")
    with pytest.raises(BudgetExceededError):
        driver(budget, "check", "ann", amount=1)

    assert sorted(User.objects.values_list("username", flat=True)) == ["0-2", "1-1", "3-0"]


def test_receivers_may_call_the_budget_themselves(
    driver: Driver, budget: BudgetManager, everywhere: Callable[..., None]
) -> None:
    def receiver(signal: object, **_: object) -> None:
        if signal is spend_recorded and not seen:
            seen.append(budget.status("ann")[0].spent)
            budget.charge("bob", "0.1")

    seen: list[object] = []
    everywhere(receiver)

    driver(budget, "charge", "ann", "0.25")

    assert [str(value) for value in seen] == ["0.25"]
    assert spent(driver, budget, "bob") == "0.1"


@pytest.mark.parametrize("operation", ["check", "reserve", "status", "charge"])
def test_an_unavailable_budget_is_told(
    driver: Driver, make: Make, heard: Callable[..., list[dict[str, Any]]], operation: str
) -> None:
    told, recorded = heard(budget_unavailable), heard(spend_recorded)
    budget = make(redis_url="redis://127.0.0.1:1/0")  # nobody listens there

    if operation == "charge":
        receipt = driver(budget, "charge", "ann", "0.1", charge_id="c-1")
        assert (receipt.counted, receipt.first, receipt.status) == (False, True, ())
    else:
        with pytest.raises(BudgetUnavailableError):
            driver(budget, operation, "ann")

    assert [item["operation"] for item in told] == [operation]
    assert isinstance(told[0]["error"], BudgetUnavailableError)
    assert len(recorded) == (operation == "charge")


def test_on_unavailable_allow_lets_calls_through_and_still_tells(
    driver: Driver, make: Make, heard: Callable[..., list[dict[str, Any]]]
) -> None:
    told = heard(budget_unavailable)
    budget = make(redis_url="redis://127.0.0.1:1/0", on_unavailable="allow")

    assert driver(budget, "check", "ann") is True
    with driver.entered(budget.reservation("ann", amount="0.5")) as hold:
        driver(hold, "extend")

    assert [item["operation"] for item in told] == ["check", "reserve"]
