"""Giving a hold back, keeping it alive, and what becomes of one that nobody settles."""

from __future__ import annotations

from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import NoScriptError

from coreason_budget import BudgetExceededError, BudgetUnavailableError, HoldClosedError
from coreason_budget.ledger.outcomes import Granted
from coreason_budget.models import SpendRecord

from .tools import booked, dump, held, records, spent, sweep

if TYPE_CHECKING:
    from coreason_budget import BudgetManager
    from tests.conftest import Backend, Driver

    from .tools import Clock, Make

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def releasing(make: Make) -> BudgetManager:
    """Return a manager that gives expired holds back."""
    return make(daily_user_limit_usd="1", expired_holds="release")


def test_a_release_gives_back_what_is_left_once(driver: Driver, budget: BudgetManager, backend: Backend) -> None:
    other = driver(budget, "reserve", "ann", "apollo", amount="0.3")
    hold = driver(budget, "reserve", "ann", "apollo", amount="0.5")
    driver(hold, "release")
    assert [f"{item.held:f}" for item in driver(budget, "status", "ann", "apollo")] == ["0.3", "0.3", "0.3"]
    before = dump(backend)

    driver(hold, "release")

    assert dump(backend) == before
    driver(other, "release")
    assert held(driver, budget, "ann") == "0"


def test_a_second_release_of_the_same_hold_changes_nothing(
    driver: Driver, budget: BudgetManager, backend: Backend
) -> None:
    driver(budget, "reserve", "ann", amount="0.3")
    hold = driver(budget, "reserve", "ann", amount="0.5")
    made = hold._made()
    assert budget.ledger.run(budget.ledger.release(made.id, made.deposit)).now is True
    before = dump(backend)

    assert budget.ledger.run(budget.ledger.release(made.id, made.deposit)).now is False

    assert dump(backend) == before


def test_a_reserve_that_arrives_after_its_release_does_not_come_alive(driver: Driver, budget: BudgetManager) -> None:
    other = driver(budget, "reserve", "ann", amount="0.1")._made()
    ledger = budget.ledger
    assert ledger.run(ledger.release("late", other.deposit)).now is False

    with pytest.raises(HoldClosedError, match="late"):
        ledger.run(ledger.reserve("late", other.deposit, 5, 1000))

    assert held(driver, budget, "ann") == "0.1"


def test_a_repeated_reserve_gets_the_first_answer_or_a_conflict(driver: Driver, budget: BudgetManager) -> None:
    ledger = budget.ledger
    made = driver(budget, "reserve", "ann", amount="0.1")._made()
    bob = driver(budget, "reserve", "bob", amount="0.1")._made()

    again = ledger.run(ledger.reserve(made.id, made.deposit, made.amount, 1000))

    assert isinstance(again, Granted)
    assert again.deadline == ledger.now() + 600_000  # the first one
    with pytest.raises(ValueError, match="another amount or account"):
        ledger.run(ledger.reserve(made.id, made.deposit, made.amount + 1, 1000))
    with pytest.raises(ValueError, match="another amount or account"):
        ledger.run(ledger.reserve(made.id, bob.deposit, made.amount, 1000))
    assert held(driver, budget, "ann") == "0.1"


def test_a_hold_is_swept_at_its_deadline_and_not_before(driver: Driver, budget: BudgetManager, clock: Clock) -> None:
    driver(budget, "reserve", "ann", "apollo", amount="0.5", ttl=60)
    clock.move(milliseconds=59_999)
    assert sweep(budget) == []

    clock.move(milliseconds=1)

    assert sweep(budget) == ["0.5"]
    assert sweep(budget) == []
    assert [(item.spent, item.held) for item in driver(budget, "status", "ann", "apollo")] == [(Decimal("0.5"), 0)] * 3
    record = SpendRecord.objects.get()
    assert (record.kind, record.cost_nanos, record.user_id, record.project_id) == (
        "expired",
        500_000_000,
        "ann",
        "apollo",
    )


