"""Somebody else's value where a key of ours should be: refused before anything is written, exact once it is gone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from coreason_budget.exceptions import BudgetUnavailableError

from ..contract.tools import dump
from .conftest import ANN, BOUND, KEYS, booked, of_user, within

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreason_budget.manager import BudgetManager

    from ..servers import RealServer

pytestmark = pytest.mark.django_db(transaction=True)

#: Which operations need which key.
NEEDS: Final = {
    "reserve": ("account", "deadlines", "journal"),
    "charge": ("account", "charge", "deadlines", "hold", "journal"),
    "release": ("account", "deadlines", "hold"),
    "extend": ("account", "deadlines", "hold"),
    "late charge": ("account", "charge", "hold", "journal"),
    "late release": ("account", "hold", "journal"),
    "sweep": ("account", "deadlines", "hold", "journal"),
}


@pytest.fixture
def server(new_server: Callable[..., RealServer], use_server: Callable[[RealServer], None]) -> RealServer:
    made = new_server()
    use_server(made)
    return made


@pytest.fixture
def manager(server: RealServer, new_manager: Callable[..., BudgetManager], monkeypatch: pytest.MonkeyPatch) -> Any:
    made = new_manager()
    monkeypatch.setattr(made.ledger.journal, "abandon", lambda *_: None)  # a release that fails is not tried again
    made.charge("ann", "1")
    assert made.flush(5)
    return made


@pytest.mark.parametrize(("operation", "kind"), [(name, kind) for name, kinds in NEEDS.items() for kind in kinds])
def test_a_key_of_another_type_stops_an_operation_before_it_writes(
    server: RealServer, manager: BudgetManager, operation: str, kind: str
) -> None:
    hold = manager.reserve("ann", amount="2", ttl=0.05 if operation in {"sweep", "late charge", "late release"} else 60)
    if operation == "sweep":
        time.sleep(0.06)
    elif "late" in operation:
        time.sleep(0.06)
        manager.guard.housekeeper.tick()
    keys = {"account": KEYS.account(ANN), "hold": KEYS.hold(hold.id), "charge": KEYS.charge("c-1")}
    key = keys.get(kind, f"{KEYS.tag}:{kind}")
    with server.client() as client:
        client.delete(key)
        client.sadd(key, "not ours")
        before = dump(server)

        with within(BOUND):
            assert is_refused(manager, hold, operation)

        assert dump(server) == before
        client.delete(key)

    assert manager.flush(5)
    for _ in range(2):
        manager.guard.housekeeper.tick()
    assert of_user(manager.status("ann"))[0] == booked()


def is_refused(manager: BudgetManager, hold: Any, operation: str) -> bool:
    try:
        match operation.removeprefix("late "):
            case "reserve":
                manager.reserve("ann", amount="3")
            case "charge":
                return not hold.charge(cost="0.5", charge_id="c-1", final=True).counted
            case "release":
                hold._manager.drive(manager.ledger.release(hold.id, hold._hold.deposit))
            case "extend":
                hold.extend(60)
            case "sweep":
                manager.ledger.run(manager.ledger.journal.sweep())
    except BudgetUnavailableError:
        return True
    return False
