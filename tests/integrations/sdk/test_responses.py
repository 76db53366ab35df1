"""Bare responses, which their reader may parse, read or leave: none of them is free."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget import service
from tests.upstream import Answer, Gate, Tokens

from .desk import CHAT, MESSAGE, MESSAGES

if TYPE_CHECKING:
    from .desk import Desk

KINDS = [pytest.param("openai", id="openai"), pytest.param("anthropic", id="anthropic")]


def creating(desk: Desk, kind: str, form: str) -> tuple[Any, Any]:
    """Return the method that makes a bare response, and what it is asked."""
    if kind == "openai":
        return getattr(desk.openai().chat.completions, form).create, CHAT
    return getattr(desk.anthropic().messages, form).create, MESSAGE


@pytest.mark.parametrize("kind", KINDS)
def test_a_raw_response_is_booked_at_once(desk: Desk, kind: str) -> None:
    create, asked = creating(desk, kind, "with_raw_response")
    raw = desk.call(create, **asked)
    assert desk.spent == desk.owed() != 0
    answer = desk.call(raw.parse)
    assert answer.to_dict()["model"] == asked["model"]
    spend = service.manager().booked.find(answer)
    assert spend is not None  # charged by hand it counts once


@pytest.mark.parametrize("kind", KINDS)
def test_the_stream_of_a_raw_response_is_budgeted(desk: Desk, kind: str) -> None:
    create, asked = creating(desk, kind, "with_raw_response")
    prompt = service.manager().pricing.count(asked["model"], {"messages": MESSAGES}).tokens
    desk.upstream.will(Answer(tokens=Tokens(input=prompt)))
    raw = desk.call(create, **asked, stream=True)
    assert desk.account()[0] == 0
    desk.read(desk.call(raw.parse))
    assert desk.spent == desk.owed() != 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["parse", "json", "read"])
def test_a_streaming_response_is_booked_when_it_is_read(desk: Desk, kind: str, way: str) -> None:
    create, asked = creating(desk, kind, "with_streaming_response")
    with desk.driver.entered(create(**asked)) as response:
        desk.call(getattr(response, way))
        assert desk.spent == desk.owed() != 0
    assert desk.spent == desk.owed()


@pytest.mark.parametrize("kind", KINDS)
def test_the_lines_of_a_streaming_response_are_counted(desk: Desk, kind: str) -> None:
    create, asked = creating(desk, kind, "with_streaming_response")
    prompt = service.manager().pricing.count(asked["model"], {"messages": MESSAGES}).tokens
    desk.upstream.will(Answer(tokens=Tokens(input=prompt)))
    with desk.driver.entered(create(**asked, stream=True)) as response:
        lines = desk.read(response.iter_lines())
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert "".join(str(event) for event in events).count("forty") == 1
    assert desk.spent == desk.owed() != 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_streaming_response_that_nobody_reads_costs_what_was_held(desk: Desk, kind: str) -> None:
    create, asked = creating(desk, kind, "with_streaming_response")
    with desk.driver.entered(create(**{**asked, "max_tokens": 100})):
        held = desk.account()[1]
    assert desk.spent == held > desk.owed()


@pytest.mark.parametrize("kind", KINDS)
def test_a_streaming_response_that_is_left_costs_what_had_come(desk: Desk, kind: str) -> None:
    create, asked = creating(desk, kind, "with_streaming_response")
    prompt = service.manager().pricing.count(asked["model"], {"messages": MESSAGES}).tokens
    desk.upstream.will(Answer(gate=Gate(before=3), tokens=Tokens(input=prompt)))
    with desk.driver.entered(create(**asked, stream=True)) as response:
        lines = response.iter_lines()
        while " seven" not in desk.read(lines, most=1)[0]:
            pass
    assert desk.spent == desk.owed(times=2 if kind == "anthropic" else 1) != 0
