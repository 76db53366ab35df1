"""A metered call: what it holds, what it books, and what is left of it however it ends."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget import BudgetExceededError, BudgetUnavailableError, UnknownModelError
from coreason_budget.metering.calls import MeteredCall, Request
from coreason_budget.metering.current import Payer
from coreason_budget.metering.sending import sent
from coreason_budget.models import SpendRecord
from tests.contract.tools import held, spent

from .caller import PROMPT, USAGE, Caller, Provider, chunk, whole

if TYPE_CHECKING:
    from coreason_budget import BudgetManager
    from tests.conftest import Driver
    from tests.contract.tools import Make

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_call_is_booked_as_the_provider_says_and_holds_nothing_afterwards(caller: Caller, figures: Any) -> None:
    provider = Provider(whole())

    assert caller(provider)["choices"][0]["message"]["content"] == "42"

    assert figures() == ("0.00075", "0")
    record = SpendRecord.objects.get()
    assert (record.user_id, record.model, record.input_tokens, record.output_tokens) == ("ann", "gpt-4o", 100, 50)


def test_while_it_is_made_a_call_holds_what_it_may_cost(caller: Caller, budget: BudgetManager) -> None:
    seen: list[Decimal] = []

    class Looking(Provider):
        def __call__(self, lowered: int | None) -> Any:
            seen.append(budget.status("ann")[0].held)
            return super().__call__(lowered)

    caller(Looking(whole()), max_output_tokens=500, choices=2)

    assert seen == [budget.pricing.estimate("gpt-4o", PROMPT, max_output_tokens=1_000)]


def test_a_call_without_room_is_never_made(caller: Caller, figures: Any) -> None:
    provider = Provider(whole())

    with pytest.raises(BudgetExceededError):
        caller(provider, max_output_tokens=200_000)

    assert provider.asked == []
    assert figures() == ("0", "0")


def test_a_call_of_a_model_without_a_price_is_never_made(caller: Caller, figures: Any) -> None:
    provider = Provider(whole())

    with pytest.raises(UnknownModelError, match="no-such-model"):
        caller(provider, models=("no-such-model",))

    assert provider.asked == []
    assert figures() == ("0", "0")


def test_a_call_that_fails_costs_nothing(caller: Caller, figures: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        caller(Provider(ZeroDivisionError()))

    assert figures() == ("0", "0")


def test_the_model_that_answered_is_the_one_that_is_paid(caller: Caller, figures: Any) -> None:
    caller(Provider(whole("gpt-4o-mini")), models=("gpt-4o", "gpt-4o-mini"))

    assert figures() == ("0.000045", "0")  # at 0.15 and 0.60 USD a million
    assert SpendRecord.objects.get().model == "gpt-4o-mini"


def test_a_version_of_the_model_that_was_asked_for_costs_what_that_costs(
    caller: Caller, figures: Any, make: Make
) -> None:
    caller(Provider(whole("gpt-4o-2024-08-06")))

    assert SpendRecord.objects.get().model == "gpt-4o"
    assert figures() == ("0.00075", "0")


def test_an_answer_without_usage_is_booked_as_it_is_counted(caller: Caller, figures: Any) -> None:
    answer = {"model": "gpt-4o", "choices": [{"message": {"content": "forty two " * 50}}]}

    caller(Provider(answer))

    record = SpendRecord.objects.get()
    assert record.output_tokens is not None
    assert 90 < record.output_tokens < 160
    assert record.input_tokens is not None
    assert 5 < record.input_tokens < 40
    assert figures()[1] == "0"


def test_an_answer_whose_price_nobody_knows_is_booked_with_what_was_held(
    caller: Caller, figures: Any, driver: Driver, make: Make
) -> None:
    caller(Provider(whole("no-such-model")), models=("no-such-model",), amount=70_000_000)

    assert figures() == ("0.07", "0")


def test_a_call_is_lowered_to_what_the_budget_can_pay(caller: Caller, figures: Any, driver: Driver) -> None:
    driver(caller.budget, "charge", "ann", "0.99")
    provider = Provider(whole())

    caller(provider, max_output_tokens=4_000, fits=16)

    (lowered,) = provider.asked
    assert lowered is not None
    assert 990 < lowered < 1_000  # 0.01 USD are a thousand tokens of an answer, less the prompt
    assert figures()[1] == "0"


def test_a_call_that_fits_keeps_its_maximum(caller: Caller) -> None:
    provider = Provider(whole())

    caller(provider, max_output_tokens=4_000, fits=16)

    assert provider.asked == [4_000]


def test_a_call_without_a_maximum_gets_the_longest_of_its_model(caller: Caller) -> None:
    provider = Provider(whole())

    caller(provider, fits=16)

    assert provider.asked == [16_384]


class StoppedError(BaseException):
    """Whoever waits for a call is stopped: cancelled, or by a signal."""


@pytest.mark.parametrize("policy", ["charge", "release"])
def test_a_call_whose_maker_is_stopped_is_treated_as_a_hold_that_nobody_settled(
    driver: Driver, make: Make, policy: str
) -> None:
    budget = make(daily_user_limit_usd="1", expired_holds=policy)

    with pytest.raises(StoppedError):
        Caller(driver, budget)(Provider(StoppedError()), max_output_tokens=500)

    budget.flush(10)
    held_for = budget.pricing.estimate("gpt-4o", PROMPT, max_output_tokens=500)
    figures = [(record.model, record.cost_usd) for record in SpendRecord.objects.all()]
    assert figures == ([("gpt-4o", held_for)] if policy == "charge" else [])
    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == (
        f"{held_for if policy == 'charge' else Decimal(0):f}",
        "0",
    )


def test_a_call_whose_event_loop_ends_is_booked_by_another_thread(budget: BudgetManager) -> None:
    asked = asyncio.Event()

    async def never() -> None:
        asked.set()
        await asyncio.get_running_loop().create_future()

    call = MeteredCall(budget, Payer("ann"), Request(("gpt-4o",), PROMPT, max_output_tokens=500))
    waiting = budget.adrive(sent(call, lambda _: never(), lambda *_: None))

    async def main() -> None:
        task = asyncio.create_task(waiting)
        await asked.wait()
        waiting.close()  # as the end of a loop does, or the collector after it
        task.cancel()
        await asyncio.wait([task])
        assert "already awaited" in str(task.exception())

    asyncio.run(main())
    budget.flush(10)
    assert budget.status("ann")[0].spent == budget.pricing.estimate("gpt-4o", PROMPT, max_output_tokens=500)
    assert budget.status("ann")[0].held == 0


def test_a_call_that_is_cancelled_before_it_is_made_holds_nothing(budget: BudgetManager) -> None:
    budget.charge("ann", "0.99")
    reckoned: list[Any] = []

    async def main() -> None:
        real = budget.areckon

        async def areckon(work: Any, *about: Any) -> Any:
            reckoned.append(work)
            if len(reckoned) == 2:  # the quote is the first
                raise asyncio.CancelledError
            return await real(work)

        budget.areckon = areckon  # type: ignore[method-assign, assignment]
        call = MeteredCall(budget, Payer("ann"), Request(("gpt-4o",), PROMPT, max_output_tokens=4_000, fits=16))
        with pytest.raises(asyncio.CancelledError):
            await budget.adrive(sent(call, lambda _: pytest.fail("it was made"), lambda *_: None))

    asyncio.run(main())

    budget.flush(10)
    assert budget.status("ann")[0].held == 0
    assert budget.status("ann")[0].spent == Decimal("0.99")


def test_a_lowered_call_shares_what_is_left_among_its_answers(caller: Caller, driver: Driver) -> None:
    driver(caller.budget, "charge", "ann", "0.99")
    provider = Provider(whole())

    caller(provider, max_output_tokens=4_000, choices=2, fits=16)

    (lowered,) = provider.asked
    assert lowered is not None
    assert 490 < lowered < 500


def test_a_call_for_which_not_even_the_least_is_left_is_refused(caller: Caller, driver: Driver) -> None:
    driver(caller.budget, "charge", "ann", "0.9999")
    provider = Provider(whole())

    with pytest.raises(BudgetExceededError):
        caller(provider, max_output_tokens=4_000, fits=16)

    assert provider.asked == []


def test_what_a_wrapper_has_booked_counts_once_however_often_it_is_charged(
    driver: Driver, budget: BudgetManager
) -> None:
    class Response:
        model = "gpt-4o"
        usage = USAGE

    response = Response()
    call = MeteredCall(budget, Payer("ann"), Request(("gpt-4o",), PROMPT))
    budget.drive(sent(call, lambda _: response, lambda *_: None))

    spend = budget.priced(response, cost=None, model=None, charge_id=None)
    receipt = budget.drive(budget.guard.charge(budget.guard.accounts("ann", None), spend))

    assert (receipt.first, receipt.cost) == (False, Decimal("0.00075"))
    assert spent(driver, budget, "ann") == "0.00075"


def test_without_redis_no_call_is_made(driver: Driver, make: Make) -> None:
    budget = make(redis_url="redis://127.0.0.1:1/0", timeout=0.05)
    provider = Provider(whole())

    with pytest.raises(BudgetUnavailableError):
        Caller(driver, budget)(provider)

    assert provider.asked == []


def test_a_request_may_be_answered_by_any_of_its_models_so_the_dearest_counts(budget: BudgetManager) -> None:
    both = MeteredCall(budget, Payer("ann"), Request(("gpt-4o-mini", "gpt-4o"), PROMPT, max_output_tokens=100))
    dear = MeteredCall(budget, Payer("bob"), Request(("gpt-4o",), PROMPT, max_output_tokens=100))

    assert both._quoter.quote().amount == dear._quoter.quote().amount


# Holds that learn


def taught(caller: Caller, view: str, *lengths: int, **terms: Any) -> Decimal:
    """Have calls of a view answered at some length; return what the next one would hold, in USD."""
    payer = Payer("ann", view=view)
    for length in lengths:
        caller(Provider(whole(completion_tokens=length, total_tokens=100 + length)), payer, **terms)
    call = MeteredCall(caller.budget, payer, Request(("gpt-4o",), PROMPT))
    return Decimal(call._quoter.quote().amount) / 1_000_000_000


def test_calls_without_a_maximum_hold_what_such_calls_came_to(caller: Caller, budget: BudgetManager) -> None:
    at_first = budget.pricing.estimate("gpt-4o", PROMPT, max_output_tokens=1_024)

    assert taught(caller, "untold") == at_first
    learned = taught(caller, "chat", *[50] * 40)

    assert budget.pricing.estimate("gpt-4o", PROMPT, max_output_tokens=50) <= learned < at_first / 2
    assert taught(caller, "another view") == at_first


def test_what_was_limited_or_broke_off_teaches_nothing(caller: Caller, budget: BudgetManager) -> None:
    at_first = budget.pricing.estimate("gpt-4o", PROMPT, max_output_tokens=1_024)

    assert taught(caller, "limited", *[50] * 5, max_output_tokens=200) == at_first
    for _ in range(5):
        stream = caller(Provider(iter([chunk("forty two"), chunk("never read")])), Payer("ann", view="broken"))
        caller.read(stream, 1)
        caller.close(stream)
    assert taught(caller, "broken") == at_first
