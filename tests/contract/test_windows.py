"""Windows: calendar days, weeks and months of a time zone, entered by themselves and never left backwards."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from coreason_budget import BudgetExceededError
from coreason_budget.ledger.scripts import Charge
from coreason_budget.models import SpendRecord

from .tools import account, booked, held, lose_accounts, spent

if TYPE_CHECKING:
    from coreason_budget import BudgetManager
    from tests.conftest import Backend, Driver

    from .tools import Clock, Make

pytestmark = pytest.mark.django_db(transaction=True)

ALL = {"daily_user_limit_usd": "10", "weekly_user_limit_usd": "20", "monthly_user_limit_usd": "40"}


def by_period(driver: Driver, budget: BudgetManager) -> list[str]:
    return [spent(driver, budget, "ann", period=period) for period in ("day", "week", "month")]


@pytest.mark.parametrize(
    ("zone", "last", "first", "after"),
    [
        # what day, week and month have after a charge just before, and one at, the given instant
        ("UTC", "2030-03-13T23:59:59.999+00:00", "2030-03-14T00:00:00+00:00", ["1", "3", "3"]),
        ("UTC", "2030-03-17T23:59:59.999+00:00", "2030-03-18T00:00:00+00:00", ["1", "1", "3"]),
        ("UTC", "2030-04-30T23:59:59.999+00:00", "2030-05-01T00:00:00+00:00", ["1", "3", "1"]),
        ("UTC", "2030-12-31T23:59:59.999+00:00", "2031-01-01T00:00:00+00:00", ["1", "3", "1"]),
        ("UTC", "2032-02-29T23:59:59.999+00:00", "2032-03-01T00:00:00+00:00", ["1", "1", "1"]),
        ("Europe/Berlin", "2030-03-13T22:59:59.999+00:00", "2030-03-13T23:00:00+00:00", ["1", "3", "3"]),
        ("Europe/Berlin", "2030-06-30T21:59:59.999+00:00", "2030-06-30T22:00:00+00:00", ["1", "1", "1"]),
        ("Asia/Kathmandu", "2030-03-13T18:14:59.999+00:00", "2030-03-13T18:15:00+00:00", ["1", "3", "3"]),
        ("UTC", "2030-03-13T00:00:00+00:00", "2030-03-13T23:59:59.999+00:00", ["3", "3", "3"]),
    ],
)
def test_a_window_ends_to_the_millisecond(
    driver: Driver, make: Make, clock: Clock, zone: str, last: str, first: str, after: list[str]
) -> None:
    budget = make(time_zone=zone, **ALL)
    clock.set(last)
    driver(budget, "charge", "ann", 2)
    clock.set(first)

    driver(budget, "charge", "ann", 1)

    assert by_period(driver, budget) == after


@pytest.mark.parametrize(
    ("start", "hours"),
    [
        ("2030-03-31T00:00:00+01:00", 23),
        ("2030-10-27T00:00:00+02:00", 25),
        ("2030-10-28T00:00:00+01:00", 24),
    ],
)
def test_the_days_on_which_the_clock_changes_are_shorter_and_longer(
    driver: Driver, make: Make, clock: Clock, start: str, hours: int
) -> None:
    budget = make(time_zone="Europe/Berlin", daily_user_limit_usd="1")
    clock.set(start)
    driver(budget, "charge", "ann", 1)
    with pytest.raises(BudgetExceededError) as refused:
        driver(budget, "check", "ann")
    assert refused.value.retry_after == hours * 3600

    clock.move(hours=hours, milliseconds=-1)
    with pytest.raises(BudgetExceededError) as refused:
        driver(budget, "check", "ann")
    assert refused.value.retry_after == 1

    clock.move(milliseconds=1)
    assert driver(budget, "check", "ann") is True


def test_a_call_that_runs_across_midnight_belongs_to_the_day_it_is_charged(
    driver: Driver, make: Make, clock: Clock
) -> None:
    budget = make(**ALL)
    clock.set("2030-03-17T23:59:00+00:00")
    driver(budget, "charge", "ann", 3)
    hold = driver(budget, "reserve", "ann", amount=2)
    clock.set("2030-03-18T00:01:00+00:00")
    assert (by_period(driver, budget), held(driver, budget, "ann")) == (["0", "0", "3"], "2")

    driver(hold, "charge", cost="1.5", final=True)

    assert (by_period(driver, budget), held(driver, budget, "ann")) == (["1.5", "1.5", "4.5"], "0")
    assert SpendRecord.objects.get(hold_id=hold.id).at.isoformat() == "2030-03-18T00:01:00+00:00"


def test_what_is_held_over_midnight_counts_in_the_new_day(driver: Driver, budget: BudgetManager, clock: Clock) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.7", ttl=86_400)
    clock.move(days=1)

    with pytest.raises(BudgetExceededError) as refused:
        driver(budget, "reserve", "ann", amount="0.4")
    assert (refused.value.spent, f"{refused.value.held:f}") == (0, "0.7")

    driver(hold, "release")
    driver(budget, "reserve", "ann", amount="0.4")


@pytest.mark.parametrize("ahead", [0, 60_000, 86_400_000])
def test_windows_never_move_back_when_the_clock_does(driver: Driver, make: Make, clock: Clock, ahead: int) -> None:
    budget = make(**ALL)
    budget.ledger._skew = ahead  # of this process' clock
    clock.set("2030-05-01T00:00:01+00:00")
    driver(budget, "charge", "ann", 2)
    clock.set("2030-04-30T23:59:50+00:00")

    driver(budget, "charge", "ann", 1)

    item = account(driver, budget, "ann", period="month")
    assert (f"{item.spent:f}", item.resets_at.isoformat()) == ("3", "2030-06-01T00:00:00+00:00")
    assert by_period(driver, budget) == ["3", "3", "3"]
    assert SpendRecord.objects.latest("pk").at.isoformat() == "2030-05-01T00:00:00+00:00"
    clock.set("2030-05-01T12:00:00+00:00")
    assert by_period(driver, budget) == ["3", "3", "3"]


def test_a_clock_that_steps_back_gives_no_budget_anew(driver: Driver, budget: BudgetManager, clock: Clock) -> None:
    driver(budget, "charge", "ann", 1)
    clock.move(days=-1)

    with pytest.raises(BudgetExceededError) as refused:
        driver(budget, "check", "ann")

    assert refused.value.resets_at.isoformat() == "2030-03-14T00:00:00+00:00"
    assert refused.value.retry_after == 86_400  # from the beginning of the day that the account is in


def test_a_rebuild_counts_what_was_booked_while_the_clock_was_back(
    driver: Driver, make: Make, clock: Clock, backend: Backend
) -> None:
    budget = make(**ALL)
    clock.set("2030-05-01T00:00:01+00:00")
    driver(budget, "charge", "ann", 2)
    clock.set("2030-04-30T23:59:50+00:00")
    driver(budget, "charge", "ann", 1)
    clock.set("2030-05-01T00:00:02+00:00")
    assert budget.flush(10)

    lose_accounts(backend)

    assert by_period(driver, budget) == ["3", "3", "3"]


@pytest.mark.parametrize("is_written", [True, False], ids=["from the database", "from the journal"])
def test_an_account_that_is_rebuilt_while_the_clock_is_back_remembers_what_it_spent_in_the_next_window(
    driver: Driver,
    make: Make,
    clock: Clock,
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
    is_written: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    budget = make(**ALL)
    if not is_written:
        monkeypatch.setattr(type(budget.ledger.journal), "write_pending", lambda _: 0)
    clock.set("2030-05-01T00:00:01+00:00")
    driver(budget, "charge", "ann", 2)
    assert budget.flush(10) is is_written
    clock.set("2030-04-30T23:59:50+00:00")
    lose_accounts(backend)

    assert by_period(driver, budget) == ["0", "2", "0"]
    driver(budget, "charge", "ann", 1)
    assert by_period(driver, budget) == ["1", "3", "1"]
    clock.set("2030-05-01T00:00:02+00:00")

    assert by_period(driver, budget) == ["2", "3", "2"]
    with pytest.raises(BudgetExceededError):
        driver(budget, "reserve", "ann", amount="8.000000001")


def test_what_was_spent_by_a_clock_that_was_days_ahead_counts_when_its_day_comes(
    driver: Driver, make: Make, clock: Clock
) -> None:
    budget = make(**ALL)
    clock.set("2030-05-04T00:00:01+00:00")
    driver(budget, "charge", "ann", 2)
    assert budget.flush(10)
    days = {}
    for day in ("2030-04-30", "2030-05-01", "2030-05-03", "2030-05-04", "2030-05-05"):
        clock.set(f"{day}T12:00:00+00:00")
        driver(budget, "charge", "ann", 1)
        days[day] = by_period(driver, budget)

    assert days == {
        "2030-04-30": ["1", "3", "1"],
        "2030-05-01": ["1", "4", "3"],
        "2030-05-03": ["1", "5", "4"],
        "2030-05-04": ["3", "6", "5"],
        "2030-05-05": ["1", "7", "6"],
    }


def test_an_account_that_was_led_days_ahead_is_exact_when_it_is_known_again(
    driver: Driver, make: Make, clock: Clock
) -> None:
    budget = make(**ALL)
    clock.set("2030-05-04T12:00:00+00:00")
    driver(budget, "charge", "ann", 1)
    made = driver(budget, "reserve", "ann", amount=4, ttl=86_400)._made()
    assert budget.flush(10)
    clock.set("2030-05-01T12:00:00+00:00")  # as it was all the time
    late = Charge("late", 2_000_000_000, made.deposit.user_id, made.deposit.project_id, hold_id=made.id)
    charged = budget.ledger.run(budget.ledger.charge(late, made.deposit, nonce="of this call", final=True))
    assert charged.first is True
    assert budget.flush(10)

    clock.set("2030-05-03T12:00:00+00:00")

    assert by_period(driver, budget) == ["1", "3", "3"]
    assert held(driver, budget, "ann") == "0"


def test_an_account_that_slept_for_months_begins_anew(driver: Driver, make: Make, clock: Clock) -> None:
    budget = make(**ALL)
    driver(budget, "charge", "ann", 5)
    clock.move(days=200)

    assert by_period(driver, budget) == ["0", "0", "0"]
    driver(budget, "charge", "ann", 1)
    assert by_period(driver, budget) == ["1", "1", "1"]
    assert booked() == "6"


def test_accounts_live_until_their_longest_window_is_over(
    driver: Driver, make: Make, clock: Clock, backend: Backend
) -> None:
    budget = make(daily_user_limit_usd="1", monthly_global_limit_usd="40")
    driver(budget, "charge", "ann", "0.1")
    with backend.client() as client:
        ends = [client.pexpiretime(f"{{coreason-budget}}:a:{name}") - clock.ms for name in ("user:ann", "global:")]
    days = [timedelta(milliseconds=end) / timedelta(days=1) for end in ends]

    # today's noon to the end of the next day, the next month; and two days more
    assert days == [pytest.approx(3.5), pytest.approx(0.5 + 18 + 30 + 2)]


@pytest.mark.parametrize("days", [-40, -3, -1, 1, 3, 40])
def test_a_process_whose_clock_is_days_off_still_works(
    driver: Driver, make: Make, backend: Backend, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    budget = make(own_clock=False, **ALL)
    real = time.time_ns
    monkeypatch.setattr("coreason_budget.ledger.redis.time.time_ns", lambda: real() + days * 86_400 * 10**9)

    with driver.entered(budget.reservation("ann", amount="0.5")) as hold:
        driver(hold, "charge", cost="0.2")

    assert by_period(driver, budget) == ["0.2", "0.2", "0.2"]
    item = account(driver, budget, "ann")
    assert 0 < item.resets_at.timestamp() - real() / 10**9 <= 86_400
    assert abs(SpendRecord.objects.get().at.timestamp() - real() / 10**9) < 60
