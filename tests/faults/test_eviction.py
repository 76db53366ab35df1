"""A server that a cache fills up and that evicts what it likes, keys of ours too: nobody is let through for it."""

from __future__ import annotations

import random
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING

import pytest

from coreason_budget.exceptions import BudgetExceededError

from .conftest import booked, standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from coreason_budget.manager import BudgetManager

    from ..conftest import Driver
    from ..servers import RealServer

pytestmark = pytest.mark.django_db(transaction=True)

USERS = [f"user-{number}" for number in range(10)]
DIME, DIMES = 100_000_000, 5


def evicted(client: Redis) -> int:
    return int(client.info("stats")["evicted_keys"])


def test_budgets_are_exact_next_to_a_cache_that_has_them_evicted(
    new_server: Callable[..., RealServer],
    use_server: Callable[[RealServer], None],
    new_manager: Callable[..., BudgetManager],
    driver: Driver,
) -> None:
    server = new_server(options={"maxmemory": "4mb", "maxmemory-policy": "allkeys-lru", "maxmemory-samples": "1"})
    use_server(server)
    manager = new_manager(daily_user_limit_usd="0.5", timeout=2)
    chance, names, spent = random.Random(4), count(), Counter[str]()
    refused = lost = 0
    with server.client() as client:
        for _ in range(120):
            for _ in range(8):
                client.set(f"cache:{next(names)}", "x" * 50_000)
            user = chance.choice(USERS)
            accounts = client.exists(f"{{coreason-budget}}:a:user:{user}")
            lost += not accounts and spent[user]
            try:
                hold = driver(manager, "reserve", user, amount="0.1")
            except BudgetExceededError:
                refused += 1
                assert spent[user] == DIMES
                continue
            assert driver(hold, "charge", cost="0.1", final=True).counted is True
            spent[user] += 1
        assert evicted(client) > 500
        client.config_set("maxmemory", "0")

    assert manager.flush(5)
    assert lost > 10
    assert refused > 10
    assert spent == dict.fromkeys(USERS, DIMES)
    for user in USERS:
        assert booked(user) == DIMES * DIME
        assert standing(driver, manager, user)[0] == DIMES * DIME
