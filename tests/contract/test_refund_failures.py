"""Refunds while Redis or the database does not answer: nothing is half done, and nothing paid twice."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError
from redis.exceptions import ConnectionError as RedisConnectionLost

from coreason_budget import BudgetUnavailableError
from coreason_budget.exceptions import RefundError
from coreason_budget.ledger import records as ledger_records
from coreason_budget.models import SpendRecord
from coreason_budget.signals import budget_unavailable, spend_recorded

from .driving import runs
from .tools import everywhere, records, usd

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.dispatch import Signal

    from coreason_budget import BudgetManager
    from tests.conftest import Driver

    Heard = Callable[[Signal], list[dict[str, Any]]]

pytestmark = pytest.mark.django_db(transaction=True)


def test_while_redis_is_down_nothing_is_refunded(
    driver: Driver, charged: BudgetManager, monkeypatch: pytest.MonkeyPatch, heard: Heard
) -> None:
    said, failures = heard(spend_recorded), heard(budget_unavailable)
    with monkeypatch.context() as patch:
        patch.setattr(charged.ledger.connections, "execute", fail)
        patch.setattr(charged.ledger.connections, "aexecute", fail)
        with pytest.raises(BudgetUnavailableError):
            driver(charged, "refund", "c-1")
    assert [item["operation"] for item in failures] == ["refund"]
    assert (records(), said) == ([("charge", "0.6")], [])

    driver(charged, "refund", "c-1")

    assert everywhere(driver, charged) == {"0"}


@pytest.mark.parametrize("replies", [1, 2])
def test_a_refund_whose_answer_is_lost_is_booked_once(
    driver: Driver, charged: BudgetManager, monkeypatch: pytest.MonkeyPatch, replies: int
) -> None:
    lose_replies(charged, monkeypatch, replies)

    if replies == 1:
        assert driver(charged, "refund", "c-1", "0.2").first is True
    else:
        with pytest.raises(BudgetUnavailableError):
            driver(charged, "refund", "c-1", "0.2")
        with pytest.raises(RefundError, match="was refunded before"):
            driver(charged, "refund", "c-1", "0.2")
        charged.ledger.run(charged.ledger.journal.drain())

    assert records(kind="refund") == [("refund", "-0.2")]
    assert everywhere(driver, charged) == {"0.4"}


def test_a_refund_that_the_database_cannot_take_now_is_written_later(
    driver: Driver, charged: BudgetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ledger_records, "_row", broken_database)
        receipt = driver(charged, "refund", "c-1", "0.2", reason="why", by="root")
        assert charged.flush(10) is False
    assert (receipt.cost, records(kind="refund")) == (usd("-0.2"), [])

    assert charged.flush(10)

    record = SpendRecord.objects.get(kind="refund")
    assert record.metadata == {"refund_of": "c-1", "reason": "why", "by": "root"}
    assert everywhere(driver, charged) == {"0.4"}


def test_while_the_database_is_down_nothing_is_refunded(
    driver: Driver, charged: BudgetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ledger_records, "original", broken_database)
        with pytest.raises(BudgetUnavailableError):
            driver(charged, "refund", "c-1")

    assert everywhere(driver, charged) == {"0.6"}


def fail(*_: object) -> Any:
    raise RedisConnectionLost from ConnectionRefusedError()


def broken_database(*_: object) -> Any:
    raise OperationalError("down")


def lose_replies(budget: BudgetManager, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Have the script be executed, but its first answers be lost."""
    execute, aexecute = budget.ledger.connections.execute, budget.ledger.connections.aexecute
    left, lock = [times], threading.Lock()

    def lose(args: Any) -> None:
        with lock:
            if left[0] and runs(args, "refund"):
                left[0] -= 1
                raise TimeoutError

    def executed(args: Any) -> Any:
        reply = execute(args)
        lose(args)
        return reply

    async def aexecuted(args: Any) -> Any:
        reply = await aexecute(args)
        lose(args)
        return reply

    monkeypatch.setattr(budget.ledger.connections, "execute", executed)
    monkeypatch.setattr(budget.ledger.connections, "aexecute", aexecuted)
