"""``limit_to_remaining``: the provider is told to stop where the budget ends, so that it cannot be overrun."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget import BudgetExceededError, budgeted_run
from tests.litellms import WARNS
from tests.upstream import Answer, Tokens

from .bench import USER, text

if TYPE_CHECKING:
    from .bench import Bench

pytestmark = WARNS

LONG = Answer(pieces=(" word",) * 500, tokens=Tokens(input=14))


def asked(bench: Bench, name: str = "max_tokens") -> Any:
    return bench.upstream.exchange(-1).body.get(name)


def test_the_longest_answer_is_what_the_budget_can_pay(bench: Bench) -> None:
    bench.ledger.configure(daily_user_limit_usd="0.00159")
    bench.upstream.will(LONG)
    response = bench.chat(limit_to_remaining=True)
    assert asked(bench) == 19  # (1,590 - 14 * 30) / 60
    assert response.choices[0].finish_reason == "length"
    assert bench.spent == bench.owed("gpt-4") == Decimal("0.00156")


def test_a_stream_is_limited_too(bench: Bench) -> None:
    bench.ledger.configure(daily_user_limit_usd="0.00162")
    bench.upstream.will(LONG)
    chunks = bench.read(bench.chat(limit_to_remaining=True, stream=True))
    assert (text(chunks), asked(bench)) == (" word" * 20, 20)
    assert bench.spent == bench.owed("gpt-4") == Decimal("0.00162")


def test_each_of_several_choices_has_its_share(bench: Bench) -> None:
    bench.ledger.configure(daily_user_limit_usd="0.0045")
    bench.upstream.will(LONG)
    bench.chat(limit_to_remaining=True, n=2)
    assert asked(bench) == 34
    assert bench.spent == bench.owed("gpt-4") == Decimal("0.0045")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_maximum_of_ones_own_is_lowered_only_where_it_has_to_be(bench: Bench, name: str) -> None:
    bench.ledger.configure(daily_user_limit_usd="0.006")
    bench.upstream.will(LONG, LONG)
    bench.chat("openai/gpt-4", limit_to_remaining=True, **{name: 50})
    assert asked(bench, name) == 50
    bench.chat("openai/gpt-4", limit_to_remaining=True, **{name: 50})
    assert asked(bench, name) == 36  # 0.006 - 0.00342 is left
    assert bench.spent == bench.owed("gpt-4") == Decimal("0.006")


def test_with_room_for_too_little_it_is_refused(bench: Bench) -> None:
    bench.ledger.configure(daily_user_limit_usd="0.00137")
    with pytest.raises(BudgetExceededError) as refused:
        bench.chat(limit_to_remaining=True)
    assert refused.value.remaining == Decimal("0.00137")
    bench.upstream.will(LONG)
    bench.chat(limit_to_remaining=True, budget_min_output_tokens=15)
    assert len(bench.upstream.exchanges) == 1
    assert bench.spent == bench.owed("gpt-4") == Decimal("0.00132")


def test_all_of_what_is_left_is_held(bench: Bench) -> None:
    bench.ledger.configure(daily_user_limit_usd="0.00162")
    stream = bench.chat(limit_to_remaining=True, stream=True)
    assert bench.held == Decimal("0.00162")
    bench.read(stream)
    assert bench.spent == bench.owed("gpt-4")


def test_what_a_run_has_is_topped_up_by_what_is_left(bench: Bench) -> None:
    bench.ledger.configure(daily_user_limit_usd="0.00162")
    bench.upstream.will(LONG)
    with budgeted_run(USER, amount="0.001"):
        bench.chat(limit_to_remaining=True, budget_user=None)
    assert asked(bench) == 20
    assert bench.spent == bench.owed("gpt-4") == Decimal("0.00162")


def test_a_fallback_is_limited_with_its_own_maximum_and_by_the_dearest_price(bench: Bench) -> None:
    bench.ledger.configure(daily_user_limit_usd="0.00162")
    bench.upstream.will(Answer.refused(500), LONG)
    bench.chat("openai/gpt-4o-mini", limit_to_remaining=True, fallbacks=[{"model": "openai/gpt-4", "max_tokens": 400}])
    assert asked(bench) == 20
    assert bench.spent == bench.owed("gpt-4") == Decimal("0.00162")


def test_a_response_is_limited(bench: Bench) -> None:
    bench.ledger.configure(daily_user_limit_usd="0.0003")
    bench.upstream.will(Answer(pieces=LONG.pieces, tokens=Tokens(input=9)))
    bench("responses", "What is six times seven?", "openai/gpt-4o", limit_to_remaining=True)
    assert asked(bench, "max_output_tokens") == 27
    assert bench.spent == bench.owed("gpt-4o") == Decimal("0.0002925")


def test_what_has_no_answer_in_tokens_cannot_be_limited(bench: Bench) -> None:
    with pytest.raises(TypeError, match=r"embedding\(\) has none"):
        bench("embedding", "openai/text-embedding-3-large", "six", limit_to_remaining=True)
    assert bench.upstream.exchanges == []
