"""Refunds: what was booked is taken back once, not more than it was, and every way to count agrees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget import ANONYMOUS, BudgetExceededError
from coreason_budget.exceptions import RefundError
from coreason_budget.ledger import refunds
from coreason_budget.models import ProjectLimit, SpendRecord
from coreason_budget.periods import from_ms
from coreason_budget.scopes import GLOBAL
from coreason_budget.signals import budget_threshold_reached, budget_unavailable, spend_recorded

from .driving import drive_until, finish
from .tools import account, booked, dump, everywhere, lose_accounts, records, spent, usd

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.dispatch import Signal

    from coreason_budget import BudgetManager
    from tests.conftest import Backend, Driver

    from .tools import Clock, Make

    Heard = Callable[[Signal], list[dict[str, Any]]]

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_refund_is_a_negative_record_that_names_the_original(
    driver: Driver, charged: BudgetManager, clock: Clock
) -> None:
    clock.move(minutes=1)

    receipt = driver(charged, "refund", "c-1", reason="The answer\nwas empty 🦊", by="root")

    assert (receipt.charge_id, receipt.cost, receipt.first, receipt.counted) == ("refund:c-1", usd("-0.6"), True, True)
    record = SpendRecord.objects.get(charge_id="refund:c-1")
    assert (record.kind, record.cost_usd, record.at) == ("refund", usd("-0.6"), from_ms(clock.ms))
    assert (record.user_id, record.project_id, record.model) == ("ann", "apollo", "gpt-4o")
    assert (record.hold_id, record.input_tokens, record.output_tokens) == ("", None, None)
    assert record.metadata == {"refund_of": "c-1", "reason": "The answer\nwas empty 🦊", "by": "root"}
    assert record.journal_id is not None
    assert everywhere(driver, charged) == {"0"}


def test_a_refund_makes_room_at_once(driver: Driver, charged: BudgetManager) -> None:
    with pytest.raises(BudgetExceededError):
        driver(charged, "reserve", "ann", "apollo", amount="0.5")

    receipt = driver(charged, "refund", "c-1", "0.1")

    assert [(item.scope, item.spent, item.remaining) for item in receipt.status] == [
        ("user", usd("0.5"), usd("0.5")),
        ("project", usd("0.5"), usd("2.5")),
        ("global", usd("0.5"), usd("99.5")),
    ]
    driver(charged, "reserve", "ann", "apollo", amount="0.5")


def test_a_refund_is_told_once_as_a_negative_cost(driver: Driver, charged: BudgetManager, heard: Heard) -> None:
    said, reached, unavailable = heard(spend_recorded), heard(budget_threshold_reached), heard(budget_unavailable)

    receipt = driver(charged, "refund", "c-1")

    assert [(item["receipt"], item["user_id"], item["project_id"], item["model"]) for item in said] == [
        (receipt, "ann", "apollo", "gpt-4o")
    ]
    assert (reached, unavailable) == ([], [])


@pytest.mark.parametrize("first", [None, "0.2", "0.6"])
@pytest.mark.parametrize("again", [None, "0.1"])
def test_a_record_is_refunded_once(
    driver: Driver, charged: BudgetManager, backend: Backend, first: str | None, again: str | None
) -> None:
    driver(charged, "refund", "c-1", first)
    before, rows = dump(backend), list(SpendRecord.objects.values())

    with pytest.raises(RefundError, match="'c-1' was refunded before"):
        driver(charged, "refund", "c-1", again)

    assert (dump(backend), list(SpendRecord.objects.values())) == (before, rows)


@pytest.mark.parametrize("loss", ["refund id", "flush", "everything but the journal"])
def test_a_record_is_refunded_once_whatever_redis_forgets(
    driver: Driver, charged: BudgetManager, backend: Backend, loss: str
) -> None:
    driver(charged, "refund", "c-1", "0.2")
    with backend.client() as client:
        if loss == "refund id":
            assert client.delete(charged.ledger.keys.charge("refund:c-1")) == 1
        elif loss == "flush":
            client.flushall()
        else:
            for key in client.scan_iter("*", count=1000):
                if key != charged.ledger.keys.journal:
                    client.delete(key)
    before = dump(backend)

    with pytest.raises(RefundError, match="'c-1' was refunded before"):
        driver(charged, "refund", "c-1")

    assert dump(backend) == before
    assert everywhere(driver, charged) == {"0.4"}


def test_a_refund_that_only_the_journal_has_is_not_booked_again(
    driver: Driver, charged: BudgetManager, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker was killed before it wrote it, nobody drained the journal, and the id has run out."""
    with monkeypatch.context() as patch:
        patch.setattr(charged.ledger.journal, "write", lambda _: None)
        driver(charged, "refund", "c-1", "0.2", reason="late", by="root")
    assert records(kind="refund") == []
    with backend.client() as client:
        client.delete(charged.ledger.keys.charge("refund:c-1"))
    monkeypatch.setattr(refunds, "ORPHANED_SECONDS", 0)

    with pytest.raises(RefundError, match="'c-1' was refunded before"):
        driver(charged, "refund", "c-1")

    record = SpendRecord.objects.get(kind="refund")
    assert (record.metadata, record.model) == ({"refund_of": "c-1", "reason": "late", "by": "root"}, "gpt-4o")
    assert everywhere(driver, charged) == {"0.4"}


