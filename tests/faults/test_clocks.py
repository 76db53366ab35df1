"""Two web servers whose clocks are 5 s apart, around midnight: the clock of the Redis server decides for both."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from coreason_budget import BudgetConfig, BudgetExceededError, BudgetManager
from coreason_budget.models import SpendRecord
from coreason_budget.money import to_nanos

from ..contract.tools import Clock
from .conftest import standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..conftest import Driver
    from ..servers import RealServer

pytestmark = pytest.mark.django_db(transaction=True)

MIDNIGHT = datetime.fromisoformat("2030-03-14T00:00:00+00:00")
DIMES = 3


@pytest.fixture
def clock() -> Clock:
    made = Clock()
    made.set("2030-03-13T23:59:54+00:00")
    return made


@pytest.fixture
def server(new_server: Callable[..., RealServer], use_server: Callable[[RealServer], None]) -> RealServer:
    made = new_server()
    use_server(made)
    return made


@pytest.fixture
def managers(server: RealServer, clock: Clock) -> Iterator[list[BudgetManager]]:
    """One that is 2.5 s ahead of the Redis server and one that is 2.5 s behind."""
    made = [BudgetManager(BudgetConfig(daily_user_limit_usd="0.3", timeout=2), clock=clock) for _ in range(2)]
    for manager, skew in zip(made, (2_500, -2_500), strict=True):
        manager.ledger._skew = skew  # between this process' clock and the server's, as far as it has not been told
    yield made
    for manager in made:
        manager.close_sync()


@pytest.mark.parametrize("forgetful", [False, True], ids=["", "and accounts are lost"])
def test_each_day_has_its_budget_once_around_midnight_whoever_is_asked(
    server: RealServer,
    managers: list[BudgetManager],
    driver: Driver,
    clock: Clock,
    forgetful: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    granted, late = {False: 0, True: 0}, list[float]()
    for step in range(24):
        manager = managers[step % 2]
        is_next_day = clock.ms >= MIDNIGHT.timestamp() * 1000
        try:
            hold = driver(manager, "reserve", "ann", amount="0.1")
        except BudgetExceededError as refused:
            assert granted[is_next_day] == DIMES
            reset = MIDNIGHT.timestamp() + 86_400 * is_next_day
            late.append((refused.retry_after or 0) - (reset - clock.ms / 1000))
        else:
            driver(hold, "charge", cost="0.1", final=True)
            granted[is_next_day] += 1
        if forgetful:
            assert manager.flush(5)
            with server.client() as client:
                client.flushall()
        clock.move(seconds=0.5)

    assert late
    assert all(0 <= seconds < 1 for seconds in late)  # told to come back, to the next whole second
    assert granted == {False: DIMES, True: DIMES}
    for manager in managers:
        assert manager.flush(5)
        assert standing(driver, manager) == (300_000_000, 0)
    days = [SpendRecord.objects.filter(at__lt=MIDNIGHT), SpendRecord.objects.filter(at__gte=MIDNIGHT)]
    assert [to_nanos(records.total_usd()) for records in days] == [300_000_000, 300_000_000]