def test_the_ttl_comes_from_the_settings(driver: Driver, make: Make, clock: Clock) -> None:
    budget = make(hold_ttl=90)
    driver(budget, "reserve", "ann", amount="0.5")
    clock.move(seconds=89)
    assert sweep(budget) == []

    clock.move(seconds=1)

    assert sweep(budget) == ["0.5"]


def test_only_what_is_left_of_a_dead_hold_is_booked(driver: Driver, budget: BudgetManager, clock: Clock) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5", ttl=60)
    driver(hold, "charge", cost="0.2")
    used_up = driver(budget, "reserve", "ann", amount="0.1", ttl=60)
    driver(used_up, "charge", cost="0.1")
    clock.move(minutes=2)

    assert sweep(budget) == ["0.3"]

    assert (spent(driver, budget, "ann"), held(driver, budget, "ann"), booked()) == ("0.6", "0", "0.6")


def test_the_release_policy_gives_a_dead_hold_back(driver: Driver, releasing: BudgetManager, clock: Clock) -> None:
    driver(releasing, "reserve", "ann", amount="0.5", ttl=60)
    clock.move(seconds=60)

    assert sweep(releasing) == []

    assert (spent(driver, releasing, "ann"), held(driver, releasing, "ann"), records()) == ("0", "0", [])


def test_the_policy_is_that_of_the_hold(driver: Driver, releasing: BudgetManager, make: Make, clock: Clock) -> None:
    charging = make(daily_user_limit_usd="1")
    driver(releasing, "reserve", "ann", amount="0.5", ttl=60)
    driver(charging, "reserve", "bob", amount="0.4", ttl=60)
    clock.move(seconds=60)

    assert sweep(releasing) == ["0.4"]

    assert (spent(driver, charging, "ann"), spent(driver, charging, "bob")) == ("0", "0.4")


def test_a_refused_reserve_sweeps_before_it_says_no(driver: Driver, releasing: BudgetManager, clock: Clock) -> None:
    driver(releasing, "reserve", "ann", amount="1", ttl=60)
    with pytest.raises(BudgetExceededError):
        driver(releasing, "reserve", "ann", amount="0.5")
    clock.move(seconds=60)

    driver(releasing, "reserve", "ann", amount="0.5")

    assert held(driver, releasing, "ann") == "0.5"


def test_a_dead_hold_that_will_be_charged_makes_no_room(driver: Driver, budget: BudgetManager, clock: Clock) -> None:
    driver(budget, "reserve", "ann", amount="1", ttl=60)
    clock.move(seconds=60)

    with pytest.raises(BudgetExceededError) as refused:
        driver(budget, "reserve", "ann", amount="0.5")

    assert (refused.value.spent, refused.value.held) == (0, 1)


def test_extend_keeps_a_hold_alive(driver: Driver, budget: BudgetManager, clock: Clock) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5", ttl=60)
    clock.move(seconds=59)
    driver(hold, "extend", 60)
    clock.move(milliseconds=59_999)
    assert sweep(budget) == []

    clock.move(milliseconds=1)

    assert sweep(budget) == ["0.5"]


def test_extend_saves_a_hold_that_is_due_and_not_swept(driver: Driver, budget: BudgetManager, clock: Clock) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5", ttl=60)
    clock.move(minutes=5)

    driver(hold, "extend")

    assert sweep(budget) == []
    assert held(driver, budget, "ann") == "0.5"
    clock.move(seconds=600)
    assert sweep(budget) == ["0.5"]


