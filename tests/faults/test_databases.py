"""A database that is down, locked, slow, read-only or hangs: traffic goes on, and no charge is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from coreason_budget.exceptions import BudgetExceededError, BudgetUnavailableError

from ..databases import down, hung, locked, read_only, slow
from .conftest import BOUND, KEYS, account, booked, standing, within

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreason_budget.manager import BudgetManager

    from ..conftest import Driver
    from ..servers import RealServer

pytestmark = pytest.mark.django_db(transaction=True)

#: How a database fails; whether it still answers who was never asked for before; how long it is waited for.
FAULTS: Final[dict[str, tuple[Callable[[], Any], bool, float]]] = {
    "down": (down, False, 0.3),
    "hung": (hung, False, 0.3),
    "locked": (locked, True, 10),
    "slow": (slow, True, 10),
    "read-only": (read_only, True, 10),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_traffic_goes_on_and_nothing_is_lost(
    new_server: Callable[..., RealServer],
    use_server: Callable[[RealServer], None],
    new_manager: Callable[..., BudgetManager],
    driver: Driver,
    fault: str,
) -> None:
    failing, answers, timeout = FAULTS[fault]
    server = new_server()
    use_server(server)
    opener = new_manager(daily_user_limit_usd="2")
    assert driver(opener, "charge", "ann", "0.5").counted is True
    assert opener.flush(5)
    manager = new_manager(daily_user_limit_usd="2", database_timeout=timeout, database_work="thread")

    with failing(), manager.deferred_writes():
        with within(BOUND):
            hold = driver(manager, "reserve", "ann", amount="1")
        with within(BOUND):
            assert driver(hold, "charge", cost="0.7", final=True).counted is True
        with within(BOUND), pytest.raises(BudgetExceededError):
            driver(manager, "reserve", "ann", amount="0.800000001")
        with within(BOUND + timeout):
            if answers:
                assert driver(manager, "check", "bob") is True
            else:
                with pytest.raises(BudgetUnavailableError, match="database"):
                    driver(manager, "check", "bob")
        with server.client() as client:
            assert client.xlen(KEYS.journal) == 1 or fault == "slow"  # which writes meanwhile
        assert account(server)["sd"] == "1200000000"

    assert manager.flush(10)
    assert booked() == 1_200_000_000
    with server.client() as client:
        assert client.xlen(KEYS.journal) == 0
        client.flushall()
    manager = new_manager(daily_user_limit_usd="2")
    assert standing(driver, manager) == (1_200_000_000, 0)
    assert driver(manager, "check", "bob") is True


@pytest.mark.parametrize("fault", FAULTS)
def test_accounts_that_are_lost_meanwhile_are_not_let_through_unless_they_can_be_summed(
    new_server: Callable[..., RealServer],
    use_server: Callable[[RealServer], None],
    new_manager: Callable[..., BudgetManager],
    driver: Driver,
    fault: str,
) -> None:
    failing, answers, timeout = FAULTS[fault]
    server = new_server()
    use_server(server)
    opener = new_manager(daily_user_limit_usd="2")
    assert driver(opener, "charge", "ann", "1.5").counted is True
    assert opener.flush(5)
    manager = new_manager(daily_user_limit_usd="2", database_timeout=timeout, database_work="thread")

    with failing():
        with server.client() as client:
            client.flushall()
        with within(BOUND + timeout), pytest.raises((BudgetExceededError, BudgetUnavailableError)) as refused:
            driver(manager, "reserve", "ann", amount="0.500000001")
        assert isinstance(refused.value, BudgetExceededError) is answers

    assert manager.flush(10)
    manager = new_manager(daily_user_limit_usd="2")
    assert standing(driver, manager) == (1_500_000_000, 0)
    with pytest.raises(BudgetExceededError):
        driver(manager, "reserve", "ann", amount="0.500000001")
