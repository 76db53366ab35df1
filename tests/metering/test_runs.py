"""One hold for many calls: what a run holds, extends, stops at, and leaves behind."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget import (
    BudgetExceededError,
    HoldClosedError,
    MissingUserError,
    RunExhaustedError,
    budgeted_run,
)
from coreason_budget.metering.calls import MeteredCall, Request
from coreason_budget.metering.current import Payer, payer, payer_of, paying
from coreason_budget.metering.produced import Produced
from tests.contract.tools import held, spent, sweep

if TYPE_CHECKING:
    from coreason_budget import BudgetManager
    from tests.conftest import Driver
    from tests.contract.tools import Clock, Make

pytestmark = pytest.mark.django_db(transaction=True)

NANO = 1_000_000_000
#: 1,000 tokens of a prompt and of an answer of gpt-4o: 0.0025 + 0.01 USD.
ANSWER = {"model": "gpt-4o", "usage": {"prompt_tokens": 1_000, "completion_tokens": 1_000, "total_tokens": 2_000}}


def call(budget: BudgetManager, amount: str, who: Payer | None = None) -> MeteredCall:
    """Return a call that holds an amount."""
    return MeteredCall(
        budget, who or budget.drive(payer_of()), Request(("gpt-4o",), amount=int(Decimal(amount) * NANO))
    )


def settle(budget: BudgetManager, metered: MeteredCall) -> None:
    produced = Produced("gpt-4o")
    produced.read(ANSWER)
    budget.drive(metered.settle(produced))


def test_calls_of_a_run_draw_on_its_hold_and_the_rest_is_given_back(driver: Driver, budget: BudgetManager) -> None:
    with driver.entered(budgeted_run("ann", "apollo", amount="0.5")) as run:
        assert held(driver, budget, "ann", "apollo", scope="project") == "0.5"
        for _ in range(2):
            with run.entered():
                metered = call(budget, "0.1")
            budget.drive(metered.open())
            assert held(driver, budget, "ann") == f"{Decimal('0.5') - run.cost:f}"
            settle(budget, metered)
        assert (run.cost, run.amount) == (Decimal("0.025"), Decimal("0.5"))

    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.025", "0")
    assert (spent(driver, budget, "ann", "apollo", scope="project")) == "0.025"


def test_a_run_that_is_used_up_asks_for_as_much_again(driver: Driver, budget: BudgetManager) -> None:
    with driver.entered(budgeted_run("ann", amount="0.2")) as run:
        driver(run, "charge", cost="0.19")
        with run.entered():
            metered = call(budget, "0.05")
        budget.drive(metered.open())

        assert run.amount == Decimal("0.4")
        assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.19", "0.21")
        settle(budget, metered)

    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.2025", "0")


def test_a_run_takes_what_is_left_where_as_much_again_has_no_room(driver: Driver, budget: BudgetManager) -> None:
    with driver.entered(budgeted_run("ann", amount="0.6")) as run:
        driver(run, "charge", cost="0.5")
        with run.entered():
            metered = call(budget, "0.3")
        budget.drive(metered.open())  # 0.2 are short, 0.6 would be asked for, 0.4 are left

        assert run.amount == 1
        with run.entered(), pytest.raises(BudgetExceededError):
            budget.drive(call(budget, "0.200000001").open())
        assert held(driver, budget, "ann") == "0.5"


def test_a_run_that_is_to_stop_raises_at_its_own_amount(driver: Driver, budget: BudgetManager) -> None:
    with driver.entered(budgeted_run("ann", amount="0.2", on_exhausted="stop")) as run:
        driver(run, "charge", cost="0.15")
        with run.entered():
            budget.drive(call(budget, "0.05").open())
            with pytest.raises(RunExhaustedError, match=r"used up its amount of 0\.2 USD: spent 0\.15") as stopped:
                budget.drive(call(budget, "0.01").open())

    assert (stopped.value.limit, stopped.value.requested, stopped.value.retry_after) == (
        Decimal("0.2"),
        Decimal("0.01"),
        None,
    )
    assert held(driver, budget, "ann") == "0"


def test_an_inner_run_draws_on_the_outer_one(driver: Driver, budget: BudgetManager) -> None:
    with driver.entered(budgeted_run("ann", amount="0.5")) as outer:
        with outer.entered(), driver.entered(budgeted_run(amount="0.2", on_exhausted="stop")) as inner:
            assert held(driver, budget, "ann") == "0.5"
            driver(inner, "charge", cost="0.15")
            with inner.entered(), pytest.raises(RunExhaustedError):
                budget.drive(call(budget, "0.06").open())
        assert (inner.cost, outer.cost) == (Decimal("0.15"), Decimal("0.15"))
        with outer.entered():
            budget.drive(call(budget, "0.35").open())  # what the inner run left is the outer one's again
        assert outer.amount == Decimal("0.5")

    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.15", "0")


def test_an_inner_run_that_is_extended_extends_the_outer_one(driver: Driver, budget: BudgetManager) -> None:
    with (
        driver.entered(budgeted_run("ann", amount="0.3")) as outer,
        outer.entered(),
        driver.entered(budgeted_run(amount="0.2")) as inner,
    ):
        driver(inner, "charge", cost="0.2")
        with inner.entered():
            budget.drive(call(budget, "0.15").open())

        assert inner.amount == Decimal("0.4")
        assert outer.amount == Decimal("0.6")
        assert held(driver, budget, "ann") == "0.4"


def test_a_run_of_another_user_inside_a_run_has_a_hold_of_its_own(driver: Driver, budget: BudgetManager) -> None:
    with (
        driver.entered(budgeted_run("ann", amount="0.3")) as outer,
        outer.entered(),
        driver.entered(budgeted_run("bob", amount="0.2")),
    ):
        assert (held(driver, budget, "ann"), held(driver, budget, "bob")) == ("0.3", "0.2")


def test_a_run_without_room_is_refused(driver: Driver, budget: BudgetManager) -> None:
    with pytest.raises(BudgetExceededError), driver.entered(budgeted_run("ann", amount="1.01")):
        pytest.fail("it was entered")
    assert payer() is None


def test_a_run_that_fails_gives_back_what_it_held(driver: Driver, budget: BudgetManager) -> None:
    with pytest.raises(ZeroDivisionError), driver.entered(budgeted_run("ann", amount="0.3")):
        _ = 1 / 0

    assert held(driver, budget, "ann") == "0"
    assert payer() is None


def test_threads_of_a_run_draw_on_it_together(budget: BudgetManager) -> None:
    def work(_: int) -> None:
        metered = call(budget, "0.02")
        budget.drive(metered.open())
        settle(budget, metered)

    with budgeted_run("ann", amount="0.1") as run, ThreadPoolExecutor(8) as pool:
        list(pool.map(run.bound(work), range(40)))

    assert run.cost == Decimal("0.5")
    (status,) = [item for item in budget.status("ann") if item.scope == "user"]
    assert (status.spent, status.held) == (Decimal("0.5"), 0)


def test_tasks_of_a_run_draw_on_it_together(budget: BudgetManager) -> None:
    async def work() -> None:
        metered = call(budget, "0.02")
        await budget.adrive(metered.open())
        produced = Produced("gpt-4o")
        produced.read(ANSWER)
        await budget.asettle(metered.settle(produced))

    async def main() -> Any:
        async with budgeted_run("ann", amount="0.1") as run:
            await asyncio.gather(*(work() for _ in range(20)), *(asyncio.to_thread(_in_thread) for _ in range(20)))
        return run

    def _in_thread() -> None:
        metered = call(budget, "0.02")
        budget.drive(metered.open())
        settle(budget, metered)

    run = asyncio.run(main())

    assert run.cost == Decimal("0.5")
    (status,) = [item for item in budget.status("ann") if item.scope == "user"]
    assert (status.spent, status.held) == (Decimal("0.5"), 0)


def test_an_event_loop_that_is_run_inside_a_run_draws_on_it(budget: BudgetManager) -> None:
    async def ask() -> None:
        metered = call(budget, "0.2")
        await budget.adrive(metered.open())
        await asyncio.to_thread(settle, budget, metered)

    with budgeted_run("ann", amount="1") as run:
        asyncio.run(ask())
        with asyncio.Runner() as runner:
            runner.run(ask())
        assert run.cost == Decimal("0.025")
    assert budget.status("ann")[0].spent == Decimal("0.025")


def test_a_thread_knows_who_pays_only_if_it_is_given_the_context(budget: BudgetManager) -> None:
    with budgeted_run("ann", amount="1") as run, ThreadPoolExecutor(1) as pool:
        assert pool.submit(payer).result() is None
        for carried in (run.bound(payer), partial(copy_context().run, payer)):
            found = pool.submit(carried).result()
            assert found is not None
            assert found.purse is not None


def test_a_run_never_goes_over_a_limit_whoever_draws_on_it(budget: BudgetManager) -> None:
    def work(_: int) -> bool:
        metered = call(budget, "0.0125")
        try:
            budget.drive(metered.open())
        except BudgetExceededError:
            return False
        settle(budget, metered)
        return True

    with budgeted_run("ann", amount="0.05") as run, ThreadPoolExecutor(8) as pool:
        let_through = sum(pool.map(run.bound(work), range(120)))

    assert let_through == 80  # of 0.0125 each: a dollar
    assert run.cost == 1


def test_calls_keep_a_run_alive(driver: Driver, make: Make, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = make(hold_ttl=60, daily_user_limit_usd="1")
    now = [1_000.0]
    monkeypatch.setattr("coreason_budget.metering.purse.monotonic", lambda: now[0])
    with driver.entered(budgeted_run("ann", amount="0.5")) as run:
        for _ in range(5):
            clock.move(seconds=40)
            now[0] += 40
            with run.entered():
                metered = call(budget, "0.01")
            budget.drive(metered.open())
            assert sweep(budget) == []
            budget.drive(metered.release())
        assert held(driver, budget, "ann") == "0.5"


def test_a_call_whose_run_has_ended_holds_its_own(driver: Driver, budget: BudgetManager) -> None:
    with driver.entered(budgeted_run("ann", amount="0.5")) as run, run.entered():
        left_behind = call(budget, "0.1")

    budget.drive(left_behind.open())
    assert held(driver, budget, "ann") == "0.1"
    settle(budget, left_behind)
    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.0125", "0")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"amount": 0}, "amount must be more than 0"),
        ({"on_exhausted": "explode"}, "on_exhausted must be 'extend' or 'stop', not 'explode'"),
    ],
)
def test_a_run_that_cannot_be_is_refused_by_name(budget: BudgetManager, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        budgeted_run("ann", **options)


def test_a_run_of_nobody_is_refused(driver: Driver, budget: BudgetManager) -> None:
    with pytest.raises(MissingUserError, match="pass budget_user"), driver.entered(budgeted_run(amount="0.1")):
        pytest.fail("it was entered")


def test_a_run_begins_once_and_knows_nothing_before(driver: Driver, budget: BudgetManager) -> None:
    run = budgeted_run("ann", amount="0.1")
    assert repr(run) == "<BudgetedRun: not begun>"
    with pytest.raises(ValueError, match="has not begun"):
        run.entered()
    with driver.entered(run):
        assert repr(run) == "<BudgetedRun: 0 of 0.1 USD used>"
    with pytest.raises(HoldClosedError, match="has begun before"), driver.entered(run):
        pytest.fail("it was entered again")


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ((None, None), ("ann", "apollo", True)),
        (("ann", None), ("ann", "apollo", True)),
        (("ann", "apollo"), ("ann", "apollo", True)),
        ((None, "gemini"), ("ann", "gemini", False)),
        (("bob", None), ("bob", None, False)),
        (("bob", "apollo"), ("bob", "apollo", False)),
    ],
)
def test_who_names_the_same_accounts_draws_on_the_same_hold(
    budget: BudgetManager, named: tuple[str | None, str | None], expected: tuple[str, str | None, bool]
) -> None:
    with budgeted_run("ann", "apollo", amount="0.1"):
        found = budget.drive(payer_of(*named))
    assert (found.user_id, found.project_id, found.purse is not None) == expected


@pytest.mark.parametrize(("user", "error"), [("", ValueError), (1.5, TypeError), ("a\nb", ValueError)])
def test_a_payer_that_cannot_be_is_refused_by_name(budget: BudgetManager, user: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="budget_user"):
        budget.drive(payer_of(user))


def test_who_pays_is_who_paid_before_once_the_block_is_left() -> None:
    with paying(Payer("ann")):
        with paying(None):
            assert payer() is None
        assert payer() == Payer("ann")
    assert payer() is None
