"""What a refusal says: which limit, until when, and whether it is the first."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User

from coreason_budget import BudgetExceededError
from coreason_budget.models import UserLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreason_budget import BudgetManager
    from tests.conftest import Driver

    from .tools import Clock, Make

pytestmark = pytest.mark.django_db(transaction=True)


def refusal(driver: Driver, budget: BudgetManager, *args: object, **kwargs: object) -> BudgetExceededError:
    with pytest.raises(BudgetExceededError) as refused:
        driver(budget, "check", *args, **kwargs)
    return refused.value


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"daily_user_limit_usd": 1, "daily_project_limit_usd": 1, "daily_global_limit_usd": 1}, ("user", "day")),
        ({"daily_project_limit_usd": 1, "daily_global_limit_usd": 1}, ("project", "day")),
        ({"daily_user_limit_usd": 1, "weekly_user_limit_usd": 1}, ("user", "week")),
        ({"daily_user_limit_usd": 1, "weekly_user_limit_usd": 1, "monthly_user_limit_usd": 1}, ("user", "month")),
        ({"daily_user_limit_usd": 1, "weekly_global_limit_usd": 1}, ("global", "week")),
        ({"weekly_user_limit_usd": 1, "weekly_project_limit_usd": 1}, ("user", "week")),
        ({"monthly_user_limit_usd": 1, "daily_project_limit_usd": 0}, ("project", "day")),
        ({"monthly_user_limit_usd": 1, "daily_project_limit_usd": 0, "daily_global_limit_usd": 0}, ("project", "day")),
        ({"daily_user_limit_usd": 0, "monthly_user_limit_usd": 0}, ("user", "day")),
    ],
)
def test_of_several_limits_the_one_that_holds_longest_is_told(
    driver: Driver, make: Make, limits: dict[str, int], told: tuple[str, str]
) -> None:
    error = refusal(driver, make(**limits), "ann", "apollo", amount=2)

    assert (error.scope, error.period) == told


def test_a_week_that_outlasts_the_month_is_told_before_it(driver: Driver, make: Make, clock: Clock) -> None:
    clock.set("2030-04-30T12:00:00+00:00")  # a Tuesday
    budget = make(weekly_user_limit_usd=1, monthly_user_limit_usd=1)

    error = refusal(driver, budget, "ann", amount=2)

    assert (error.period, error.resets_at.isoformat()) == ("week", "2030-05-06T00:00:00+00:00")


@pytest.mark.parametrize(
    ("now", "seconds"),
    [
        ("2030-03-13T00:00:00+00:00", 86_400),
        ("2030-03-13T23:59:58+00:00", 2),
        ("2030-03-13T23:59:58.999+00:00", 2),
        ("2030-03-13T23:59:59+00:00", 1),
        ("2030-03-13T23:59:59.999+00:00", 1),
        ("2030-03-14T00:00:00+00:00", 86_400),
    ],
)
def test_retry_after_is_exact_to_the_second_and_never_early(
    driver: Driver, budget: BudgetManager, clock: Clock, now: str, seconds: int
) -> None:
    clock.set(now)

    error = refusal(driver, budget, "ann", amount=2)

    assert error.retry_after == seconds
    clock.move(seconds=seconds)
    assert clock.ms >= error.resets_at.timestamp() * 1000


def test_first_is_true_once_per_account_and_window(driver: Driver, make: Make, clock: Clock) -> None:
    budget = make(daily_user_limit_usd=1, daily_project_limit_usd=3)

    def first(user: str, project: str | None = None, amount: int = 2) -> bool:
        return refusal(driver, budget, user, project, amount=amount).first

    assert [first("ann"), first("ann"), first("bob"), first("ann")] == [True, False, True, False]
    clock.move(days=1)
    assert [first("ann"), first("ann")] == [True, False]
    clock.move(days=1)
    UserLimit.objects.create(user=User.objects.create(pk=7, username="kim"), amount_usd=None)
    assert [first("7", "apollo", 4), first("7", "apollo", 4)] == [True, False]


def test_the_signal_tells_what_the_error_tells(
    driver: Driver, budget: BudgetManager, heard: Callable[..., list]
) -> None:
    from coreason_budget.signals import budget_exceeded

    exceeded = heard(budget_exceeded)

    error = refusal(driver, budget, "ann", amount=2)

    assert [(item["error"], item["first"]) for item in exceeded] == [(error, True)]


def test_the_error_survives_a_pickle(driver: Driver, budget: BudgetManager) -> None:
    error = refusal(driver, budget, "ann", amount=2)

    copy = pickle.loads(pickle.dumps(error))

    assert (
        str(copy)
        == str(error)
        == (
            "The budget of user 'ann' per day is used up: limit 1 USD, spent 0, held 0, asked for 2. "
            "It resets at 2030-03-14T00:00:00+00:00."
        )
    )
    assert (copy.retry_after, copy.first, copy.remaining) == (error.retry_after, True, 1)
