"""Housekeeping: every part is done, a failing one stops no other, and it is done at most every few seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coreason_budget.exceptions import BudgetUnavailableError
from coreason_budget.ledger.housekeeping import TICK_SECONDS, Housekeeper

from .conftest import ANN, KEYS, account, standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreason_budget.manager import BudgetManager

    from ..conftest import SyncDriver
    from ..servers import RealServer

pytestmark = pytest.mark.django_db(transaction=True)

PARTS = ("write", "drain", "sweep", "tell", "verify")


@pytest.fixture
def server(new_server: Callable[..., RealServer], use_server: Callable[[RealServer], None]) -> RealServer:
    made = new_server()
    use_server(made)
    return made


@pytest.mark.parametrize("error", [BudgetUnavailableError("down"), RuntimeError("a bug")], ids=["down", "bug"])
@pytest.mark.parametrize("broken", PARTS)
def test_a_part_that_fails_does_not_stop_the_others(
    server: RealServer,
    new_manager: Callable[..., BudgetManager],
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
    error: Exception,
) -> None:
    done: list[str] = []

    def part(name: str) -> Callable[[Housekeeper], None]:
        def do(_: Housekeeper) -> None:
            done.append(name)
            if name == broken:
                raise error

        return do

    for name in PARTS:
        do = part(name)
        do.__name__ = f"_{name}"
        monkeypatch.setattr(Housekeeper, do.__name__, do)

    new_manager().guard.housekeeper.tick()

    assert done == list(PARTS)


def test_it_is_nudged_to_work_at_most_every_few_seconds(
    server: RealServer, new_manager: Callable[..., BudgetManager], monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = new_manager()
    now, ticks = [1000.0], []
    keeper = Housekeeper(manager.ledger, lambda booking: None, clock=lambda: now[0])
    monkeypatch.setattr(manager.ledger.database, "post", lambda work: ticks.append(now[0]))

    for _ in range(10):
        keeper.nudge([ANN])
        now[0] += 1

    assert ticks == [1000 + TICK_SECONDS, 1000 + 2 * TICK_SECONDS, 1000 + 3 * TICK_SECONDS]


def test_an_account_in_use_is_proved_after_a_while_and_corrected(
    server: RealServer, new_manager: Callable[..., BudgetManager]
) -> None:
    from ..conftest import SyncDriver

    driver: SyncDriver = SyncDriver()
    manager = new_manager(verify_every=1)
    manager.charge("ann", "1")
    assert manager.flush(5)
    now = [0.0]
    keeper = Housekeeper(manager.ledger, lambda booking: None, clock=lambda: now[0])
    keeper.nudge([ANN])
    with server.client() as client:
        client.hincrby(KEYS.account(ANN), "sd", 7)
        client.hset(KEYS.account(ANN), "v", "1")
    keeper.tick()
    assert standing(driver, manager) == (1_000_000_007, 0)

    now[0] = 1.5
    keeper.tick()

    assert standing(driver, manager) == (1_000_000_000, 0)
    assert account(server)["sd"] == "1000000000"
