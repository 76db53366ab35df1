"""Estimates are upper bounds of what a call can cost, counted without the provider."""

from __future__ import annotations

import time
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from coreason_budget.conf import BudgetConfig
from coreason_budget.exceptions import UnknownModelError
from coreason_budget.pricing import PriceRow, PricingEngine
from coreason_budget.pricing.litellm_prices import load_litellm
from coreason_budget.pricing.tokens import count_messages

TEXT = "The quick brown fox jumps over the lazy dog. Zwölf Boxkämpfer jagen Viktor. 敏捷的棕色狐狸。 x = {'a': 1}\n"

# litellm's own classes make pydantic warn at first use.
pytestmark = pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning")


@pytest.fixture(scope="module")
def engine() -> PricingEngine:
    return PricingEngine(BudgetConfig(estimate_output_tokens=500))


def test_given_tokens_and_a_maximum_cost_what_they_cost(engine: PricingEngine) -> None:
    assert engine.estimate("gpt-4o", input_tokens=1_000, max_output_tokens=200) == Decimal("0.0045")
    assert engine.estimate("claude-sonnet-4-5", input_tokens=1_000, max_output_tokens=200) == Decimal("0.006")


def test_without_a_maximum_the_setting_is_assumed(engine: PricingEngine) -> None:
    assert engine.estimate("gpt-4o", input_tokens=1_000) == Decimal("0.0075")


def test_an_answer_of_nothing_costs_its_input(engine: PricingEngine) -> None:
    assert engine.estimate("gpt-4o", input_tokens=1_000, max_output_tokens=0) == Decimal("0.0025")


def test_dearer_reasoning_and_cache_writes_are_expected(engine: PricingEngine) -> None:
    reasoning = engine.estimate("dashscope/qwen-plus-latest", input_tokens=1_000, max_output_tokens=1_000)
    assert reasoning == Decimal("0.0044")
    house = PricingEngine(BudgetConfig(), lambda: {"house": PriceRow(Decimal(2), Decimal(10), None, Decimal(3))})
    assert house.estimate("house", input_tokens=1_000, max_output_tokens=100) == Decimal("0.004")


@pytest.mark.parametrize(
    ("control", "price"), [(None, "3"), ({"type": "ephemeral"}, "3.75"), ({"type": "ephemeral", "ttl": "1h"}, "6")]
)
def test_a_claude_prompt_is_written_to_the_cache_where_it_asks_for_that(
    engine: PricingEngine, control: Any, price: str
) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": TEXT, "cache_control": control}]}]
    tokens = count_messages("claude-sonnet-4-5", messages).tokens
    estimate = engine.estimate("claude-sonnet-4-5", messages, max_output_tokens=0)
    assert estimate == tokens * Decimal(price) / 1_000_000


@pytest.mark.parametrize(
    "arguments",
    [{}, {"messages": "hello", "input_tokens": 1}],
)
def test_messages_or_tokens_must_be_given_and_not_both(engine: PricingEngine, arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="either messages or input_tokens"):
        engine.estimate("gpt-4o", **arguments)


@pytest.mark.parametrize("messages", ["", [], 5, b"hello", [object()], ({"role": "user", "content": object()},)])
def test_what_is_no_message_is_refused(engine: PricingEngine, messages: object) -> None:
    with pytest.raises(TypeError, match="messages must"):
        engine.estimate("gpt-4o", messages)


@pytest.mark.parametrize("tokens", [-1, True, 1.0, "9"])
def test_wrong_maxima_are_refused(engine: PricingEngine, tokens: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="max_output_tokens must"):
        engine.estimate("gpt-4o", input_tokens=1, max_output_tokens=tokens)


def test_an_unknown_model_has_no_estimate(engine: PricingEngine) -> None:
    with pytest.raises(UnknownModelError):
        engine.estimate("claude-opus-99", "hello")


# Counting.

CONVERSATION = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "name": "ann", "content": TEXT * 20},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Berlin"}'}}
    ]},
    {"role": "tool", "tool_call_id": "1", "content": "12 degrees"},
]  # fmt: skip


@pytest.mark.parametrize("model", ["gpt-4", "gpt-4o", "openai/gpt-4o", "claude-sonnet-4-5", "gemini/gemini-2.5-pro"])
def test_messages_are_never_counted_below_litellms_count(model: str) -> None:
    litellm = load_litellm()
    tokenizer = {"type": "openai_tokenizer", "tokenizer": litellm.encoding}
    theirs = litellm.token_counter(model=model, messages=CONVERSATION, custom_tokenizer=tokenizer)
    ours = count_messages(model, CONVERSATION).tokens
    assert theirs <= ours <= 2.2 * theirs


@pytest.mark.parametrize(
    ("model", "text", "tokens"),
    [
        ("gpt-4", "hello world", 2 + 3),
        ("gpt-4o", "hello world", 2 + 3),
        ("claude-sonnet-4-5", "hello world", 4 + 3),
        ("claude-sonnet-4-5", "a", 1 + 3),
    ],
)
def test_text_counts_by_how_well_its_encoding_is_known(model: str, text: str, tokens: int) -> None:
    assert count_messages(model, text).tokens == tokens


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, 5_000),
        ({"type": "image", "source": {"type": "base64", "data": "A" * 999_999}}, 5_000),
        ({"inline_data": {"mime_type": "image/png", "data": "A" * 999_999}}, 5_000),
        ({"type": "input_audio", "input_audio": {"data": "A" * 16_000, "format": "mp3"}}, 1_000),
    ],
)
def test_images_and_audio_count_by_what_they_can_cost(part: dict[str, Any], tokens: int) -> None:
    counted = count_messages("gpt-4o", [{"role": "user", "content": [part]}]).tokens
    assert tokens < counted < tokens + 30


def test_an_image_for_the_model_that_counts_them_higher_counts_higher() -> None:
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]
    assert count_messages("gpt-4o-mini", image).tokens > 50_000


def test_audio_is_priced_as_audio(engine: PricingEngine) -> None:
    audio = [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "A" * 16_000_000}}]}]
    assert count_messages("gemini/gemini-2.5-flash", audio).audio == 1_000_001
    assert engine.estimate("gemini/gemini-2.5-flash", audio, max_output_tokens=0) > Decimal("1.0")


def test_messages_of_sdks_count_as_what_they_dump() -> None:
    message = SimpleNamespace(model_dump=lambda exclude_none: CONVERSATION[1])
    assert count_messages("gpt-4", [message]) == count_messages("gpt-4", [CONVERSATION[1]])


def test_numbers_flags_and_bytes_in_messages_count() -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "hello", "index": 12, "hot": True, "raw": b"abc"}]}]
    assert (
        count_messages("gpt-4", parts).tokens > count_messages("gpt-4", [{"role": "user", "content": "hello"}]).tokens
    )


@pytest.mark.parametrize("text", ["a" * 1_000_000, " " * 1_000_000, "\ud800" * 1_000, "<|endoftext|>" * 1_000])
def test_text_that_is_hard_to_encode_is_counted_in_time(text: str) -> None:
    started = time.perf_counter()
    assert 3 < count_messages("gpt-4", text).tokens <= len(text) + 3
    assert time.perf_counter() - started < 5
