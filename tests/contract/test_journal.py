"""Charges that wait in the journal: who drains them, and what happens when there are too many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coreason_budget import BudgetUnavailableError
from coreason_budget.models import SpendRecord

from .tools import booked, dump, lose_accounts, spent

if TYPE_CHECKING:
    from coreason_budget import BudgetManager
    from tests.conftest import Backend, Driver

    from .tools import Make

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_killed_workers_charge_is_drained_by_another(
    driver: Driver, budget: BudgetManager, make: Make, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(type(budget.ledger.journal), "write_pending", lambda _: 0)
        hold = driver(budget, "reserve", "ann", "apollo", amount="0.3")
        driver(hold, "charge", cost="0.1", model="gpt-4o", charge_id="lost")
    assert booked() == "0"
    other = make(daily_user_limit_usd="1")

    assert other.ledger.run(other.ledger.journal.drain(older_than=30)) == 0
    assert other.ledger.run(other.ledger.journal.drain()) == 1

    row = SpendRecord.objects.get()
    assert (row.charge_id, row.user_id, row.project_id, row.model, row.hold_id, row.cost_nanos) == (
        "lost",
        "ann",
        "apollo",
        "gpt-4o",
        hold.id,
        100_000_000,
    )
    assert other.ledger.run(other.ledger.journal.backlog()) == (0, 0.0)
    assert spent(driver, other, "ann") == "0.1"


def test_an_entry_that_cannot_be_read_blocks_nobody(driver: Driver, budget: BudgetManager, backend: Backend) -> None:
    with backend.client() as client:
        client.xadd("{coreason-budget}:journal", {"c": "broken", "n": "x", "k": "charge", "t": "1", "h": "", "p": "{"})
    driver(budget, "charge", "ann", "0.1")
    assert budget.flush(10)

    assert budget.ledger.run(budget.ledger.journal.drain()) == 0
    lose_accounts(backend)

    assert (spent(driver, budget, "ann"), booked()) == ("0.1", "0.1")
    assert len(dump(backend)["{coreason-budget}:journal"]) == 1


def test_an_entry_that_has_the_place_of_one_that_was_lost_stays_until_it_is_written_itself(
    driver: Driver, budget: BudgetManager, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as held_up:
        held_up.setattr(type(budget.ledger.journal), "write_pending", lambda _: 0)
        driver(budget, "charge", "ann", "0.1", charge_id="lost")
    with backend.client() as client:
        [(place, fields)] = client.xrange("{coreason-budget}:journal")
        client.flushall()  # and the clock is stepped back, so that another charge comes to the same place
        client.xadd("{coreason-budget}:journal", fields | {"c": "other", "n": "200000000"}, id=place)

    budget.guard.housekeeper.tick()  # writes the first and strikes it out

    assert (booked(charge_id="lost"), booked(charge_id="other")) == ("0.1", "0")
    assert budget.ledger.run(budget.ledger.journal.drain()) == 1
    assert booked(charge_id="other") == "0.2"
    assert spent(driver, budget, "ann") == "0.3"


def test_a_journal_above_its_cap_stops_reserves_and_not_charges(
    driver: Driver, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = make(daily_user_limit_usd="20", journal_max_length=100)
    with monkeypatch.context() as killed:
        killed.setattr(type(budget.ledger.journal), "write_pending", lambda _: 0)
        for _ in range(101):
            driver(budget, "charge", "ann", "0.1")
    with pytest.raises(BudgetUnavailableError, match=r"101 charges wait .* run manage.py budget_drain"):
        driver(budget, "reserve", "ann", amount="0.1")

    assert driver(budget, "charge", "ann", "0.1").counted is True
    budget.ledger.run(budget.ledger.journal.drain())
    driver(budget, "reserve", "ann", amount="0.1")
