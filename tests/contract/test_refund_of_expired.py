"""Refunds of expired holds: late charges and releases take the same money back, and never do they take more in all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from typing import TYPE_CHECKING, Any, Final

import pytest

from coreason_budget.exceptions import RefundError
from coreason_budget.models import SpendRecord

from .tools import booked, lose_accounts, records, spent, sweep, usd

if TYPE_CHECKING:
    from coreason_budget import BudgetManager, Reservation
    from tests.conftest import Backend, Driver

    from .tools import Clock

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def expired(driver: Driver, budget: BudgetManager, clock: Clock) -> Reservation:
    """Return a hold of 0.5 USD that nobody settled in time."""
    hold: Reservation = driver(budget, "reserve", "ann", "apollo", amount="0.5", ttl=60)
    clock.move(seconds=60)
    assert sweep(budget) == ["0.5"]
    assert budget.flush(10)
    return hold


def expect(budget: BudgetManager, driver: Driver, total: str) -> None:
    """Expect this to be spent, by the accounts, by the database and by accounts that are made of it."""
    assert budget.flush(10)
    for scope in ("user", "project", "global"):
        assert spent(driver, budget, "ann", "apollo", scope=scope) == total
    assert booked() == total


def test_an_expired_hold_is_refunded_under_its_id(
    driver: Driver, budget: BudgetManager, expired: Reservation, clock: Clock
) -> None:
    receipt = driver(budget, "refund", f"expired:{expired.id}", by="root", reason="The worker was killed")

    assert f"{receipt.cost:f}" == "-0.5"
    record = SpendRecord.objects.get(kind="refund")
    assert (record.charge_id, record.hold_id) == (f"refund:expired:{expired.id}", expired.id)
    assert (record.user_id, record.project_id) == ("ann", "apollo")
    assert record.metadata == {
        "refund_of": f"expired:{expired.id}",
        "reason": "The worker was killed",
        "by": "root",
    }
    expect(budget, driver, "0")


EVENTS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "refund all": ("budget", "refund", {}),
    "refund some": ("budget", "refund", {"amount": "0.2"}),
    "late charge": ("hold", "charge", {"cost": "0.3"}),
    "last charge": ("hold", "charge", {"cost": "0.1", "final": True}),
    "release": ("hold", "release", {}),
}


@pytest.mark.parametrize("lost", ["nothing", "accounts"])
@pytest.mark.parametrize(
    "order",
    [
        *permutations(["refund all", "late charge", "release"]),
        *permutations(["refund some", "late charge", "release"]),
        *permutations(["refund some", "late charge", "last charge"]),
        *permutations(["refund all", "last charge", "refund some"]),
    ],
    ids=", ".join,
)
def test_in_any_order_what_was_booked_is_taken_back_once(
    driver: Driver, budget: BudgetManager, backend: Backend, expired: Reservation, order: tuple[str, ...], lost: str
) -> None:
    rest = total = usd("0.5")  # what is left of the expired hold, what is spent
    is_refunded = False
    for event in order:
        cost, back, succeeds = usd(EVENTS[event][2].get("cost", "0")), usd("0"), True
        if event.startswith("refund"):
            wanted = rest if event == "refund all" else usd("0.2")
            succeeds = not is_refunded and 0 < wanted <= rest
            back = wanted if succeeds else back
            is_refunded = is_refunded or succeeds
        elif event == "late charge":
            back = min(cost, rest)
        else:
            back = rest
        rest, total = rest - back, total - back + cost

        happen(driver, budget, expired, event, succeeds=succeeds)
        if lost == "accounts":
            assert budget.flush(10)
            lose_accounts(backend)

        expect(budget, driver, f"{total.normalize():f}")
    assert usd("-0.5") <= usd(booked(kind="refund"))


def happen(driver: Driver, budget: BudgetManager, hold: Reservation, event: str, *, succeeds: bool) -> None:
    whose, name, values = EVENTS[event]
    if whose == "hold":
        driver(hold, name, **values)
    elif succeeds:
        driver(budget, name, f"expired:{hold.id}", **values)
    else:
        with pytest.raises(RefundError):
            driver(budget, name, f"expired:{hold.id}", **values)


@pytest.mark.parametrize("again", [None, "0.1"])
def test_an_expired_hold_that_was_taken_back_has_nothing_left(
    driver: Driver, budget: BudgetManager, expired: Reservation, again: str | None
) -> None:
    driver(expired, "charge", cost="0.2", final=True)
    assert budget.flush(10)

    with pytest.raises(RefundError, match=r"Nothing is left of the record 'expired:.*late charge or release"):
        driver(budget, "refund", f"expired:{expired.id}", again)

    expect(budget, driver, "0.2")


def test_what_a_late_charge_left_is_named(driver: Driver, budget: BudgetManager, expired: Reservation) -> None:
    driver(expired, "charge", cost="0.2")

    with pytest.raises(RefundError, match=r"at most 0\.3 USD.*got 0\.4"):
        driver(budget, "refund", f"expired:{expired.id}", "0.4")

    driver(budget, "refund", f"expired:{expired.id}", "0.3")
    expect(budget, driver, "0.2")


def test_the_database_knows_what_was_taken_back_when_redis_has_forgotten_the_hold(
    driver: Driver, budget: BudgetManager, backend: Backend, expired: Reservation, clock: Clock
) -> None:
    driver(expired, "charge", cost="0.2", charge_id="late")
    driver(budget, "refund", "late", "0.1")  # that takes nothing back of the hold
    assert budget.flush(10)
    with backend.client() as client:
        client.flushall()
    clock.move(hours=30)

    receipt = driver(budget, "refund", f"expired:{expired.id}")

    assert f"{receipt.cost:f}" == "-0.3"
    assert booked() == "0.1"
    with backend.client() as client:
        assert not client.exists(budget.ledger.keys.hold(expired.id))


def test_what_only_the_journal_says_was_taken_back_counts(
    driver: Driver, budget: BudgetManager, expired: Reservation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(type(budget.ledger.journal), "write_pending", lambda _: 0)
        driver(expired, "charge", cost="0.2")
    assert records(kind="refund") == []

    receipt = driver(budget, "refund", f"expired:{expired.id}")

    assert f"{receipt.cost:f}" == "-0.3"
    expect(budget, driver, "0.2")


def test_a_hold_that_came_back_older_gives_no_more_than_the_database_knows(
    driver: Driver, budget: BudgetManager, backend: Backend, expired: Reservation
) -> None:
    """After a failover to a replica that had not heard of the late charge."""
    with backend.client() as client:
        key = budget.ledger.keys.hold(expired.id)
        before = client.hgetall(key)
        driver(expired, "charge", cost="0.2")
        assert budget.flush(10)
        client.hset(key, mapping=before)

    receipt = driver(budget, "refund", f"expired:{expired.id}")

    assert f"{receipt.cost:f}" == "-0.3"


def test_refunds_and_late_charges_at_once_take_back_what_there_was(
    driver: Driver, budget: BudgetManager, expired: Reservation
) -> None:
    with ThreadPoolExecutor(2) as pool:
        refunds = pool.submit(driver.together, 8, budget, "refund", f"expired:{expired.id}", "0.2")
        for _ in range(8):
            expired.charge(cost="0.1")
    refused = [answer for answer in refunds.result() if isinstance(answer, Exception)]

    assert all(isinstance(error, RefundError) for error in refused)
    assert len(refused) in {7, 8}  # all, if charges had taken it back before
    expect(budget, driver, "0.8")  # the eight charges; of the hold nothing
    assert booked(kind="refund") == "-0.5"
