"""Resets: less counts in one window of one account, once, and whoever sums that account anew comes to the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget import BudgetExceededError
from coreason_budget.exceptions import BudgetUnavailableError, ResetError
from coreason_budget.ledger import records as ledger_records
from coreason_budget.ledger.connection import Connections
from coreason_budget.ledger.resets import Reset
from coreason_budget.models import SpendRecord
from coreason_budget.money import to_nanos
from coreason_budget.periods import Period, from_ms, window_at
from coreason_budget.scopes import GLOBAL, Scope, Subject
from coreason_budget.signals import budget_exceeded, budget_threshold_reached, spend_recorded

from .tools import booked, dump, lose_accounts, records, usd

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.dispatch import Signal

    from coreason_budget import BudgetManager
    from tests.conftest import Backend, Driver

    from .tools import Clock, Make

    Heard = Callable[[Signal], list[dict[str, Any]]]

pytestmark = pytest.mark.django_db(transaction=True)

ANN, APOLLO = Subject(Scope.USER, "ann"), Subject(Scope.PROJECT, "apollo")
MONTHLY = {"weekly_user_limit_usd": "5", "monthly_user_limit_usd": "6"}


@pytest.fixture
def charged(driver: Driver, make: Make) -> BudgetManager:
    """Return a budget with three limits of ann's, of which 0.6 USD are spent in apollo."""
    budget = make(
        daily_user_limit_usd="1", daily_project_limit_usd="3", daily_global_limit_usd="100", thresholds=(50,), **MONTHLY
    )
    driver(budget, "check", "ann", "apollo")
    driver(budget, "charge", "ann", "0.6", "apollo", "gpt-4o", "c-1")
    assert budget.flush(10)
    return budget


def wanted(budget: BudgetManager, clock: Clock, subject: Subject = ANN, **values: Any) -> Reset:
    period = values.pop("period", Period.DAY)
    window = window_at(period, from_ms(clock.ms), budget.config.time_zone).id
    return Reset(
        **{"subject": subject, "period": period, "window": window, "spent": 600_000_000, "number": 1, **values}
    )


def reset(driver: Driver, budget: BudgetManager, clock: Clock, subject: Subject = ANN, **values: Any) -> Any:
    return driver(budget, "drive", budget.guard.reset(wanted(budget, clock, subject, **values)))


def counted(driver: Driver, budget: BudgetManager) -> dict[str, str]:
    """Return what counts of every account: ``{"user day": "0.6"}``."""
    items = driver(budget, "status", "ann", "apollo")
    return {f"{item.scope} {item.period}": f"{item.spent:f}" for item in items}


FULL = {"user day": "0.6", "user week": "0.6", "user month": "0.6", "project day": "0.6", "global day": "0.6"}


@pytest.mark.parametrize(
    ("subject", "period", "name"),
    [
        (ANN, Period.DAY, "user day"),
        (ANN, Period.MONTH, "user month"),
        (APOLLO, Period.DAY, "project day"),
        (GLOBAL, Period.DAY, "global day"),
    ],
)
@pytest.mark.parametrize("loss", ["nothing", "the accounts", "everything"])
def test_one_window_of_one_account_counts_less_and_every_sum_agrees(
    driver: Driver, charged: BudgetManager, clock: Clock, backend: Backend, subject, period, name: str, loss: str
) -> None:
    reset(driver, charged, clock, subject, period=period, to=to_nanos("0.1"))

    if loss == "the accounts":
        lose_accounts(backend)
    elif loss == "everything":
        with backend.client() as client:
            client.flushall()
    peeked = charged.drive(charged.guard.peek([ANN, APOLLO, GLOBAL]))
    shown = {f"{item.scope} {item.period}": f"{item.spent:f}" for items in peeked.values() for item in items}
    assert shown == {**FULL, name: "0.1"}
    assert counted(driver, charged) == {**FULL, name: "0.1"}
    drift = charged.drive(charged.ledger.rebuild(subject, "verify", 0))
    assert (drift.rebuilt, drift.corrections) == (True, {})
    assert booked() == "0.6"


def test_the_record_costs_nothing_and_says_what_it_adjusts(
    driver: Driver, charged: BudgetManager, clock: Clock
) -> None:
    clock.move(minutes=1)

    reset(driver, charged, clock, note={"reason": "a wild loop", "by": "root"})

    record = SpendRecord.objects.get(kind="adjustment")
    assert (record.cost_nanos, record.user_id, record.project_id, record.at) == (0, "ann", "", from_ms(clock.ms))
    assert record.charge_id.startswith("reset:")
    assert record.charge_id.endswith(":1")
    assert record.metadata == {
        "adjusts": "user:ann",
        "period": "day",
        "window": "2030-03-13",
        "nanos": "-600000000",
        "reason": "a wild loop",
        "by": "root",
    }
    assert SpendRecord.objects.get(charge_id="c-1").cost_usd == usd("0.6")


