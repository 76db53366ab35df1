"""What one store does while the other fails: the budget stays exact, and calls go on where they can."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from django.db import InternalError, OperationalError

from coreason_budget import BudgetExceededError, BudgetUnavailableError
from coreason_budget.ledger import records
from coreason_budget.ledger.housekeeping import REMEMBERED_SUBJECTS, Housekeeper
from coreason_budget.ledger.scripts import Booking, Charge, script
from coreason_budget.ledger.steps import LostReplyError
from coreason_budget.models import SpendRecord
from coreason_budget.scopes import Scope, Subject

if TYPE_CHECKING:
    from coreason_budget import BudgetManager

    from ..conftest import Driver
    from .tools import Clock

pytestmark = pytest.mark.django_db(transaction=True)


def fail_with(error: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def lose_replies_of(budget: BudgetManager, monkeypatch: pytest.MonkeyPatch, sha: str) -> None:
    """Have one script be unheard of: its commands fail as those to a server that hangs."""
    execute, aexecute = budget.ledger.connections.execute, budget.ledger.connections.aexecute

    def lost(args: Any) -> bool:
        return len(args) > 1 and args[1] == sha

    def executed(*args: Any) -> Any:
        return fail_with(TimeoutError("hangs"))() if any(map(lost, args)) else execute(*args)

    async def aexecuted(*args: Any) -> Any:
        return fail_with(TimeoutError("hangs"))() if any(map(lost, args)) else await aexecute(*args)

    monkeypatch.setattr(budget.ledger.connections, "execute", executed)
    monkeypatch.setattr(budget.ledger.connections, "aexecute", aexecuted)


def test_calls_go_on_with_the_known_limits_while_the_database_is_down(
    driver: Driver, budget: BudgetManager, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(budget, "charge", "ann", "0.4")
    budget.flush(5)
    driver(budget, "status", "ann")
    monkeypatch.setattr(budget.ledger.limits, "overrides", fail_with(OperationalError("down")))

    for _ in range(3):
        clock.move(seconds=31)
        assert driver(budget, "check", "ann", amount="0.6") is True
        with pytest.raises(BudgetExceededError):
            driver(budget, "check", "ann", amount="0.7")


def test_a_limit_that_was_changed_is_not_taken_for_known(
    driver: Driver, budget: BudgetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(budget, "check", "ann")
    overrides = budget.ledger.limits.overrides
    monkeypatch.setattr(budget.ledger.limits, "overrides", fail_with(OperationalError("down")))
    with pytest.raises(BudgetUnavailableError):
        budget.drive(budget.ledger.outdate(Subject(Scope.USER, "ann"), "v2"))
    with pytest.raises(BudgetUnavailableError):
        driver(budget, "check", "ann")

    monkeypatch.setattr(budget.ledger.limits, "overrides", overrides)
    assert driver(budget, "check", "ann") is True


def test_charges_wait_for_a_database_that_refuses_to_write(
    driver: Driver, budget: BudgetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_row", fail_with(InternalError("cannot execute INSERT in a read-only transaction")))
    driver(budget, "charge", "ann", "0.1")
    assert budget.flush(5) is False
    assert budget.ledger.journal.pending == 1

    monkeypatch.undo()
    assert budget.flush(10)
    assert SpendRecord.objects.total_usd() * 10 == 1


def test_a_value_that_no_database_takes_does_not_block_the_others(budget: BudgetManager) -> None:
    def booking(name: str, at: int) -> Booking:
        return Booking(Charge(name, 1, "ann", ""), f"{at}-0", at)

    budget.ledger.database.call(lambda: budget.ledger.journal.write([booking("bad", 10**18), booking("good", 10**12)]))

    assert [record.charge_id for record in SpendRecord.objects.all()] == ["good"]


def test_money_that_redis_did_not_hear_of_stays_held_until_it_is_counted(
    driver: Driver, budget: BudgetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    with driver.entered(budget.reservation("ann", amount="0.9")) as hold, monkeypatch.context() as patch:
        lose_replies_of(budget, patch, script("charge").sha)
        assert driver(hold, "charge", cost="0.9").counted is False
        patch.undo()
    with pytest.raises(BudgetExceededError):
        driver(budget, "check", "ann", amount="0.9")

    budget.guard.housekeeper.tick()
    (status,) = [item for item in driver(budget, "status", "ann") if item.scope == "user"]
    assert (status.spent * 10, status.held) == (9, 0)


def test_a_hold_that_a_lost_try_may_still_make_is_given_back_after_a_refusal(
    budget: BudgetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget.charge("ann", "0.5")
    abandoned: list[str] = []
    monkeypatch.setattr(budget.ledger.journal, "abandon", lambda hold_id, *_: abandoned.append(hold_id))
    execute, tries = budget.ledger.connections.execute, []

    def lose_the_first(*args: Any) -> Any:
        tries.append(args)
        return execute(*args) if len(tries) > 1 else fail_with(TimeoutError("slow"))()

    monkeypatch.setattr(budget.ledger.connections, "execute", lose_the_first)
    with pytest.raises(BudgetExceededError):
        budget.reserve("ann", amount="0.9")
    assert len(abandoned) == 1


def test_a_hold_that_ended_before_its_answer_came_is_unavailable(
    budget: BudgetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget.check("ann")
    execute, tries = budget.ledger.connections.execute, []

    def run_twice(*args: Any) -> Any:
        tries.append(args)
        reply = execute(*args)
        if len(tries) > 1:
            return reply
        for key in budget.ledger.connections.client().scan_iter(match="*:r:*"):
            budget.ledger.connections.client().hset(key, "e", "a server that is no more")
        return fail_with(TimeoutError("slow"))()

    monkeypatch.setattr(budget.ledger.connections, "execute", run_twice)
    with pytest.raises(LostReplyError):
        budget.reserve("ann", amount="0.1")


def test_spend_survives_a_server_clock_that_was_days_ahead(driver: Driver, budget: BudgetManager, clock: Clock) -> None:
    driver(budget, "charge", "ann", "0.2")
    clock.move(days=3)
    driver(budget, "charge", "ann", "0.1")
    clock.move(days=-3)
    driver(budget, "charge", "ann", "0.3")
    budget.flush(5)

    (status,) = [item for item in driver(budget, "status", "ann") if item.scope == "user"]
    assert status.spent * 10 == 5


def test_an_id_used_again_for_another_charge_after_it_was_forgotten_is_reported(
    budget: BudgetManager, caplog: pytest.LogCaptureFixture
) -> None:
    budget.charge("ann", "0.1", charge_id="order-1")
    budget.flush(5)
    budget.ledger.connections.client().delete(budget.ledger.keys.charge("order-1"))
    with caplog.at_level(logging.ERROR, "coreason_budget"):
        budget.charge("bob", "0.7", charge_id="order-1")
        budget.flush(5)

    assert "order-1" in caplog.text
    assert SpendRecord.objects.count() == 1


def test_every_charge_that_only_memory_has_is_logged(
    budget: BudgetManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("coreason_budget.ledger.journal.BATCH", 2)
    bookings = [Booking(Charge(f"c{i}", 1, "ann", ""), None, 10**12) for i in range(5)]
    monkeypatch.setattr(records, "store", fail_with(OperationalError("down")))
    write = budget.ledger.journal.writer(bookings)
    with caplog.at_level(logging.CRITICAL, "coreason_budget"), pytest.raises(OperationalError):
        write()

    assert all(f"c{i}" in caplog.text for i in range(5))
    monkeypatch.undo()
    assert budget.ledger.database.call(write) == 5


def test_the_accounts_that_wait_longest_are_verified_however_many_there_are(
    budget: BudgetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = [0.0]
    keeper = Housekeeper(budget.ledger, lambda _: None, clock=lambda: time[0])
    monkeypatch.setattr(budget.ledger.database, "post", lambda _: True)
    keeper.nudge([Subject(Scope.GLOBAL)])
    time[0] = 5.0
    keeper.nudge([Subject(Scope.GLOBAL)])  # being used again does not put it off
    for number in range(REMEMBERED_SUBJECTS + 10):
        keeper.nudge([Subject(Scope.USER, str(number))])

    verified: list[Subject] = []

    def rebuild(subject: Subject, *_: Any) -> Any:
        verified.append(subject)
        return iter(())

    monkeypatch.setattr(budget.ledger, "rebuild", rebuild)
    monkeypatch.setattr(budget.ledger, "run", lambda operation: [] if operation is not None else None)
    time[0] = budget.config.verify_every + 1
    keeper.tick()
    assert verified[0] == Subject(Scope.GLOBAL)
