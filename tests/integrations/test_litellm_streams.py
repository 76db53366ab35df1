"""Streams of litellm on a budget: they are booked however they end, with what was really produced."""

from __future__ import annotations

import gc
from decimal import Decimal
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget import StreamConsumedError
from coreason_budget.pricing.litellm_prices import load_litellm
from tests.litellms import WARNS
from tests.upstream import Answer, Break, Gate, Tokens

from .bench import ANSWERED, text

if TYPE_CHECKING:
    from .bench import Bench

pytestmark = WARNS

COUNTED = 14  # tokens of the question, as they are counted where nobody says


def counted(**answer: Any) -> Answer:
    """Return an answer to a question of as many tokens as are counted here."""
    return Answer(**{"tokens": Tokens(input=COUNTED), **answer})


def test_a_stream_costs_what_its_last_chunk_says_and_the_reader_sees_what_litellm_shows(bench: Bench) -> None:
    bench.upstream.will(Answer(tokens=Tokens(input=20)))
    chunks = bench.read(bench.chat(stream=True))
    assert text(chunks) == ANSWERED
    assert [getattr(chunk, "usage", None) for chunk in chunks] == [None] * len(chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert bench.upstream.exchange().body["stream_options"] == {"include_usage": True}
    assert bench.spent == bench.owed("gpt-4") == Decimal("0.00102")
    assert bench.records == [("openai/gpt-4", 20, 7)]


def test_who_asks_for_the_usage_gets_its_chunk(bench: Bench) -> None:
    chunks = bench.read(bench.chat(stream=True, stream_options={"include_usage": True}))
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (5, 7)
    assert bench.spent == bench.owed("gpt-4")


def test_who_wants_no_usage_has_the_tokens_counted(bench: Bench) -> None:
    bench.upstream.will(counted())
    chunks = bench.read(bench.chat(stream=True, stream_options={"include_usage": False}))
    assert text(chunks) == ANSWERED
    assert bench.upstream.exchange().body["stream_options"] == {"include_usage": False}
    assert bench.spent == bench.owed("gpt-4")


def test_a_stream_without_usage_costs_its_counted_tokens(bench: Bench) -> None:
    bench.upstream.will(Answer(tokens=Tokens(input=13), reports_usage=False))  # litellm counts them, and counts 13
    assert text(bench.read(bench.chat(stream=True))) == ANSWERED
    assert bench.spent == bench.owed("gpt-4")


@pytest.mark.parametrize("how", ["cut", "error", "malformed"])
def test_a_stream_that_breaks_costs_what_came(bench: Bench, how: Any) -> None:
    bench.upstream.will(counted(breaks=Break(how, after=3)))
    stream = bench.chat(stream=True)
    with pytest.raises(Exception, match="litellm"):
        bench.read(stream)
    assert bench.upstream.exchange().ending == "broken"
    assert bench.spent == bench.owed("gpt-4") == Decimal("0.0006")


def test_a_stream_that_breaks_before_its_first_chunk_costs_nothing(bench: Bench) -> None:
    bench.upstream.will(Answer.refused(500))
    with pytest.raises(Exception, match="told to fail"):
        bench.read(bench.chat(stream=True))
    assert bench.spent == 0


def test_a_stream_that_is_closed_costs_what_came(bench: Bench) -> None:
    bench.upstream.will(counted(gate=Gate(before=2)))
    stream = bench.chat(stream=True)
    assert text(bench.read(stream, 3)) == "Six times"
    assert bench.held > 0
    bench.close(stream)
    assert bench.upstream.exchange().ending == "left"
    assert bench.records == [("openai/gpt-4", COUNTED, 2)]
    assert bench.spent == bench.owed("gpt-4") == Decimal("0.00054")


def test_a_stream_that_is_thrown_away_costs_what_came_and_is_warned_of(
    bench: Bench, warnings_of_the_app: list[str]
) -> None:
    bench.upstream.will(counted(gate=Gate(before=2)))
    stream = bench.chat(stream=True)
    bench.read(stream, 3)
    del stream
    gc.collect()
    assert bench.records == [("openai/gpt-4", COUNTED, 2)]
    assert bench.spent == bench.owed("gpt-4") == Decimal("0.00054")
    assert [warning.partition(";")[0] for warning in warnings_of_the_app] == [
        "A stream of openai/gpt-4 was thrown away before its end"
    ]


def test_a_stream_that_is_closed_unread_gives_its_hold_back(bench: Bench) -> None:
    bench.upstream.will(counted(gate=Gate(before=0)))
    stream = bench.chat(stream=True)
    assert bench.held > 0
    bench.close(stream)
    bench.close(stream)
    assert bench.spent == 0


def test_a_slow_stream_keeps_its_hold_for_as_long_as_it_takes(bench: Bench, monkeypatch: Any) -> None:
    bench.ledger.configure(daily_user_limit_usd="100", hold_ttl=60)
    stream = bench.chat(stream=True)
    bench.read(stream, 2)
    bench.ledger.clock.move(seconds=50)
    monkeypatch.setattr("coreason_budget.metering.purse.monotonic", lambda: monotonic() + 50)
    bench.read(stream, 1)
    bench.ledger.clock.move(seconds=50)
    bench.read(stream)
    assert bench.records == [("openai/gpt-4", 5, 7)]
    assert bench.spent == bench.owed("gpt-4")


def test_a_stream_is_read_once(bench: Bench) -> None:
    stream = bench.chat(stream=True)
    bench.read(stream)
    with pytest.raises(StreamConsumedError, match="read to its end or closed"):
        aiter(stream) if bench.is_async else iter(stream)
    assert bench.spent == bench.owed("gpt-4")


def test_a_stream_is_to_code_around_it_what_litellms_is(bench: Bench) -> None:
    litellm = load_litellm()
    bench.upstream.will(counted(gate=Gate(before=1)))
    stream = bench.chat(stream=True)
    assert isinstance(stream, litellm.CustomStreamWrapper)
    assert (stream.model, stream.custom_llm_provider) == ("gpt-4", "openai")
    with pytest.raises(AttributeError, match="nothing_like_it"):
        stream.nothing_like_it  # noqa: B018
    with bench.driver.entered(stream) as entered:
        assert entered is stream
        bench.read(stream, 2)
    assert bench.records == [("openai/gpt-4", COUNTED, 1)]
