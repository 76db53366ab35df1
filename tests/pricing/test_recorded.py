"""What recorded answers of providers cost, as dicts and as the objects of the providers' own SDKs."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget.conf import BudgetConfig
from coreason_budget.pricing import PricingEngine, StreamedResponse, TokenUsage

from .records import recorded, sdk_object

if TYPE_CHECKING:
    from collections.abc import Callable

# litellm's own classes make pydantic warn at first use.
pytestmark = pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning")

CLAUDE = TokenUsage(
    1_000,
    200,
    cached_input_tokens=500,
    cache_write_tokens=300,
    cache_write_1h_tokens=100,
    reasoning_tokens=150,
    web_searches=2,
    service_tier="standard",
)
GPT_5: dict[str, Any] = {"cached_input_tokens": 1_000, "reasoning_tokens": 400}
RECORDS = [
    (
        "openai_chat",
        "gpt-5-2025-08-07",
        "0.0131875",
        TokenUsage(2_000, 500, web_searches=1, service_tier="flex", **GPT_5),
    ),
    (
        "openai_chat_audio",
        "gpt-4o-audio-preview-2024-12-17",
        "0.05325",
        TokenUsage(1_000, 300, audio_input_tokens=900, audio_output_tokens=200),
    ),
    (
        "openai_chat_stream",
        "gpt-4o-2024-08-06",
        "0.004",
        TokenUsage(1_000, 200, cached_input_tokens=400, service_tier="default"),
    ),
    ("openai_response", "gpt-5-2025-08-07", "0.026375", TokenUsage(2_000, 500, web_searches=2, **GPT_5)),
    ("openai_response_stream", "gpt-5-2025-08-07", "0.026375", TokenUsage(2_000, 500, web_searches=2, **GPT_5)),
    ("openai_embedding", "text-embedding-3-small", "0.02", TokenUsage(1_000_000, 0)),
    ("anthropic_message", "claude-sonnet-4-5-20250929", "0.0251", CLAUDE),
    (
        "gemini",
        "gemini-2.5-pro",
        "0.0378",
        TokenUsage(1_000, 200, cached_input_tokens=400, reasoning_tokens=50, web_searches=2),
    ),
    (
        "gemini_stream",
        "gemini-2.5-flash",
        "0.00122",
        TokenUsage(1_000, 200, reasoning_tokens=50, audio_input_tokens=600),
    ),
]
STREAMS = ["openai_chat_stream", "openai_response_stream", "anthropic_stream", "gemini_stream"]


@pytest.fixture(scope="module")
def engine() -> PricingEngine:
    return PricingEngine(BudgetConfig())


@pytest.fixture(params=[recorded, sdk_object], ids=["dict", "object"])
def read(request: pytest.FixtureRequest) -> Callable[[str], Any]:
    made: Callable[[str], Any] = request.param
    return made


@pytest.mark.parametrize(("name", "model", "cost", "usage"), RECORDS, ids=[record[0] for record in RECORDS])
def test_a_recorded_answer_costs_what_its_provider_bills(
    engine: PricingEngine, read: Callable[[str], Any], name: str, model: str, cost: str, usage: TokenUsage
) -> None:
    call = engine.cost_of(read(name))
    assert (call.model, call.usage) == (model, usage)
    assert call.cost_usd == Decimal(cost)


def test_the_two_ends_of_a_stream_of_claude_are_put_together(engine: PricingEngine, read: Callable[[str], Any]) -> None:
    call = engine.cost_of(read("anthropic_stream"))
    assert call.model == "claude-sonnet-4-5-20250929"
    assert (call.usage.input_tokens, call.usage.output_tokens) == (1_000, 200)
    assert (call.usage.cached_input_tokens, call.usage.cache_write_1h_tokens, call.usage.web_searches) == (500, 100, 2)
    assert call.cost_usd == Decimal("0.0251")


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_read_event_by_event_costs_what_its_list_costs(
    engine: PricingEngine, read: Callable[[str], Any], name: str
) -> None:
    streamed = StreamedResponse()
    for event in read(name):
        streamed.add(event)
    whole = engine.cost_of(read(name))
    assert streamed.tokens == whole.usage
    assert streamed.names[0] == whole.model
    assert engine.cost_of(streamed) == whole


def test_the_event_that_carries_a_response_costs_what_that_costs(
    engine: PricingEngine, read: Callable[[str], Any]
) -> None:
    assert engine.cost_of(read("openai_response_stream")[-1]) == engine.cost_of(read("openai_response"))


def test_a_stream_that_broke_off_has_named_its_model_and_nothing_else(read: Callable[[str], Any]) -> None:
    streamed = StreamedResponse(read("openai_chat_stream")[:2])
    assert (streamed.names, streamed.tokens) == (("gpt-4o-2024-08-06",), None)


def test_a_stream_of_claude_that_broke_off_has_told_its_input(
    engine: PricingEngine, read: Callable[[str], Any]
) -> None:
    streamed = StreamedResponse(read("anthropic_stream")[:4])
    assert streamed.names == ("claude-sonnet-4-5-20250929",)
    assert streamed.tokens is None
    assert streamed.prompt == TokenUsage(
        1_000,
        0,
        cached_input_tokens=500,
        cache_write_tokens=300,
        cache_write_1h_tokens=100,
        service_tier="standard",
    )
    with pytest.raises(ValueError, match="no usage"):
        engine.cost_of(read("anthropic_stream")[0])


@pytest.mark.parametrize("name", ["openai_chat_stream", "openai_response_stream"])
def test_a_stream_without_usage_is_refused_with_the_remedy(
    engine: PricingEngine, read: Callable[[str], Any], name: str
) -> None:
    with pytest.raises(ValueError, match="no usage") as caught:
        engine.cost_of(read(name)[:-1])
    for word in ("cost=", "the list of its events", "include_usage"):
        assert word in str(caught.value)


def test_an_older_usage_of_zeros_does_not_hide_a_later_one() -> None:
    usage = {"prompt_tokens": 8, "completion_tokens": 2}
    zeros = {"prompt_tokens": 0, "completion_tokens": 0}
    events = [{"model": "gpt-4", "usage": usage}, {"model": "gpt-4", "usage": zeros}]
    assert StreamedResponse(events).tokens == TokenUsage(8, 2)
