"""Calls as agents and impatient users make them: many at once on a run, cancelled, broken, thrown away by a router."""

from __future__ import annotations

import asyncio
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import openai
import pytest
from google import genai

from coreason_budget import PricingEngine, RunExhaustedError, budgeted_run, service
from coreason_budget.integrations import litellm as ours
from coreason_budget.integrations.openai import wrap
from coreason_budget.metering.produced import Produced
from coreason_budget.pricing.litellm_prices import load_litellm
from tests.litellms import WARNS
from tests.upstream import Answer, Break, Gate, Tokens, ToolCall

from .bench import ASKED, USER
from .test_litellm_calls import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable

    from .bench import Bench

pytestmark = WARNS


@pytest.fixture
def asked(bench: Bench) -> dict[str, Any]:
    return {"api_base": bench.upstream.openai_url, "api_key": "-", "max_retries": 0, "max_tokens": 100}


# runs ----------------------------------------------------------------------------------------------------------------


def in_threads(asked: dict[str, Any]) -> Decimal:
    """Make twelve calls on one run by threads; return what it cost."""

    def work(number: int) -> None:
        if number % 3 == 0:
            ours.completion("openai/gpt-4", ASKED, **asked)
        elif number % 3 == 1:
            for _ in ours.completion("openai/gpt-4", ASKED, stream=True, **asked):
                pass
        else:
            with budgeted_run(amount="0.02"):
                ours.completion("openai/gpt-4", ASKED, **asked)

    with budgeted_run(USER, amount="0.05") as run, ThreadPoolExecutor(6) as pool:
        list(pool.map(run.bound(work), range(12)))
        return run.cost


async def in_tasks(asked: dict[str, Any]) -> Decimal:
    """Make twelve calls on one run by tasks; return what it cost."""

    async def work(number: int) -> None:
        if number % 3 == 0:
            await ours.acompletion("openai/gpt-4", ASKED, **asked)
        elif number % 3 == 1:
            async for _ in await ours.acompletion("openai/gpt-4", ASKED, stream=True, **asked):
                pass
        else:
            async with budgeted_run(amount="0.02"):
                await ours.acompletion("openai/gpt-4", ASKED, **asked)

    async with budgeted_run(USER, amount="0.05") as run:
        await asyncio.gather(*map(work, range(12)))
        return run.cost


def test_calls_streams_and_runs_of_many_at_once_draw_on_one_run(bench: Bench, asked: dict[str, Any]) -> None:
    driver: Any = bench.driver
    cost = driver.run(lambda: in_tasks(asked)) if bench.is_async else in_threads(asked)
    assert len(bench.upstream.exchanges) == 12
    assert bench.spent == cost == bench.owed("gpt-4")


@pytest.mark.parametrize("on_exhausted", ["extend", "stop"])
def test_a_run_that_is_used_up_goes_on_or_stops_before_the_provider_is_asked(
    bench: Bench, asked: dict[str, Any], on_exhausted: Any
) -> None:
    options: Any = {"budget_user": (), "max_tokens": 100}  # a call holds 0.00642, and comes to 0.00057
    with budgeted_run(USER, amount="0.007", on_exhausted=on_exhausted) as run:
        bench.chat(**options)
        bench.chat(**options)
        if on_exhausted == "stop":
            with pytest.raises(RunExhaustedError) as stopped:
                bench.chat(**options)
            assert (stopped.value.scope, stopped.value.limit) == ("run", Decimal("0.007"))
        else:
            bench.chat(**options)
        assert run.cost == bench.owed("gpt-4")
    assert len(bench.upstream.exchanges) == (2 if on_exhausted == "stop" else 3)
    assert bench.spent == bench.owed("gpt-4")


# cancelled -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sdk", ["litellm", "openai"])
def test_a_call_whose_task_is_cancelled_is_booked_with_what_it_held(
    bench: Bench, asked: dict[str, Any], sdk: str
) -> None:
    gate, held = Gate(before=0), list[Decimal]()
    bench.upstream.will(Answer(gate=gate))

    async def main() -> None:
        client: Any = wrap(openai.AsyncOpenAI(base_url=asked["api_base"], api_key="-", max_retries=0), user=USER)
        call: Any = (
            ours.acompletion("openai/gpt-4", ASKED, budget_user=USER, **asked)
            if sdk == "litellm"
            else client.chat.completions.create(model="gpt-4", messages=ASKED)
        )
        task = asyncio.ensure_future(call)
        await asyncio.to_thread(gate.wait)
        held.append((await service.astatus(USER))[0].held)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.close()

    driver: Any = bench.driver
    driver.run(main) if bench.is_async else asyncio.run(main())
    assert bench.upstream.exchange().ending == "left"
    assert bench.spent == held[0] > 0  # the provider may go on, and nobody will know what it came to


