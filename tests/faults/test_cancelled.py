"""A response that was paid for is booked, wherever its charge is cancelled: also while its price is looked up."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest

from ..waiting import until
from .conftest import booked, of_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coreason_budget.manager import BudgetManager

    from ..proxy import TcpProxy
    from ..servers import RealServer

pytestmark = pytest.mark.django_db(transaction=True)

PRICES = {"input_usd_per_million": "1000", "output_usd_per_million": "4000"}
RESPONSE = {"model": "m", "usage": {"prompt_tokens": 100, "completion_tokens": 100, "total_tokens": 200}}


@pytest.fixture
def proxy(new_server: Callable[..., RealServer], new_proxy: Any, use_server: Callable[[TcpProxy], None]) -> TcpProxy:
    made: TcpProxy = new_proxy(new_server())
    use_server(made)
    return made


@pytest.fixture
def manager(proxy: TcpProxy, new_manager: Callable[..., BudgetManager]) -> BudgetManager:
    return new_manager(timeout=2, model_price_overrides={"m": PRICES})


class Pricing:
    """A price that takes its time: as long as the first import of litellm."""

    def __init__(self, cost_of: Callable[..., Any]) -> None:
        self._cost_of = cost_of
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, *args: Any) -> Any:
        self.begun.set()
        assert self.go_on.wait(10)
        return self._cost_of(*args)


@pytest.fixture
def pricing(manager: BudgetManager, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pricing]:
    slow = Pricing(manager.pricing.cost_of)
    monkeypatch.setattr(manager.pricing, "cost_of", slow)
    monkeypatch.setattr(manager.pricing, "is_quick", lambda *_: False)  # so it is looked up in a thread
    yield slow
    slow.go_on.set()


async def call(manager: BudgetManager) -> None:
    async with manager.reservation("ann", amount="2") as hold:
        await hold.acharge(RESPONSE, charge_id="paid for")


def assert_is_booked_once(manager: BudgetManager) -> None:
    assert manager.flush(5)
    assert of_user(manager.status("ann")) == (500_000_000, 0)
    assert booked() == 500_000_000


def is_booked_when_collected(manager: BudgetManager) -> bool:
    gc.collect()
    return manager.flush(5) and booked() == 500_000_000


def test_a_charge_that_is_cancelled_while_it_is_priced_is_booked(manager: BudgetManager, pricing: Pricing) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(call(manager))
        await asyncio.to_thread(pricing.begun.wait, 10)
        task.cancel()
        await asyncio.sleep(0.01)
        pricing.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert of_user(await manager.astatus("ann")) == (500_000_000, 0)

    asyncio.run(main())
    assert_is_booked_once(manager)


def test_a_charge_whose_loop_ends_while_it_is_priced_is_booked(manager: BudgetManager, pricing: Pricing) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(call(manager))
        await asyncio.to_thread(pricing.begun.wait, 10)
        asyncio.get_running_loop().call_later(0.1, pricing.go_on.set)  # asyncio.run waits for its threads
        assert not task.done()

    asyncio.run(main())
    assert_is_booked_once(manager)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_charge_whose_loop_is_closed_while_it_is_priced_is_booked(manager: BudgetManager, pricing: Pricing) -> None:
    loop = asyncio.new_event_loop()
    hold = manager.reserve("ann", amount="2")
    task = loop.create_task(hold.acharge(RESPONSE))
    loop.run_until_complete(asyncio.to_thread(pricing.begun.wait, 10))
    loop.close()
    pricing.go_on.set()
    del task, loop

    until(lambda: is_booked_when_collected(manager))  # once the price is known
    hold.release()
    assert_is_booked_once(manager)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_charge_whose_loop_is_closed_while_the_server_answers_is_booked(
    manager: BudgetManager, proxy: TcpProxy
) -> None:
    hold = manager.reserve("ann", amount="2")
    rule = proxy.hold_replies(1, matching=b"EVALSHA")
    loop = asyncio.new_event_loop()
    task = loop.create_task(hold.acharge(cost="0.5", charge_id="paid for"))
    loop.run_until_complete(asyncio.to_thread(rule.wait))
    loop.close()
    rule.release()
    del task, loop
    gc.collect()
    assert asyncio.run(manager.acheck("ann")) is True  # drops what belonged to the closed loop
    gc.collect()

    assert manager.flush(5)
    assert booked() == 500_000_000
    hold.release()
    manager.guard.housekeeper.tick()
    assert_is_booked_once(manager)
