"""Looking at many accounts at once: one round trip, few queries, nothing changed, and what ``status`` would say."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.db.backends.utils import CursorWrapper
from redis.exceptions import ConnectionError as RedisConnectionLost

from coreason_budget import ANONYMOUS, BudgetUnavailableError
from coreason_budget.ledger import records as ledger_records
from coreason_budget.ledger.steps import Command
from coreason_budget.models import GlobalLimit, ProjectLimit, UserLimit
from coreason_budget.periods import from_ms
from coreason_budget.scopes import GLOBAL, Scope, Subject
from coreason_budget.signals import budget_unavailable

from .tools import dump, lose_accounts, usd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.dispatch import Signal

    from coreason_budget import AccountStatus, BudgetManager
    from tests.conftest import Backend, Driver

    from .tools import Clock, Make

pytestmark = pytest.mark.django_db(transaction=True)

ANN, BOB, VISITOR = Subject(Scope.USER, "ann"), Subject(Scope.USER, "bob"), Subject(Scope.USER)
APOLLO = Subject(Scope.PROJECT, "apollo")
SUBJECTS = (ANN, BOB, VISITOR, APOLLO, GLOBAL)


def peek(driver: Driver, budget: BudgetManager, *subjects: Subject) -> dict[Subject, tuple[AccountStatus, ...]]:
    found: dict[Subject, tuple[AccountStatus, ...]] = driver(budget, "drive", budget.guard.peek(subjects or SUBJECTS))
    return found


def status(driver: Driver, budget: BudgetManager, subjects: Iterable[Subject]) -> dict[Subject, Any]:
    """Ask for the same in the usual way, which opens the accounts."""
    found = {}
    for subject in subjects:
        user = (subject.id or ANONYMOUS) if subject.scope is Scope.USER else "nobody"
        items = driver(budget, "status", user, subject.id if subject.scope is Scope.PROJECT else None)
        found[subject] = tuple(item for item in items if item.scope == subject.scope)
    return found


def figures(items: Iterable[AccountStatus]) -> list[tuple[str, str, str, str | None]]:
    """Return period, spent, held and limit of each item."""
    return [
        (item.period, f"{item.spent:f}", f"{item.held:f}", None if item.limit is None else f"{item.limit:f}")
        for item in items
    ]


@pytest.fixture
def spent_budget(driver: Driver, make: Make) -> BudgetManager:
    """Return a budget that ann, bob, a visitor and apollo have spent of and hold some of, written to the database."""
    budget = make(
        daily_user_limit_usd="1", weekly_project_limit_usd="5", daily_global_limit_usd=None, monthly_global_limit_usd=9
    )
    for user, project, cost in (("ann", "apollo", "0.3"), ("bob", None, "0.2"), (ANONYMOUS, "apollo", "0.4")):
        driver(budget, "charge", user, cost, project)
    driver(budget, "reserve", "ann", "apollo", amount="0.1")
    status(driver, budget, SUBJECTS)
    assert budget.flush(10)
    return budget


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the commands that operations send."""
    seen: list[str] = []

    def watch(perform: Callable[..., Any]) -> Callable[..., Any]:
        def watched(step: Command, context: Any) -> Any:
            seen.append(str(step.args[0]))
            return perform(step, context)

        return watched

    for name in ("perform", "aperform"):
        monkeypatch.setattr(Command, name, watch(getattr(Command, name)))
    return seen


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the tables that are queried, on whatever thread."""
    seen: list[str] = []
    execute = CursorWrapper.execute

    def watched(cursor: CursorWrapper, sql: Any, params: Any = None) -> Any:
        _, _, table = str(sql).partition(' FROM "coreason_budget_')
        seen.append(table.partition('"')[0] or str(sql))
        return execute(cursor, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", watched)
    return seen


def test_open_accounts_cost_one_round_trip_and_no_query(
    driver: Driver, spent_budget: BudgetManager, commands: list[str], queries: list[str]
) -> None:
    peek(driver, spent_budget)
    commands.clear()

    seen = peek(driver, spent_budget)

    assert (commands, queries) == (["EVALSHA"], [])
    assert {subject: figures(items) for subject, items in seen.items()} == {
        ANN: [("day", "0.3", "0.1", "1")],
        BOB: [("day", "0.2", "0", "1")],
        VISITOR: [("day", "0.4", "0", "1")],
        APOLLO: [("day", "0.7", "0.1", "500"), ("week", "0.7", "0.1", "5")],
        GLOBAL: [("month", "0.9", "0.1", "9")],
    }
    assert seen == status(driver, spent_budget, SUBJECTS)


@pytest.mark.parametrize("loss", ["flush", "accounts", "some accounts", "doubt"])
def test_what_redis_does_not_know_is_read_from_the_database(
    driver: Driver,
    spent_budget: BudgetManager,
    backend: Backend,
    commands: list[str],
    queries: list[str],
    loss: str,
) -> None:
    peek(driver, spent_budget)
    lose(spent_budget, backend, loss)
    with backend.client() as client:
        client.script_flush()
    before = dump(backend)
    commands.clear()

    seen = peek(driver, spent_budget)

    assert commands == ["EVALSHA", "EVAL"]  # once it has been taught the script
    tables = [
        "projectlimit",
        "spendrecord",
        "spendrecord",
        "spendrecord",
    ]  # the last is what was reset; no primary key is called ann
    assert sorted(queries) == (tables if loss == "some accounts" else ["globallimit", *tables, "spendrecord"])
    assert dump(backend) == before
    assert seen == status(driver, spent_budget, SUBJECTS)
    assert [f"{items[0].spent:f}" for items in seen.values()] == ["0.3", "0.2", "0.4", "0.7", "0.9"]


def lose(budget: BudgetManager, backend: Backend, loss: str) -> None:
    keys = budget.ledger.keys.accounts(SUBJECTS)
    with backend.client() as client:
        if loss == "flush":
            client.flushall()
        elif loss == "accounts":
            lose_accounts(backend)
        elif loss == "some accounts":
            client.delete(*keys[:-1])
        else:
            for key in keys:
                client.hset(key, "doubt", "1")
                client.hincrby(key, "sd", 77)  # what is in doubt is not shown


def test_what_is_held_is_shown_where_it_is_known(driver: Driver, spent_budget: BudgetManager, backend: Backend) -> None:
    lose(spent_budget, backend, "doubt")
    assert figures(peek(driver, spent_budget)[ANN]) == [("day", "0.3", "0.1", "1")]

    with backend.client() as client:
        client.hset(spent_budget.ledger.keys.account(ANN), "e", "another run")
    assert figures(peek(driver, spent_budget)[ANN]) == [("day", "0.3", "0", "1")]
    assert peek(driver, spent_budget) == status(driver, spent_budget, SUBJECTS)


def test_hundreds_of_subjects_cost_what_a_few_do(
    driver: Driver, make: Make, backend: Backend, commands: list[str], queries: list[str]
) -> None:
    budget = make(daily_user_limit_usd="1", weekly_user_limit_usd="4")
    users = [User.objects.create(username=f"u{number}") for number in range(300)]
    UserLimit.objects.bulk_create([UserLimit(user=user, amount_usd=user.pk) for user in users[::3]])
    ProjectLimit.objects.bulk_create([ProjectLimit(project_id=f"p{number}", amount_usd=None) for number in range(50)])
    with budget.deferred_writes():
        for number, user in enumerate(users[:40]):
            driver(budget, "charge", user.pk, "0.01", f"p{number % 7}")
    assert budget.flush(30)
    lose_accounts(backend)
    opened = [Subject(Scope.USER, str(user.pk)) for user in users[:20]]
    expected = status(driver, budget, opened)
    peek(driver, budget, GLOBAL)  # the server learns the script
    subjects = [Subject(Scope.USER, str(user.pk)) for user in users]
    subjects += [Subject(Scope.PROJECT, f"p{number}") for number in range(60)]
    commands.clear()
    queries.clear()

    seen = peek(driver, budget, *subjects, GLOBAL)

    assert commands == ["EVALSHA"]
    assert sorted(queries) == ["projectlimit", "spendrecord", "spendrecord", "spendrecord", "userlimit"]
    assert list(seen) == [*subjects, GLOBAL]
    assert {subject: seen[subject] for subject in opened} == expected
    sample = [*subjects[17:45], *subjects[299:302], *subjects[348:352], GLOBAL]
    assert {subject: seen[subject] for subject in sample} == status(driver, budget, sample)


def test_nothing_is_asked_for_nobody(
    driver: Driver, budget: BudgetManager, commands: list[str], queries: list[str]
) -> None:
    assert driver(budget, "drive", budget.guard.peek([])) == {}
    assert (commands, queries) == ([], [])


def test_a_subject_is_looked_at_once(driver: Driver, spent_budget: BudgetManager) -> None:
    assert list(peek(driver, spent_budget, BOB, ANN, BOB)) == [BOB, ANN]


def test_a_subject_never_seen_has_spent_nothing(driver: Driver, budget: BudgetManager, backend: Backend) -> None:
    names = ["new", "a:b", "%", "7", "007", "🦊"]
    subjects = [*(Subject(Scope.USER, name) for name in names), Subject(Scope.PROJECT, "new"), GLOBAL]

    seen = peek(driver, budget, *subjects)

    assert dump(backend) == {}
    assert seen == status(driver, budget, subjects)
    assert figures(seen[subjects[0]]) == [("day", "0", "0", "1")]


def test_limits_are_those_that_count_now(
    driver: Driver, make: Make, clock: Clock, backend: Backend, queries: list[str]
) -> None:
    budget = make(daily_user_limit_usd="1", daily_project_limit_usd="3", daily_global_limit_usd="100")
    user = User.objects.create(username="ann")
    ann = Subject(Scope.USER, str(user.pk))
    driver(budget, "charge", user.pk, "0.3", "apollo")
    assert budget.flush(10)
    status(driver, budget, [ann, APOLLO, GLOBAL])

    UserLimit.objects.create(user=user, period="week", amount_usd=4)
    UserLimit.objects.create(user=user, period="day", amount_usd=None)
    ProjectLimit.objects.create(project_id="apollo", amount_usd=0)
    assert budget.flush(10)
    seen = peek(driver, budget, ann, APOLLO, GLOBAL)
    assert figures(seen[ann]) == [("day", "0.3", "0", None), ("week", "0.3", "0", "4")]
    assert figures(seen[APOLLO]) == [("day", "0.3", "0", "0")]
    assert seen == status(driver, budget, [ann, APOLLO, GLOBAL])

    # What no receiver has told of is seen once the limits are older than LIMITS_TTL.
    UserLimit.objects.filter(period="week").update(amount_usd=2)
    GlobalLimit.objects.bulk_create([GlobalLimit(period="month", amount_usd=50)])
    assert figures(peek(driver, budget, ann)[ann])[1] == ("week", "0.3", "0", "4")
    clock.move(seconds=31)
    queries.clear()
    seen = peek(driver, budget, ann, GLOBAL)
    assert sorted(queries) == ["globallimit", "spendrecord", "spendrecord", "userlimit"]
    assert figures(seen[ann])[1] == ("week", "0.3", "0", "2")
    assert figures(seen[GLOBAL]) == [("day", "0.3", "0", "100"), ("month", "0.3", "0", "50")]
    assert seen == status(driver, budget, [ann, GLOBAL])


def test_a_boost_that_has_ended_is_not_shown(driver: Driver, budget: BudgetManager, clock: Clock) -> None:
    user = User.objects.create(username="ann")
    ann = Subject(Scope.USER, str(user.pk))
    limit = UserLimit.objects.create(user=user, amount_usd=1, boost_usd=5, boost_until=from_ms(clock.ms))
    driver(budget, "status", user.pk)
    assert peek(driver, budget, ann)[ann][0].limit == 5
    UserLimit.objects.filter(pk=limit.pk).update(boost_until=from_ms(clock.ms) - timedelta(days=9999))
    clock.move(seconds=31)

    assert peek(driver, budget, ann)[ann][0].limit == 1


def test_an_open_account_is_believed_before_the_database(
    driver: Driver, make: Make, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """It has what is still on its way to the database; only a period that got its first limit is summed."""
    budget = make(daily_user_limit_usd="1")
    driver(budget, "check", "ann")
    driver(budget, "charge", "ann", "0.1")
    assert budget.flush(10)
    with monkeypatch.context() as patch:
        patch.setattr(type(budget.ledger.journal), "write_pending", lambda _: 0)
        driver(budget, "charge", "ann", "0.2")
    clock.move(seconds=31)

    assert figures(peek(driver, budget, ANN)[ANN]) == [("day", "0.3", "0", "1")]
    weekly = make(daily_user_limit_usd="1", weekly_user_limit_usd="2")
    assert figures(peek(driver, weekly, ANN)[ANN]) == [("day", "0.3", "0", "1"), ("week", "0.1", "0", "2")]


def test_yesterday_is_over(driver: Driver, spent_budget: BudgetManager, clock: Clock, backend: Backend) -> None:
    clock.set("2030-03-14T00:00:00+00:00")
    seen = peek(driver, spent_budget)
    assert figures(seen[ANN]) == [("day", "0", "0.1", "1")]
    assert figures(seen[APOLLO]) == [("day", "0", "0.1", "500"), ("week", "0.7", "0.1", "5")]
    assert seen[ANN][0].resets_at == from_ms(clock.ms) + timedelta(days=1)

    lose_accounts(backend)
    seen = peek(driver, spent_budget)
    assert figures(seen[APOLLO]) == [("day", "0", "0", "500"), ("week", "0.7", "0", "5")]
    assert seen == status(driver, spent_budget, SUBJECTS)


def test_a_refund_of_yesterday_is_shown_as_it_is(
    driver: Driver, budget: BudgetManager, clock: Clock, backend: Backend
) -> None:
    driver(budget, "charge", "ann", "0.6", charge_id="c-1")
    assert budget.flush(10)
    clock.move(days=1)
    driver(budget, "refund", "c-1", "0.5")
    lose_accounts(backend)

    (item,) = peek(driver, budget, ANN)[ANN]

    assert (item.spent, item.remaining) == (usd("-0.5"), usd("1.5"))


def test_without_redis_there_is_nothing_to_see(
    driver: Driver,
    spent_budget: BudgetManager,
    monkeypatch: pytest.MonkeyPatch,
    heard: Callable[[Signal], list[Any]],
) -> None:
    failures = heard(budget_unavailable)

    def fail(_: object) -> Any:
        raise RedisConnectionLost from ConnectionRefusedError()

    monkeypatch.setattr(spent_budget.ledger.connections, "execute", fail)
    monkeypatch.setattr(spent_budget.ledger.connections, "aexecute", fail)

    with pytest.raises(BudgetUnavailableError):
        peek(driver, spent_budget)

    assert [said["operation"] for said in failures] == ["peek"]


def test_without_the_database_only_open_accounts_are_seen(
    driver: Driver, spent_budget: BudgetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Any:
        raise OperationalError("down")

    monkeypatch.setattr(ledger_records, "totals", fail)

    assert figures(peek(driver, spent_budget, ANN)[ANN]) == [("day", "0.3", "0.1", "1")]
    with pytest.raises(BudgetUnavailableError, match="down"):
        peek(driver, spent_budget, ANN, Subject(Scope.USER, "new"))


def test_a_server_whose_clock_is_days_off_is_asked_again(
    driver: Driver, spent_budget: BudgetManager, monkeypatch: pytest.MonkeyPatch, commands: list[str]
) -> None:
    expected = peek(driver, spent_budget)
    monkeypatch.setattr(spent_budget.ledger, "_skew", 400 * 86_400_000)
    commands.clear()

    assert peek(driver, spent_budget) == expected

    assert commands == ["EVALSHA", "EVALSHA"]
