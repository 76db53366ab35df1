"""Holding money before a call: what fits, what does not, what a check says."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from coreason_budget import BudgetExceededError, BudgetUnavailableError, HoldClosedError, guard

from .tools import account, dump, held, lose_accounts, spent

if TYPE_CHECKING:
    from coreason_budget import BudgetManager
    from tests.conftest import Backend, Driver

    from .tools import Clock, Make

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_hold_counts_on_every_account_of_the_call(driver: Driver, budget: BudgetManager) -> None:
    hold = driver(budget, "reserve", "ann", "apollo", amount="0.25")

    assert hold.amount == Decimal("0.25")
    assert [
        (item.scope, item.spent, item.held, item.remaining) for item in driver(budget, "status", "ann", "apollo")
    ] == [
        ("user", 0, Decimal("0.25"), Decimal("0.75")),
        ("project", 0, Decimal("0.25"), Decimal("2.75")),
        ("global", 0, Decimal("0.25"), Decimal("99.75")),
    ]


def test_a_hold_that_fits_exactly_is_made_and_one_nano_more_is_not(driver: Driver, budget: BudgetManager) -> None:
    driver(budget, "reserve", "ann", amount="0.999999999")

    with pytest.raises(BudgetExceededError) as refused:
        driver(budget, "reserve", "ann", amount="0.000000002")
    assert refused.value.held == Decimal("0.999999999")
    assert refused.value.requested == Decimal("0.000000002")
    assert refused.value.remaining == Decimal("0.000000001")

    driver(budget, "reserve", "ann", amount="0.000000001")
    assert held(driver, budget, "ann") == "1"


def test_a_refused_hold_holds_nothing(driver: Driver, budget: BudgetManager, backend: Backend) -> None:
    driver(budget, "check", "ann", "apollo")
    with pytest.raises(BudgetExceededError):
        driver(budget, "reserve", "ann", "apollo", amount="1.01")
    before = dump(backend)

    with pytest.raises(BudgetExceededError) as refused:
        driver(budget, "reserve", "ann", "apollo", amount="1.01")

    assert refused.value.first is False
    assert dump(backend) == before
    assert [item.held for item in driver(budget, "status", "ann", "apollo")] == [0, 0, 0]


def test_a_full_project_refuses_a_user_who_has_room_and_leaves_the_user_alone(
    driver: Driver, budget: BudgetManager
) -> None:
    for user in ("ann", "bob", "eve"):
        driver(budget, "reserve", user, "apollo", amount="1")

    with pytest.raises(BudgetExceededError) as refused:
        driver(budget, "reserve", "kim", "apollo", amount="0.01")

    assert (refused.value.scope, refused.value.subject, refused.value.held) == ("project", "apollo", 3)
    assert held(driver, budget, "kim") == "0"
    driver(budget, "reserve", "kim", "gemini", amount="0.01")


def test_amount_0_holds_nothing_and_still_refuses_when_nothing_remains(driver: Driver, budget: BudgetManager) -> None:
    empty = driver(budget, "reserve", "ann", amount=0)
    assert empty.amount == 0
    driver(budget, "reserve", "ann", amount="1")

    with pytest.raises(BudgetExceededError, match="asked for 0"):
        driver(budget, "reserve", "ann", amount=0)
    assert held(driver, budget, "ann") == "1"


def test_the_default_amount_comes_from_the_settings(driver: Driver, make: Make) -> None:
    budget = make(default_hold_usd="0.07")

    assert driver(budget, "reserve", "ann").amount == Decimal("0.07")
    assert held(driver, budget, "ann") == "0.07"


def test_without_any_limit_everything_fits_and_status_is_empty(driver: Driver, make: Make) -> None:
    budget = make(daily_user_limit_usd=None, daily_project_limit_usd=None, daily_global_limit_usd=None)

    driver(budget, "reserve", "ann", "apollo", amount=1_000_000_000)

    assert driver(budget, "check", "ann", "apollo", amount=1_000_000_000) is True
    assert driver(budget, "status", "ann", "apollo") == []


@pytest.mark.parametrize("amount", [0, "0.000000001"])
def test_a_limit_of_0_blocks_and_waiting_does_not_help(driver: Driver, make: Make, amount: str | int) -> None:
    budget = make(daily_user_limit_usd=0)

    for operation in ("reserve", "check"):
        with pytest.raises(BudgetExceededError, match="is blocked") as refused:
            driver(budget, operation, "ann", amount=amount)
        assert refused.value.retry_after is None
        assert (refused.value.limit, refused.value.remaining) == (0, 0)


def test_a_check_tells_and_holds_nothing(driver: Driver, budget: BudgetManager, backend: Backend) -> None:
    driver(budget, "check", "ann", "apollo")
    before = dump(backend)

    assert driver(budget, "check", "ann", "apollo", amount="1") is True

    assert dump(backend) == before
    with pytest.raises(BudgetExceededError):
        driver(budget, "check", "ann", "apollo", amount="1.000000001")


def test_a_check_without_an_amount_refuses_once_nothing_remains(driver: Driver, budget: BudgetManager) -> None:
    driver(budget, "charge", "ann", "0.999999999")
    assert driver(budget, "check", "ann") is True

    driver(budget, "charge", "ann", "0.000000001")

    with pytest.raises(BudgetExceededError) as refused:
        driver(budget, "check", "ann")
    assert refused.value.spent == 1


def test_all_periods_of_all_scopes_are_checked(driver: Driver, make: Make, clock: Clock) -> None:
    budget = make(daily_user_limit_usd="10", weekly_project_limit_usd="0.5", monthly_global_limit_usd="0.3")

    with pytest.raises(BudgetExceededError) as refused:
        driver(budget, "reserve", "ann", "apollo", amount="0.4")
    assert (refused.value.scope, refused.value.period) == ("global", "month")

    driver(budget, "reserve", "ann", "apollo", amount="0.3")
    items = driver(budget, "status", "ann", "apollo")
    assert [(item.scope, item.period, item.limit) for item in items] == [
        ("user", "day", 10),
        ("project", "day", 500),
        ("project", "week", Decimal("0.5")),
        ("global", "day", 5000),
        ("global", "month", Decimal("0.3")),
    ]
    assert {item.held for item in items} == {Decimal("0.3")}


def test_a_reservation_gives_back_what_no_charge_has_used(driver: Driver, budget: BudgetManager) -> None:
    with driver.entered(budget.reservation("ann", amount="0.5")) as hold:
        driver(hold, "charge", cost="0.2")
        assert held(driver, budget, "ann") == "0.3"

    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.2", "0")


def test_a_reservation_gives_back_when_the_block_raises(driver: Driver, budget: BudgetManager) -> None:
    with pytest.raises(ZeroDivisionError), driver.entered(budget.reservation("ann", amount="0.5")):
        1 / 0  # noqa: B018

    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0", "0")


def test_a_refused_reservation_never_enters_its_block(driver: Driver, budget: BudgetManager) -> None:
    entered = []

    with pytest.raises(BudgetExceededError), driver.entered(budget.reservation("ann", amount="2")) as hold:
        entered.append(hold)

    assert entered == []


def test_a_reservation_that_was_made_is_not_made_again_on_entering(driver: Driver, budget: BudgetManager) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5")

    with driver.entered(hold):
        assert held(driver, budget, "ann") == "0.5"

    assert held(driver, budget, "ann") == "0"


@pytest.mark.parametrize("end", ["release", "final charge"])
def test_a_reservation_that_has_ended_is_not_entered_again(driver: Driver, budget: BudgetManager, end: str) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5")
    if end == "release":
        driver(hold, "release")
    else:
        driver(hold, "charge", cost="0.5", final=True)

    with pytest.raises(HoldClosedError, match="has ended"), driver.entered(hold):
        pass


def test_a_hold_that_only_an_older_dump_has_is_given_back_and_the_caller_asked_to_come_again(
    driver: Driver, budget: BudgetManager, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a request that was executed unseen is in the dump that a server starts from."""
    hold = driver(budget, "reserve", "ann", amount="0.5")
    with backend.client() as client:
        client.hset(budget.ledger.keys.hold(hold.id), "e", "a run that is over")
    lose_accounts(backend)

    with monkeypatch.context() as patch:
        patch.setattr(guard, "token_hex", lambda _: hold.id)
        with pytest.raises(BudgetUnavailableError, match="is of a server that is no more"):
            driver(budget, "reserve", "ann", amount="0.5")

    assert budget.flush(10)
    with backend.client() as client:
        assert client.hget(budget.ledger.keys.hold(hold.id), "st") in {b"closed", "closed"}
    driver(budget, "reserve", "ann", amount="0.9")


def test_a_reservation_says_what_it_is(driver: Driver, budget: BudgetManager) -> None:
    hold = budget.reservation("ann", amount="0.5")
    assert (hold.id, repr(hold)) == ("", "<Reservation -: not made>")
    with pytest.raises(ValueError, match="has not been made yet"):
        driver(hold, "charge", cost=1)

    with driver.entered(hold):
        assert repr(hold) == f"<Reservation {hold.id}: 0.5 USD>"
    assert repr(hold) == f"<Reservation {hold.id}: ended>"


def test_status_tells_the_reset(driver: Driver, budget: BudgetManager) -> None:
    assert account(driver, budget, "ann").resets_at.isoformat() == "2030-03-14T00:00:00+00:00"
