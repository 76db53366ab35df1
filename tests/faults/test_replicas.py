"""A replica that lags behind and is promoted: what it has not heard of is summed from the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coreason_budget.exceptions import BudgetExceededError

from ..waiting import until
from .conftest import BOUND, account, booked, standing, within
from .sentinel import is_in_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreason_budget.manager import BudgetManager

    from ..conftest import Driver
    from ..proxy import TcpProxy
    from ..servers import RealServer

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_stale_replica_that_is_promoted_starts_from_the_database(
    new_server: Callable[..., RealServer],
    new_proxy: Callable[[RealServer], TcpProxy],
    use_server: Callable[[TcpProxy], None],
    new_manager: Callable[..., BudgetManager],
    driver: Driver,
) -> None:
    primary = new_server(options={"repl-diskless-sync-delay": "0"})
    proxy = new_proxy(primary)  # the name that leads to whichever server is the primary
    use_server(proxy)
    manager = new_manager(daily_user_limit_usd="1")
    driver(manager, "charge", "ann", "0.3")
    assert manager.flush(5)
    replica = new_server(options={"replicaof": f"127.0.0.1 {primary.port}"})
    until(lambda: is_in_step(replica))
    with replica.client() as client:
        client.execute_command("REPLICAOF", "NO", "ONE")
    hold = driver(manager, "reserve", "ann", amount="0.2")
    driver(manager, "charge", "ann", "0.4", charge_id="unheard of")
    assert manager.flush(5)

    primary.kill()
    proxy.target = ("127.0.0.1", replica.port)
    assert account(replica)["sd"] == "300000000"

    with within(BOUND), pytest.raises(BudgetExceededError) as refused:
        driver(manager, "reserve", "ann", amount="0.300000001")
    assert (refused.value.spent * 10, refused.value.held) == (7, 0)
    assert driver(manager, "charge", "ann", "0.4", charge_id="unheard of").counted is True  # redelivered
    assert driver(hold, "charge", cost="0.1", final=True).counted is True
    assert manager.flush(5)
    assert standing(driver, manager) == (800_000_000, 0)
    assert booked() == 800_000_000
