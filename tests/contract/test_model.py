"""Random histories of calls, next to a plain model of what a budget is: no keys, no scripts, no concurrency."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest
from django.db.models import Sum
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from coreason_budget import BudgetConfig, BudgetExceededError, BudgetManager, HoldClosedError
from coreason_budget.exceptions import RefundError
from coreason_budget.models import SpendRecord
from coreason_budget.money import to_usd
from tests.conftest import fake_backend

from .tools import Clock, lose_accounts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Backend, Driver

pytestmark = pytest.mark.django_db(transaction=True)

CENT: Final = 10_000_000
LIMITS: Final = {
    ("user", "day"): 100 * CENT,
    ("user", "week"): 150 * CENT,
    ("user", "month"): 250 * CENT,
    ("project", "day"): 160 * CENT,
    ("project", "month"): 300 * CENT,
    ("global", "week"): 350 * CENT,
}
#: The three users, each with the project that it works for.
CALLERS: Final = [("ann", "apollo"), ("bob", "gemini"), ("eve", "apollo"), ("eve", None)]


def first_day(period: str, day: date) -> date:
    match period:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case _:
            return day.replace(day=1)


def next_first_day(period: str, day: date) -> date:
    days = {"day": 1, "week": 7, "month": 32}[period]
    return first_day(period, first_day(period, day) + timedelta(days=days))


@dataclass
class ModelHold:
    accounts: list[tuple[str, str]]
    left: int
    deadline: int
    state: str = "open"
    rest: int = 0
    id: str = ""


@dataclass
class ModelOriginal:
    """What can be refunded: a charge, or what an expired hold was booked with."""

    accounts: list[tuple[str, str]]
    charge_id: str
    left: int
    hold: ModelHold | None = None
    is_refunded: bool = False


@dataclass
class Model:
    """What the budgets must be."""

    policy: str
    clock: Clock
    bookings: list[tuple[tuple[str, str], date, int]] = field(default_factory=list)
    originals: list[ModelOriginal] = field(default_factory=list)
    holds: list[ModelHold] = field(default_factory=list)

    @property
    def today(self) -> date:
        return datetime.fromtimestamp(self.clock.ms / 1000, UTC).date()

    def spent(self, account: tuple[str, str], period: str) -> int:
        start = first_day(period, self.today)
        return sum(cost for booked, day, cost in self.bookings if booked == account and day >= start)

    def held(self, account: tuple[str, str]) -> int:
        return sum(hold.left for hold in self.holds if hold.state == "open" and account in hold.accounts)

    def book(self, accounts: list[tuple[str, str]], cost: int) -> None:
        self.bookings += [(account, self.today, cost) for account in accounts]

    def refusal(self, accounts: list[tuple[str, str]], amount: int) -> tuple[tuple[str, str], str] | None:
        """Return the account and period that have no room: of several the one that resets last, the narrower first."""
        full = []
        for account in accounts:
            for (scope, period), limit in LIMITS.items():
                total = self.spent(account, period) + self.held(account) + amount
                if scope == account[0] and (total > limit or (not amount and total >= limit)):
                    full.append((account, period))
        return max(full, key=lambda item: next_first_day(item[1], self.today), default=None)

    def decide(self, accounts: list[tuple[str, str]], amount: int) -> tuple[tuple[str, str], str] | None:
        refusal = self.refusal(accounts, amount)
        if refusal and self.policy == "release" and self.held(refusal[0]):
            self.sweep()
            refusal = self.refusal(accounts, amount)
        return refusal

    def reserve(self, accounts: list[tuple[str, str]], amount: int, ttl: int) -> tuple[tuple[str, str], str] | None:
        refusal = self.decide(accounts, amount)
        if refusal is None:
            self.holds.append(ModelHold(accounts, amount, self.clock.ms + ttl * 1000))
        return refusal

    def charge(self, hold: ModelHold, cost: int, *, final: bool) -> None:
        if hold.state == "open":
            hold.left -= hold.left if final else min(cost, hold.left)
            if final:
                hold.state = "closed"
        elif hold.state == "expired":
            refund = hold.rest if final else min(cost, hold.rest)
            hold.rest -= refund
            self.book(hold.accounts, -refund)
        self.book(hold.accounts, cost)

    def release(self, hold: ModelHold) -> None:
        if hold.state == "open":
            hold.state = "closed"
        elif hold.state == "expired":
            self.book(hold.accounts, -hold.rest)
            hold.rest = 0

    def refund(self, original: ModelOriginal, amount: int | None) -> bool:
        """Take back an amount, None for all that is left. Return whether that can be."""
        left = original.left if original.hold is None else original.hold.rest
        amount = left if amount is None else amount
        if original.is_refunded or not 0 < amount <= left:
            return False
        original.is_refunded = True
        if original.hold is not None:
            original.hold.rest -= amount
        self.book(original.accounts, -amount)
        return True

    def sweep(self) -> None:
        for hold in self.holds:
            if hold.state == "open" and hold.deadline <= self.clock.ms:
                if self.policy == "charge" and hold.left:
                    self.book(hold.accounts, hold.left)
                    hold.state, hold.rest = "expired", hold.left
                    self.originals.append(ModelOriginal(hold.accounts, f"expired:{hold.id}", hold.left, hold))
                else:
                    hold.state = "closed"


class Pair:
    """A budget and its model, to which the same things happen."""

    def __init__(self, driver: Driver, budget: BudgetManager, backend: Backend, model: Model) -> None:
        self.driver, self.budget, self.backend, self.model = driver, budget, backend, model
        self.reservations: list[Any] = []

    def reserve(self, caller: int, cents: int, ttl: int) -> None:
        user, project = CALLERS[caller]
        expected = self.model.reserve(accounts(user, project), cents * CENT, ttl)
        with self.verdict(expected):
            amount = to_usd(cents * CENT)
            self.reservations.append(self.driver(self.budget, "reserve", user, project, amount=amount, ttl=ttl))
            self.model.holds[-1].id = self.reservations[-1].id

    def check(self, caller: int, cents: int, _: int) -> None:
        user, project = CALLERS[caller]
        with self.verdict(self.model.decide(accounts(user, project), cents * CENT)):
            assert self.driver(self.budget, "check", user, project, amount=to_usd(cents * CENT)) is True

    @contextmanager
    def verdict(self, expected: tuple[tuple[str, str], str] | None) -> Iterator[None]:
        refusal = None
        try:
            yield
        except BudgetExceededError as error:
            refusal = (error.scope, error.subject), error.period
        assert refusal == expected

    def charge(self, which: int, cents: int, final: int) -> None:
        if self.reservations:
            number = which % len(self.reservations)
            self.model.charge(self.model.holds[number], cents * CENT, final=final > 200)
            values = {"charge_id": self.original(self.model.holds[number].accounts, cents), "final": final > 200}
            self.driver(self.reservations[number], "charge", cost=to_usd(cents * CENT), **values)

    def spend(self, caller: int, cents: int, _: int) -> None:
        user, project = CALLERS[caller]
        self.model.book(accounts(user, project), cents * CENT)
        charge_id = self.original(accounts(user, project), cents)
        self.driver(self.budget, "charge", user, to_usd(cents * CENT), project, charge_id=charge_id)

    def original(self, of: list[tuple[str, str]], cents: int) -> str:
        self.model.originals.append(ModelOriginal(of, f"c-{len(self.model.originals)}", cents * CENT))
        return self.model.originals[-1].charge_id

    def refund(self, which: int, cents: int, way: int) -> None:
        if self.model.originals:
            original = self.model.originals[-1 - (10 * which + cents) % len(self.model.originals)]
            nanos = None if way > 60 else cents * CENT
            if self.model.refund(original, nanos):
                self.driver(self.budget, "refund", original.charge_id, nanos and to_usd(nanos))
            else:
                with pytest.raises(RefundError):
                    self.driver(self.budget, "refund", original.charge_id, nanos and to_usd(nanos))

    def release(self, which: int, _cents: int, _: int) -> None:
        if self.reservations:
            number = which % len(self.reservations)
            self.model.release(self.model.holds[number])
            self.driver(self.reservations[number], "release")

    def extend(self, which: int, _: int, ttl: int) -> None:
        if self.reservations:
            number = which % len(self.reservations)
            hold = self.model.holds[number]
            if hold.state == "open":
                hold.deadline = self.model.clock.ms + ttl * 1000
                self.driver(self.reservations[number], "extend", ttl)
            else:
                with pytest.raises(HoldClosedError):
                    self.driver(self.reservations[number], "extend", ttl)

    def sweep(self, *_: int) -> None:
        self.model.sweep()
        self.budget.ledger.run(self.budget.ledger.journal.sweep())

    def wait(self, minutes: int, _: int, seconds: int) -> None:
        self.model.clock.move(minutes=minutes, seconds=seconds)

    def wait_for_days(self, hours: int, more: int, _: int) -> None:
        self.model.clock.move(hours=12 * hours + more / 2)

    def lose_accounts(self, *_: int) -> None:
        if not any(hold.state == "open" for hold in self.model.holds):  # what is held is lost with them
            lose_accounts(self.backend)

    def compare(self) -> None:
        for user, project in CALLERS[:3]:
            for item in self.driver(self.budget, "status", user, project):
                account = (item.scope, item.subject)
                expected = (self.model.spent(account, item.period), self.model.held(account))
                assert (item.spent, item.held) == tuple(map(to_usd, expected)), (account, item.period)

    def compare_records(self) -> None:
        assert self.budget.flush(10)
        sums = SpendRecord.objects.order_by().values_list("user_id").annotate(sum=Sum("cost_nanos"))
        expected: dict[str, int] = {}
        for (scope, subject), _, cost in self.model.bookings:
            if scope == "user":
                expected[subject] = expected.get(subject, 0) + cost
        assert dict(sums) == expected


def accounts(user: str, project: str | None) -> list[tuple[str, str]]:
    return [("user", user), *([("project", project)] if project else []), ("global", "")]


OPERATIONS: Final = (
    ["reserve"] * 4
    + ["charge"] * 4
    + ["refund"] * 2
    + ["spend", "check", "release", "extend", "sweep", "wait"]
    + [
        "wait_for_days",
        "lose_accounts",
    ]
)
steps = st.lists(
    st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 3), st.integers(0, 60), st.sampled_from([60, 240, 7200])),
    min_size=15,
    max_size=40,
)
ADVERBS: Final = {"day": "daily", "week": "weekly", "month": "monthly"}
NO_LIMITS: Final = {f"daily_{scope}_limit_usd": None for scope in ("user", "project", "global")}
CONFIG: Final = NO_LIMITS | {
    f"{ADVERBS[period]}_{scope}_limit_usd": to_usd(nanos) for (scope, period), nanos in LIMITS.items()
}


@settings(
    max_examples=20,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(policy=st.sampled_from(["charge", "release"]), history=steps)
def test_every_history_leaves_what_the_model_leaves(
    driver: Driver, policy: str, history: list[tuple[str, int, int, int]], settings: Any
) -> None:
    SpendRecord.objects.all().delete()
    backend = fake_backend()
    settings.CACHES = {**settings.CACHES, "default": backend.alias}
    clock = Clock()
    clock.set("2030-04-27T20:00:00+00:00")  # a Saturday at the end of a month
    config = BudgetConfig(key_prefix=uuid4().hex, expired_holds=policy, **CONFIG)
    budget = BudgetManager(config, clock=clock)
    try:
        pair = Pair(driver, budget, backend, Model(policy, clock))
        for operation, first, second, third in history:
            getattr(pair, operation)(first, second, third)
            pair.compare()
        pair.compare_records()
    finally:
        budget.close_sync()
