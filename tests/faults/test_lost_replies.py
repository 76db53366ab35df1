"""A reply that is lost after the command was executed: whatever is retried counts once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory

from coreason_budget import service
from coreason_budget.exceptions import BudgetUnavailableError
from coreason_budget.http import budget_of
from coreason_budget.ledger.scripts import script
from coreason_budget.models import SpendRecord

from .conftest import BOUND, booked, standing, within

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreason_budget.manager import BudgetManager

    from ..conftest import Driver
    from ..proxy import TcpProxy
    from ..servers import RealServer

pytestmark = pytest.mark.django_db(transaction=True)

CENT = 10_000_000


@pytest.fixture
def server(new_server: Callable[..., RealServer]) -> RealServer:
    return new_server()


@pytest.fixture
def proxy(
    server: RealServer, new_proxy: Callable[[RealServer], TcpProxy], use_server: Callable[[TcpProxy], None]
) -> TcpProxy:
    made = new_proxy(server)
    use_server(made)
    return made


@pytest.fixture
def manager(proxy: TcpProxy, new_manager: Callable[..., BudgetManager], driver: Driver) -> BudgetManager:
    made = new_manager()
    driver(made, "charge", "ann", "1")  # the account is open and the scripts are loaded
    driver(driver(made, "reserve", "ann", amount="1"), "release")
    assert made.flush(5)
    return made


@pytest.mark.parametrize("silent", [False, True], ids=["closed", "silent"])
def test_an_operation_whose_reply_is_lost_once_succeeds_and_counts_once(
    proxy: TcpProxy,
    manager: BudgetManager,
    driver: Driver,
    silent: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    proxy.drop_replies(1, matching=b"EVALSHA", silent=silent)
    hold = driver(manager, "reserve", "ann", amount="2")
    assert standing(driver, manager) == (100 * CENT, 200 * CENT)

    proxy.drop_replies(1, matching=b"EVALSHA", silent=silent)
    receipt = driver(hold, "charge", cost="0.5")
    assert (receipt.first, receipt.counted) == (True, True)
    assert standing(driver, manager) == (150 * CENT, 150 * CENT)

    proxy.drop_replies(1, matching=b"EVALSHA", silent=silent)
    driver(hold, "release")
    assert standing(driver, manager) == (150 * CENT, 0)
    assert manager.flush(5)
    assert booked() == 150 * CENT


def test_a_reserve_whose_reply_is_lost_twice_is_blocked_and_its_hold_released_soon(
    proxy: TcpProxy, manager: BudgetManager, driver: Driver
) -> None:
    proxy.drop_replies(2, matching=b"EVALSHA", silent=True)

    with within(BOUND), pytest.raises(BudgetUnavailableError):
        driver(manager, "reserve", "ann", amount="2")
    assert manager.flush(5)

    assert standing(driver, manager) == (100 * CENT, 0)


def test_a_reserve_that_is_lost_and_then_refused_a_connection_leaves_no_hold(
    proxy: TcpProxy, manager: BudgetManager, driver: Driver
) -> None:
    rule = proxy.hold_replies(1, matching=b"EVALSHA")

    def refuse() -> None:
        rule.wait()
        proxy.refuse()

    thread = threading.Thread(target=refuse)
    thread.start()
    with pytest.raises(BudgetUnavailableError):
        driver(manager, "reserve", "ann", amount="2")
    thread.join()
    manager.flush(5)
    proxy.restore()

    manager.guard.housekeeper.tick()

    assert standing(driver, manager) == (100 * CENT, 0)


def test_a_charge_whose_reply_is_lost_twice_goes_to_the_database_and_counts_once_after_all(
    server: RealServer, proxy: TcpProxy, manager: BudgetManager, driver: Driver
) -> None:
    hold = driver(manager, "reserve", "ann", amount="2")
    proxy.drop_replies(2, matching=b"EVALSHA", silent=True)

    with within(BOUND):
        receipt = driver(hold, "charge", cost="0.5", charge_id="lost-twice")

    assert (receipt.counted, receipt.status) == (False, ())
    assert manager.flush(5)
    assert SpendRecord.objects.get(charge_id="lost-twice").journal_id is None
    manager.guard.housekeeper.tick()
    driver(hold, "release")
    assert standing(driver, manager) == (150 * CENT, 0)
    assert booked() == 150 * CENT
    with server.client() as client:
        client.flushall()
    assert standing(driver, manager) == (150 * CENT, 0)


def test_a_release_whose_reply_is_lost_twice_gives_the_hold_back_once(
    proxy: TcpProxy, manager: BudgetManager, driver: Driver
) -> None:
    hold = driver(manager, "reserve", "ann", amount="2")
    proxy.drop_replies(2, matching=b"EVALSHA")

    driver(hold, "release")

    assert manager.flush(5)
    assert standing(driver, manager) == (100 * CENT, 0)
    assert booked() == 100 * CENT


def test_a_charge_whose_replies_are_lost_11_times_counts_once_however_often_it_is_repeated(
    proxy: TcpProxy, manager: BudgetManager, driver: Driver
) -> None:
    hold = driver(manager, "reserve", "ann", amount="2")
    proxy.drop_replies(11, matching=script("charge").sha.encode())
    receipts = [driver(hold, "charge", cost="0.5", charge_id="lost") for _ in range(6)]

    assert [(receipt.first, receipt.counted) for receipt in receipts] == [(True, False)] * 5 + [(False, True)]
    assert hold.cost * 2 == 1
    assert manager.flush(5)
    for _ in range(2):
        manager.guard.housekeeper.tick()
    driver(hold, "release")
    assert standing(driver, manager) == (150 * CENT, 0)
    assert booked() == 150 * CENT
    assert SpendRecord.objects.filter(charge_id="lost").count() == 1


def test_a_reserve_whose_replies_are_lost_11_times_leaves_only_the_hold_that_was_granted(
    proxy: TcpProxy, manager: BudgetManager, driver: Driver
) -> None:
    proxy.drop_replies(11, matching=script("reserve").sha.encode())
    for _ in range(5):
        with pytest.raises(BudgetUnavailableError):
            driver(manager, "reserve", "ann", amount="2")
    hold = driver(manager, "reserve", "ann", amount="2")

    assert manager.flush(5)
    manager.guard.housekeeper.tick()
    assert standing(driver, manager) == (100 * CENT, 200 * CENT)
    driver(hold, "charge", cost="2", final=True)
    assert manager.flush(5)
    assert standing(driver, manager) == (300 * CENT, 0)
    assert booked() == 300 * CENT


def test_a_request_that_charges_again_because_it_could_not_be_told_costs_what_was_charged(
    proxy: TcpProxy, manager: BudgetManager, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_manager", manager)
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    budget = budget_of(request)
    proxy.drop_replies(4, matching=script("charge").sha.encode())

    for _ in range(3):
        driver(budget, "charge", cost="0.5", charge_id="again")

    assert budget.cost * 2 == 1
    assert manager.flush(5)
    assert SpendRecord.objects.filter(charge_id="again").count() == 1
