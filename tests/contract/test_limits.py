"""Limits in the database: obeyed by the very next call, and never overwritten by what was read before."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from coreason_budget import BudgetExceededError, BudgetUnavailableError
from coreason_budget.models import GlobalLimit, ProjectLimit, UserLimit
from coreason_budget.periods import from_ms
from coreason_budget.scopes import Scope, Subject

from .tools import account, dump, spent

if TYPE_CHECKING:
    from coreason_budget import BudgetManager
    from tests.conftest import Backend, Driver

    from .tools import Clock, Make

pytestmark = pytest.mark.django_db(transaction=True)

SEVEN = Subject(Scope.USER, "7")


@pytest.fixture
def user() -> User:
    return User.objects.create(pk=7, username="ann")


def limit(driver: Driver, budget: BudgetManager, **which: str) -> object:
    return account(driver, budget, 7, "apollo", **which).limit


def test_a_saved_limit_is_obeyed_by_the_next_call_and_a_deleted_one_is_not(
    driver: Driver, budget: BudgetManager, user: User
) -> None:
    assert limit(driver, budget) == 1

    row = UserLimit.objects.create(user=user, amount_usd="5")
    assert driver(budget, "check", 7, amount=5) is True
    row.amount_usd = "0.5"
    row.save()
    with pytest.raises(BudgetExceededError) as refused:
        driver(budget, "reserve", 7, amount="0.51")
    assert f"{refused.value.limit:f}" == "0.5"

    row.delete()
    assert limit(driver, budget) == 1


@pytest.mark.parametrize("model", [ProjectLimit, GlobalLimit])
def test_limits_of_every_scope_are_pushed(driver: Driver, budget: BudgetManager, model: Any) -> None:
    which = {"project_id": "apollo"} if model is ProjectLimit else {}
    driver(budget, "check", "ann", "apollo")

    model.objects.create(amount_usd=0, **which)

    with pytest.raises(BudgetExceededError, match="is blocked") as refused:
        driver(budget, "check", "ann", "apollo")
    assert refused.value.scope == model.scope.value
    model.objects.all().delete()
    assert driver(budget, "check", "ann", "apollo") is True


def test_a_bulk_delete_is_obeyed(driver: Driver, budget: BudgetManager, user: User) -> None:
    UserLimit.objects.create(user=user, amount_usd=0)
    UserLimit.objects.create(user=user, amount_usd=0, period="week")
    with pytest.raises(BudgetExceededError):
        driver(budget, "check", 7)

    UserLimit.objects.all().delete()

    assert driver(budget, "check", 7) is True
    assert [item.period for item in driver(budget, "status", 7)] == ["day", "day"]


def test_a_limit_of_a_transaction_counts_once_it_is_committed(
    driver: Driver, budget: BudgetManager, user: User
) -> None:
    driver(budget, "check", 7)
    with transaction.atomic():
        UserLimit.objects.create(user=user, amount_usd=5)
    assert limit(driver, budget) == 5

    with transaction.atomic():
        UserLimit.objects.update_or_create(user=user, defaults={"amount_usd": 9})
        transaction.set_rollback(True)
    assert limit(driver, budget) == 5


def test_spend_is_kept_when_a_limit_changes(driver: Driver, budget: BudgetManager, user: User) -> None:
    driver(budget, "charge", 7, "0.9")

    UserLimit.objects.create(user=user, amount_usd="0.5")

    item = account(driver, budget, 7)
    assert (f"{item.spent:f}", f"{item.limit:f}", item.remaining) == ("0.9", "0.5", 0)


def test_an_unlimited_override_is_listed_without_a_limit(driver: Driver, budget: BudgetManager, user: User) -> None:
    driver(budget, "charge", 7, "0.9")

    UserLimit.objects.create(user=user, amount_usd=None)

    assert driver(budget, "check", 7, amount=50) is True
    item = account(driver, budget, 7)
    assert (item.limit, item.remaining, f"{item.spent:f}") == (None, None, "0.9")


def test_the_first_weekly_limit_counts_what_was_spent_this_week(
    driver: Driver, budget: BudgetManager, user: User, clock: Clock
) -> None:
    for _ in range(3):  # Wednesday, Thursday, Friday
        driver(budget, "charge", 7, "0.8")
        clock.move(days=1)

    UserLimit.objects.create(user=user, amount_usd="3", period="week")

    with pytest.raises(BudgetExceededError) as refused:
        driver(budget, "reserve", 7, amount="0.61")
    assert (refused.value.period, f"{refused.value.spent:f}") == ("week", "2.4")
    driver(budget, "reserve", 7, amount="0.6")
    assert spent(driver, budget, 7, period="week") == "2.4"


def test_a_weekly_limit_that_comes_back_counts_what_was_spent_without_it(
    driver: Driver, budget: BudgetManager, user: User, clock: Clock
) -> None:
    row = UserLimit.objects.create(user=user, amount_usd="3", period="week")
    driver(budget, "charge", 7, "0.5")
    row.delete()
    driver(budget, "charge", 7, "0.25")
    clock.move(days=1)
    driver(budget, "charge", 7, "0.125")

    UserLimit.objects.create(user=user, amount_usd="3", period="week")

    assert spent(driver, budget, 7, period="week") == "0.875"


def test_a_boost_counts_until_it_ends(
    driver: Driver, budget: BudgetManager, user: User, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coreason_budget.limits.timezone.now", lambda: from_ms(clock.ms))
    end = from_ms(clock.ms) + timedelta(minutes=10)
    UserLimit.objects.create(user=user, amount_usd="2", boost_usd="8", boost_until=end)
    assert limit(driver, budget) == 8

    clock.move(minutes=9, seconds=59)
    assert limit(driver, budget) == 8
    clock.move(seconds=31)  # LIMITS_TTL later at most

    assert limit(driver, budget) == 2


def test_an_update_that_sends_no_signal_is_seen_after_limits_ttl(
    driver: Driver, make: Make, user: User, clock: Clock
) -> None:
    budget = make(daily_user_limit_usd="1", limits_ttl=20, database_work="inline")  # nothing is read ahead
    UserLimit.objects.create(user=user, amount_usd=5)
    assert limit(driver, budget) == 5
    UserLimit.objects.update(amount_usd=2)
    clock.move(seconds=20)
    assert limit(driver, budget) == 5

    clock.move(milliseconds=1)

    assert limit(driver, budget) == 2


def test_a_call_that_comes_after_limits_ttl_is_decided_by_the_limits_of_then(
    driver: Driver, make: Make, user: User, clock: Clock
) -> None:
    budget = make(daily_user_limit_usd="1", limits_ttl=20, database_work="inline")
    UserLimit.objects.create(user=user, amount_usd=5)
    driver(driver(budget, "reserve", 7, amount=4), "release")
    UserLimit.objects.update(amount_usd=2)
    clock.move(seconds=20, milliseconds=1)

    with pytest.raises(BudgetExceededError):
        driver(budget, "reserve", 7, amount=4)


def test_limits_in_use_are_read_ahead_so_that_no_call_waits(
    driver: Driver, budget: BudgetManager, user: User, clock: Clock
) -> None:
    UserLimit.objects.create(user=user, amount_usd=5)
    driver(budget, "check", 7)
    UserLimit.objects.update(amount_usd=2)
    clock.move(seconds=16)  # more than half of LIMITS_TTL

    driver(budget, "check", 7)
    assert budget.flush(10)

    assert limit(driver, budget) == 2


def test_a_loader_that_read_old_rows_cannot_overwrite_a_newer_push(
    driver: Driver, budget: BudgetManager, backend: Backend, user: User
) -> None:
    row = UserLimit.objects.create(user=user, amount_usd=5)
    driver(budget, "check", 7)
    ledger = budget.ledger
    with backend.client() as client:
        version = client.hget("{coreason-budget}:a:user:7", "lv")
    loader = ledger.reload_limits(SEVEN, version)
    old_rows = next(loader).perform(ledger)  # read, and not yet put into the account
    row.amount_usd = 2
    row.save()
    before = dump(backend)

    with pytest.raises(StopIteration):
        loader.send(loader.send(old_rows).perform(ledger))

    assert dump(backend) == before
    assert limit(driver, budget) == 2


def test_of_two_pushes_the_later_one_counts(driver: Driver, budget: BudgetManager, user: User) -> None:
    row = UserLimit.objects.create(user=user, amount_usd=5)
    driver(budget, "check", 7)
    ledger = budget.ledger
    first = ledger.outdate(SEVEN, "first")
    query = first.send(next(first).perform(ledger))
    old_rows = query.perform(ledger)
    row.amount_usd = 2
    row.save()
    with pytest.raises(StopIteration):
        first.send(first.send(old_rows).perform(ledger))

    assert limit(driver, budget) == 2


def test_a_rebuild_that_read_old_rows_cannot_overwrite_a_newer_push(
    driver: Driver, budget: BudgetManager, backend: Backend, user: User
) -> None:
    row = UserLimit.objects.create(user=user, amount_usd=5)
    driver(budget, "check", "bob")  # the server knows the scripts
    ledger = budget.ledger
    rebuild = ledger.rebuild(SEVEN)
    step, answers = next(rebuild), list[Any]()
    while len(answers) < 4:  # floor, begin, entries, rows
        answers.append(step.perform(ledger))
        step = rebuild.send(answers[-1]) if len(answers) < 4 else step
    row.amount_usd = 2
    row.save()

    with pytest.raises(StopIteration):
        rebuild.send(rebuild.send(answers[-1]).perform(ledger))

    assert limit(driver, budget) == 2


def test_limits_belong_to_the_user_whose_key_it_is_exactly(driver: Driver, budget: BudgetManager, user: User) -> None:
    UserLimit.objects.create(user=user, amount_usd=5)

    limits = [account(driver, budget, name).limit for name in (7, "7", "07", " 7", "\uff17", "+7", "7.0")]

    assert limits == [5, 5, 1, 1, 1, 1, 1]


def test_a_push_that_fails_does_not_fail_the_save(
    budget: BudgetManager, user: User, monkeypatch: pytest.MonkeyPatch, driver: Driver
) -> None:
    def fail(*_: object) -> None:
        raise BudgetUnavailableError("down")

    with monkeypatch.context() as down:
        down.setattr(type(budget.ledger), "outdate", fail)
        UserLimit.objects.create(user=user, amount_usd=5)

    assert UserLimit.objects.get().amount_usd == 5
    assert limit(driver, budget) == 5


def test_one_push_that_fails_is_enough_for_all_that_a_transaction_has_changed(
    budget: BudgetManager, user: User, monkeypatch: pytest.MonkeyPatch, driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    pushed: list[Subject] = []

    def fail(ledger: object, subject: Subject, version: str) -> None:
        pushed.append(subject)
        raise BudgetUnavailableError("down")

    with monkeypatch.context() as down, transaction.atomic():
        down.setattr(type(budget.ledger), "outdate", fail)
        UserLimit.objects.create(user=user, amount_usd=5)
        ProjectLimit.objects.create(project_id="apollo", amount_usd=5)
        transaction.on_commit(lambda: None)  # what others do at the commit is done
        ProjectLimit.objects.create(project_id="gemini", amount_usd=5)
        transaction.on_commit(down.undo)

    assert pushed == [SEVEN]
    assert "the limits of user 7, project apollo, project gemini: down" in caplog.text
    assert limit(driver, budget) == 5


def test_a_change_that_is_rolled_back_is_pushed_with_the_next_at_most(
    budget: BudgetManager, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[Subject] = []
    outdate = type(budget.ledger).outdate

    def push(ledger: Any, subject: Subject, version: str) -> Any:
        pushed.append(subject)
        return outdate(ledger, subject, version)

    monkeypatch.setattr(type(budget.ledger), "outdate", push)
    with transaction.atomic():
        UserLimit.objects.create(user=user, amount_usd=5)
        transaction.set_rollback(True)
    assert pushed == []

    ProjectLimit.objects.create(project_id="apollo", amount_usd=5)

    assert pushed == [SEVEN, Subject(Scope.PROJECT, "apollo")]