def test_a_hold_that_is_extended_while_a_sweep_looks_for_it_is_left_alone(
    driver: Driver, budget: BudgetManager, clock: Clock
) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5", ttl=60)
    other = driver(budget, "reserve", "bob", amount="0.5", ttl=60)
    clock.move(seconds=60)
    sweeping = budget.ledger.journal.sweep()
    due = next(sweeping).perform(budget.ledger)
    assert set(due) == {hold.id, other.id}

    driver(hold, "extend", 60)
    driver(other, "release")
    step = sweeping.send(due)
    booked_for: list[object] | None = None
    while booked_for is None:
        try:
            step = sweeping.send(step.perform(budget.ledger))
        except NoScriptError as error:
            step = sweeping.throw(error)
        except StopIteration as stop:
            booked_for = stop.value

    assert booked_for == []
    assert (held(driver, budget, "ann"), held(driver, budget, "bob"), records()) == ("0.5", "0", [])


@pytest.mark.parametrize("end", ["release", "final charge", "sweep"])
def test_a_hold_that_has_ended_cannot_be_extended(
    driver: Driver, budget: BudgetManager, backend: Backend, clock: Clock, end: str
) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5", ttl=60)
    if end == "release":
        driver(hold, "release")
    elif end == "final charge":
        driver(hold, "charge", cost="0.1", final=True)
    else:
        clock.move(seconds=60)
        sweep(budget)
    before = dump(backend)

    with pytest.raises(HoldClosedError, match="cannot be extended"):
        driver(hold, "extend", 60)

    assert dump(backend) == before


def test_extend_brings_a_hold_back_into_an_account_that_was_lost(
    driver: Driver, budget: BudgetManager, backend: Backend
) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5", ttl=60)
    with backend.client() as client:
        client.delete("{coreason-budget}:a:user:ann")
    assert held(driver, budget, "ann") == "0"

    driver(hold, "extend", 60)

    assert held(driver, budget, "ann") == "0.5"
    assert held(driver, budget, "ann", scope="global") == "0.5"
    driver(hold, "extend", 60)
    assert held(driver, budget, "ann") == "0.5"
    driver(hold, "release")
    assert (held(driver, budget, "ann"), held(driver, budget, "ann", scope="global")) == ("0", "0")


def test_a_hold_of_a_lost_account_takes_nothing_from_the_new_one(
    driver: Driver, budget: BudgetManager, backend: Backend
) -> None:
    old = driver(budget, "reserve", "ann", amount="0.5")
    with backend.client() as client:
        client.delete("{coreason-budget}:a:user:ann")
    driver(budget, "reserve", "ann", amount="0.2")

    driver(old, "charge", cost="0.1", final=True)

    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.1", "0.2")
    assert held(driver, budget, "ann", scope="global") == "0.2"


def test_a_leaked_hold_drops_out_after_two_generations(
    driver: Driver, budget: BudgetManager, backend: Backend, clock: Clock
) -> None:
    leaked = driver(budget, "reserve", "ann", amount="0.5")
    with backend.client() as client:
        client.delete(f"{{coreason-budget}}:r:{leaked.id}")
    verify = budget.ledger.rebuild

    (subject, *_) = leaked._made().deposit.subjects
    for _ in range(2):
        assert held(driver, budget, "ann") == "0.5"
        clock.move(days=2, milliseconds=1)
        assert budget.ledger.run(verify(subject, "verify")).rebuilt is True

    assert held(driver, budget, "ann") == "0"


def test_an_expired_hold_is_its_sweepers_to_write_even_if_he_cannot_go_on_with_the_next(
    driver: Driver, budget: BudgetManager, clock: Clock, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        driver(budget, "reserve", "ann", amount="0.3", ttl=60)
    clock.move(minutes=2)
    asked = count(1)
    execute = budget.ledger.connections.execute

    def fail_at_the_second(args: Any) -> Any:
        if args[0] == "HGET" and next(asked) == 2:
            raise BudgetUnavailableError("down")
        return execute(args)

    monkeypatch.setattr(budget.ledger.connections, "execute", fail_at_the_second)
    with pytest.raises(BudgetUnavailableError, match="down"):
        budget.ledger.run(budget.ledger.journal.sweep())
    with backend.client() as client:
        client.flushall()

    budget.guard.housekeeper.tick()

    assert records(kind="expired") == [("expired", "0.3")]