def test_a_reset_that_only_the_journal_has_counts(
    driver: Driver, charged: BudgetManager, clock: Clock, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(charged.ledger.journal, "write", lambda _: None)
        reset(driver, charged, clock)
    assert records(kind="adjustment") == []
    lose_accounts(backend)

    assert counted(driver, charged) == {**FULL, "user day": "0"}

    charged.drive(charged.ledger.journal.drain())
    lose_accounts(backend)
    assert counted(driver, charged) == {**FULL, "user day": "0"}


def test_there_is_room_at_once_and_what_is_held_stays_held(
    driver: Driver, charged: BudgetManager, clock: Clock
) -> None:
    driver(charged, "reserve", "ann", "apollo", amount="0.3")
    with pytest.raises(BudgetExceededError):
        driver(charged, "reserve", "ann", "apollo", amount="0.5")

    (day, *_) = reset(driver, charged, clock)

    assert (day.period, day.spent, day.held, day.remaining) == ("day", 0, usd("0.3"), usd("0.7"))
    driver(charged, "reserve", "ann", "apollo", amount="0.5")


def test_exactly_what_was_seen_counts_no_more(driver: Driver, charged: BudgetManager, clock: Clock) -> None:
    driver(charged, "charge", "ann", "0.05", "apollo")

    reset(driver, charged, clock)

    assert counted(driver, charged)["user day"] == "0.05"


@pytest.mark.parametrize("loss", ["nothing", "its id", "everything"])
def test_the_same_reset_counts_once(
    driver: Driver, charged: BudgetManager, clock: Clock, backend: Backend, loss: str
) -> None:
    reset(driver, charged, clock)
    driver(charged, "charge", "ann", "0.6", "apollo")
    assert charged.flush(10)
    with backend.client() as client:
        if loss == "its id":
            assert client.delete(charged.ledger.keys.charge(SpendRecord.objects.get(kind="adjustment").charge_id))
        elif loss == "everything":
            client.flushall()

    with pytest.raises(ResetError, match="The day 2030-03-13 of user ann was reset meanwhile"):
        reset(driver, charged, clock)

    assert counted(driver, charged)["user day"] == "0.6"
    reset(driver, charged, clock, number=2)
    assert counted(driver, charged)["user day"] == "0"


def test_one_that_redis_alone_remembers_counts_once(
    driver: Driver, charged: BudgetManager, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(charged.ledger.journal, "write", lambda _: None)
        reset(driver, charged, clock)

    with pytest.raises(ResetError, match="was reset meanwhile"):
        reset(driver, charged, clock)


def test_of_two_that_saw_the_same_the_database_keeps_one(
    driver: Driver, charged: BudgetManager, clock: Clock, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    reset(driver, charged, clock, to=to_nanos("0.3"))
    driver(charged, "charge", "ann", "0.3", "apollo")
    assert charged.flush(10)
    with backend.client() as client:
        assert client.delete(charged.ledger.keys.charge(SpendRecord.objects.get(kind="adjustment").charge_id))
    monkeypatch.setattr(ledger_records, "place_of", lambda _: None)  # it was looked up before the other had written

    with pytest.raises(ResetError, match="was reset meanwhile"):
        reset(driver, charged, clock)

    assert counted(driver, charged)["user day"] == "0.6"


class Admins:
    """Many who send one form."""

    def __init__(self, budget: BudgetManager, clock: Clock) -> None:
        self.budget, self.want = budget, wanted(budget, clock)

    def reset(self) -> Any:
        return self.budget.drive(self.budget.guard.reset(self.want))

    async def areset(self) -> Any:
        return await self.budget.adrive(self.budget.guard.reset(self.want))


def test_of_many_at_once_one_resets(driver: Driver, charged: BudgetManager, clock: Clock) -> None:
    answers = driver.together(8, Admins(charged, clock), "reset")

    assert sorted(type(answer).__name__ for answer in answers) == ["ResetError"] * 7 + ["tuple"]
    assert counted(driver, charged)["user day"] == "0"
    assert records(kind="adjustment") == [("adjustment", "0")]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"spent": 700_000_000}, "only 0.6 USD count in the day 2030-03-13 by now, not the 0.7 USD that were seen"),
        ({"spent": 600_000_000, "to": 600_000_000}, "only 0.6 USD count"),
        ({"window": "2030-03-12"}, "The day 2030-03-12 of user ann has ended, 2030-03-13 runs"),
    ],
)
def test_what_does_not_hold_any_more_is_refused_and_nothing_is_written(
    driver: Driver, charged: BudgetManager, clock: Clock, backend: Backend, values: dict[str, Any], said: str
) -> None:
    before = dump(backend)

    with pytest.raises(ResetError, match=said):
        reset(driver, charged, clock, **values)

    assert dump(backend) == before
    assert records(kind="adjustment") == []


def test_the_next_window_begins_at_nothing(driver: Driver, charged: BudgetManager, clock: Clock) -> None:
    reset(driver, charged, clock)
    clock.move(days=1)

    assert counted(driver, charged)["user day"] == "0"
    assert counted(driver, charged)["user week"] == "0.6"


def test_thresholds_are_told_again_and_no_spend_is(
    driver: Driver, charged: BudgetManager, clock: Clock, heard: Heard
) -> None:
    reached, said = heard(budget_threshold_reached), heard(spend_recorded)

    reset(driver, charged, clock)
    assert (reached, said) == ([], [])

    driver(charged, "charge", "ann", "0.6", "apollo")
    assert [(item["status"].scope, item["status"].period, item["threshold"]) for item in reached] == [
        ("user", "day", 50)
    ]


def test_the_next_refusal_is_the_first_again(
    driver: Driver, charged: BudgetManager, clock: Clock, heard: Heard
) -> None:
    refused = heard(budget_exceeded)
    for number in (1, 2):
        for _ in range(2):
            with pytest.raises(BudgetExceededError):
                driver(charged, "check", "ann", amount="0.9")
        reset(driver, charged, clock, number=number)
        driver(charged, "charge", "ann", "0.6")

    assert [item["first"] for item in refused] == [True, False, True, False]


def test_without_redis_nothing_is_reset(
    driver: Driver, charged: BudgetManager, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Connections, context: Any) -> Any:
        raise ConnectionRefusedError("nobody listens")

    with monkeypatch.context() as patch:
        patch.setattr(Connections, "execute", refused)
        patch.setattr(Connections, "aexecute", refused)
        with pytest.raises(BudgetUnavailableError):
            reset(driver, charged, clock)

    assert counted(driver, charged) == FULL
    assert records(kind="adjustment") == []