# streams -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cut", "error", "malformed"])
@pytest.mark.parametrize("model", ["anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-pro"])
def test_a_broken_stream_whose_tokens_only_the_provider_can_count_is_counted_from_above(
    bench: Bench, how: Any, model: str
) -> None:
    provider, _, name = model.partition("/")
    at = bench.upstream.url if provider == "anthropic" else f"{bench.upstream.url}/v1beta/models/{name}"
    bench.upstream.will(Answer(tokens=Tokens(input=14), breaks=Break(how, after=3)))
    stream = bench.chat(model, api_base=at, stream=True)
    if (provider, how) == ("gemini", "malformed"):  # litellm passes over half an event
        bench.read(stream)
    else:
        with pytest.raises(Exception, match="litellm"):
            bench.read(stream)
    assert bench.owed(name) <= bench.spent <= 2 * bench.owed(name)


def test_the_tools_of_a_stream_that_is_closed_are_counted(bench: Bench) -> None:
    gate = Gate(before=2)
    bench.upstream.will(Answer(tokens=Tokens(input=14), tools=(ToolCall("weather"), ToolCall("time")), gate=gate))
    stream = bench.chat(stream=True)
    bench.read(stream, 3)
    bench.close(stream)
    (record,) = bench.records
    assert record[:2] == ("openai/gpt-4", 14)
    assert record[2] is not None
    assert record[2] >= bench.upstream.produced[0].output_tokens


def test_each_choice_of_a_stream_that_breaks_is_counted(bench: Bench) -> None:
    bench.upstream.will(Answer(tokens=Tokens(input=14), breaks=Break("cut", after=3)))
    with pytest.raises(Exception, match="litellm"):
        bench.read(bench.chat(stream=True, n=2))
    assert bench.spent == bench.owed("gpt-4") == Decimal("0.00078")


def test_what_an_open_stream_keeps_is_bounded(bench: Bench) -> None:
    def grown(chunks: int) -> int:
        produced = Produced("gpt-4")
        tracemalloc.start()
        for number in range(chunks):
            text = f" word {number}"
            produced.read({"model": "gpt-4", "choices": [{"index": 0, "delta": {"content": text}}], "usage": None})
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert produced.usage(0).output_tokens > chunks
        return size

    grown(1_000)  # what is imported and kept for all
    assert grown(20_000) < 100_000


# retries -------------------------------------------------------------------------------------------------------------


def test_an_answer_that_a_router_throws_away_is_paid_for_too(bench: Bench) -> None:
    made = load_litellm().Router(
        model_list=[
            {
                "model_name": "house",
                "litellm_params": {"model": "openai/gpt-4o", "api_base": bench.upstream.openai_url, "api_key": "-"},
            }
        ],
        num_retries=2,
        retry_after=0,
    )
    bad, good = Answer(tokens=Tokens(input=20)), Answer(pieces=('{"answer"', ": 42}"), tokens=Tokens(input=20))
    bench.upstream.will(bad, Answer.refused(500), good)
    options: Any = {"response_format": SCHEMA, "enable_json_schema_validation": True}
    bench("completion", "house", ASKED, router=made, api_base=(), api_key=(), **options)
    assert bench.records == [("openai/gpt-4o", 20, 7), ("openai/gpt-4o", 20, 2)]
    assert bench.spent == bench.owed("gpt-4o")


# by hand -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [lambda answer: answer, lambda answer: answer.model_dump(mode="json")])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_answers_of_gemini_are_charged_by_hand(bench: Bench, form: Callable[[Any], Any], stream: Any) -> None:
    tokens = Tokens(input=100, cached=40, reasoning=6, audio_input=9)
    bench.upstream.will(Answer(tokens=tokens))
    with genai.Client(api_key="-", http_options={"base_url": bench.upstream.url}) as client:
        question: Any = {"model": "gemini-2.5-pro", "contents": "What is six times seven?"}
        answer: Any = (
            [form(event) for event in client.models.generate_content_stream(**question)]
            if stream
            else form(client.models.generate_content(**question))
        )
    with service.reservation(USER, amount="0.5") as hold:
        hold.charge(answer)
    assert PricingEngine().cost_of(answer).usage.cached_input_tokens == 40
    assert bench.spent == bench.owed("gemini/gemini-2.5-pro") > 0