def test_of_32_refunds_at_once_one_is_booked(driver: Driver, charged: BudgetManager, heard: Heard) -> None:
    said = heard(spend_recorded)

    answers = driver.together(32, charged, "refund", "c-1", "0.1")

    errors = [answer for answer in answers if isinstance(answer, RefundError)]
    assert (len(errors), len(said)) == (31, 1)
    assert all("was refunded before" in str(error) for error in errors)
    assert records(kind="refund") == [("refund", "-0.1")]
    assert everywhere(driver, charged) == {"0.5"}


def test_of_two_refunds_between_which_redis_forgets_all_one_is_booked(
    driver: Driver, charged: BudgetManager, backend: Backend
) -> None:
    """Both have looked into the database before either has written."""
    slow = charged.guard.refund(refunds.Refund("c-1", 100_000_000, {}))
    at_script = drive_until(charged, slow, "refund")
    driver(charged, "refund", "c-1", "0.2")
    with backend.client() as client:
        client.flushall()

    with pytest.raises(RefundError, match="'c-1' was refunded before"):
        finish(charged, slow, at_script)

    assert records(kind="refund") == [("refund", "-0.2")]
    assert everywhere(driver, charged) == {"0.4"}


# What cannot be refunded


def test_not_more_is_refunded_than_was_booked(driver: Driver, charged: BudgetManager, backend: Backend) -> None:
    before = dump(backend)

    with pytest.raises(RefundError, match=r"at most 0\.6 USD.*'c-1', got 0\.600000001; leave it out"):
        driver(charged, "refund", "c-1", "0.600000001")

    assert dump(backend) == before
    driver(charged, "refund", "c-1", "0.6")
    assert everywhere(driver, charged) == {"0"}


@pytest.mark.parametrize(
    ("charge_id", "message"),
    [
        ("c-2", "no spend record with the charge id 'c-2'"),
        ("C-1", "no spend record with the charge id 'C-1'"),
        ("refund:c-1", "'refund' of -0.1 USD: only charges and expired holds"),
        ("free", "'charge' of 0 USD: only charges and expired holds"),
        ("release:1", "'adjustment' of 0 USD"),
        ("correction", "'adjustment' of 5 USD"),
        ("", "charge_id must not be empty"),
        ("  ", "charge_id must not be empty"),
        (ANONYMOUS, "charge_id must not be empty"),
        ("x" * 201, "at most 200 characters"),
        ("a\0", "control characters"),
    ],
)
def test_what_is_no_charge_cannot_be_refunded(
    driver: Driver, charged: BudgetManager, clock: Clock, charge_id: str, message: str
) -> None:
    driver(charged, "refund", "c-1", "0.1")
    driver(charged, "charge", "ann", 0, charge_id="free")
    for name, nanos in (("release:1", 0), ("correction", 5_000_000_000)):
        SpendRecord.objects.create(
            charge_id=name, journal_id=1, user_id="eve", cost_nanos=nanos, kind="adjustment", at=from_ms(clock.ms)
        )
    count = SpendRecord.objects.count()

    with pytest.raises(RefundError, match=message):
        driver(charged, "refund", charge_id)

    assert SpendRecord.objects.count() == count


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"amount": 0}, "amount must be more than 0 USD, got 0; leave it out"),
        ({"amount": "-0.1"}, "amount must not be negative, got '-0.1'"),
        ({"amount": "NaN"}, "finite"),
        ({"amount": "1e10"}, "at most 1,000,000,000 USD"),
        ({"amount": "ten"}, "such as '0.05'"),
        ({"reason": "x" * 501}, "reason must have at most 500 characters, got 501"),
        ({"by": "x" * 501}, "by must have at most 500 characters"),
        ({"reason": "a\0b"}, "null characters"),
        ({"by": "\ud800"}, "lone surrogates"),
    ],
)
def test_a_bad_value_is_named(driver: Driver, charged: BudgetManager, values: dict[str, Any], message: str) -> None:
    with pytest.raises(RefundError, match=message):
        driver(charged, "refund", "c-1", **values)

    assert records() == [("charge", "0.6")]


@pytest.mark.parametrize(
    "values", [{"charge_id": None}, {"charge_id": b"c-1"}, {"amount": b"1"}, {"reason": None}, {"by": 7}]
)
def test_a_wrong_type_is_a_type_error(driver: Driver, charged: BudgetManager, values: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=f"{next(iter(values))} must be"):
        driver(charged, "refund", **{"charge_id": "c-1", **values})

    assert records() == [("charge", "0.6")]


def test_ids_of_refunds_are_reserved(driver: Driver, charged: BudgetManager) -> None:
    with pytest.raises(ValueError, match="'refund:c-1' is reserved"):
        driver(charged, "charge", "ann", "0.1", charge_id="refund:c-1")


def test_the_longest_id_can_be_refunded(driver: Driver, budget: BudgetManager) -> None:
    driver(budget, "charge", "ann", "0.1", charge_id="x" * 200)
    assert budget.flush(10)

    driver(budget, "refund", "x" * 200)

    assert SpendRecord.objects.filter(charge_id="refund:" + "x" * 200).count() == 1


# Windows and other ways to count


def test_a_refund_of_yesterday_gives_room_today(
    driver: Driver, make: Make, backend: Backend, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = make(daily_user_limit_usd="1", weekly_user_limit_usd="2")
    driver(budget, "charge", "ann", "0.6", charge_id="c-1")
    assert budget.flush(10)
    clock.set("2030-03-14T01:00:00+00:00")

    driver(budget, "refund", "c-1")

    def figures() -> list[tuple[str, str]]:
        items = [account(driver, budget, "ann", period=period) for period in ("day", "week")]
        return [(f"{item.spent:f}", f"{item.remaining:f}") for item in items]

    assert figures() == [("-0.6", "1.6"), ("0", "2")]
    driver(driver(budget, "reserve", "ann", amount="1.6"), "release")
    assert budget.ledger.run(budget.ledger.rebuild(GLOBAL, "verify", 0)).corrections == {}
    lose_accounts(backend)
    assert figures() == [("-0.6", "1.6"), ("0", "2")]
    with backend.client() as client:
        client.flushall()
    assert figures() == [("-0.6", "1.6"), ("0", "2")]


def test_a_rebuild_counts_a_refund_that_is_still_in_the_journal(
    driver: Driver, charged: BudgetManager, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(charged.ledger.journal, "write", lambda _: None)
        driver(charged, "refund", "c-1", "0.2")
    lose_accounts(backend)

    assert [f"{item.spent:f}" for item in driver(charged, "status", "ann", "apollo")] == ["0.4"] * 3
    assert records(kind="refund") == []
    assert charged.ledger.run(charged.ledger.journal.drain()) == 1
    assert everywhere(driver, charged) == {"0.4"}


def test_a_refund_finds_the_accounts_that_redis_has_lost(
    driver: Driver, charged: BudgetManager, backend: Backend
) -> None:
    with backend.client() as client:
        client.flushall()

    receipt = driver(charged, "refund", "c-1", "0.2")

    assert [f"{item.spent:f}" for item in receipt.status] == ["0.4"] * 3
    assert everywhere(driver, charged) == {"0.4"}


def test_a_refund_while_an_account_is_rebuilt_counts_once(
    driver: Driver, charged: BudgetManager, backend: Backend
) -> None:
    lose_accounts(backend)
    rebuild = charged.ledger.rebuild(GLOBAL)
    at_end = drive_until(charged, rebuild, "rebuild_end")

    driver(charged, "refund", "c-1", "0.2")

    finish(charged, rebuild, at_end)
    assert everywhere(driver, charged) == {"0.4"}


def test_a_visitor_who_is_not_logged_in_gets_a_refund_too(driver: Driver, budget: BudgetManager) -> None:
    driver(budget, "charge", ANONYMOUS, "0.6", charge_id="c-1")
    assert budget.flush(10)

    driver(budget, "refund", "c-1", "0.5")

    assert spent(driver, budget, ANONYMOUS) == "0.1"
    assert booked(user_id="") == "0.1"


def test_a_charge_that_is_still_on_its_way_can_be_refunded(
    driver: Driver, budget: BudgetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(type(budget.ledger.journal), "write_pending", lambda _: 0)
        driver(budget, "charge", "ann", "0.6", charge_id="c-1")
    budget.ledger.journal._pending.clear()  # as if another process had made it
    assert records() == []

    driver(budget, "refund", "c-1", "0.2")

    assert sorted(records()) == [("charge", "0.6"), ("refund", "-0.2")]
    assert spent(driver, budget, "ann") == "0.4"


def test_a_blocked_account_stays_blocked_if_refunds_come_to_more_than_was_spent(
    driver: Driver, make: Make, clock: Clock
) -> None:
    budget = make(daily_user_limit_usd="1")
    ProjectLimit.objects.create(project_id="apollo", amount_usd=0)
    driver(budget, "charge", "bob", "0.5", "apollo", None, "c-2")
    assert budget.flush(10)
    clock.move(days=1)
    driver(budget, "refund", "c-2")
    assert spent(driver, budget, "bob", "apollo", scope="project") == "-0.5"

    for amount in ("0", "0.1"):
        with pytest.raises(BudgetExceededError) as refused:
            driver(budget, "reserve", "bob", "apollo", amount=amount, least=amount)
        assert (refused.value.limit, refused.value.remaining, refused.value.retry_after) == (0, 0, None)
    with pytest.raises(BudgetExceededError):
        driver(budget, "check", "bob", "apollo")
    assert account(driver, budget, "bob", "apollo", scope="project").remaining == 0


def test_a_refund_leaves_the_hold_of_its_charge_alone(driver: Driver, budget: BudgetManager) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5")
    driver(hold, "charge", cost="0.2", charge_id="c-1")
    assert budget.flush(10)

    driver(budget, "refund", "c-1")

    item = account(driver, budget, "ann")
    assert (item.spent, item.held) == (0, usd("0.3"))
