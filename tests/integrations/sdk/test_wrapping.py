"""Wrapping a client: it stays the client that it was, and its copies pay as it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type

import anthropic
import openai
import pytest

from coreason_budget import budgeted_run
from coreason_budget.integrations.anthropic import wrap as wrap_anthropic
from coreason_budget.integrations.openai import wrap
from tests.upstream import Answer, Gate

from .desk import ANN, CHAT, MESSAGE

if TYPE_CHECKING:
    from tests.http.site import Ledger, Site
    from tests.upstream import Upstream

    from .desk import Desk


def test_types_are_kept() -> None:
    client = openai.OpenAI(api_key="-")
    asynchronous = openai.AsyncOpenAI(api_key="-")
    azure = openai.AzureOpenAI(api_key="-", azure_endpoint="http://127.0.0.1:1", api_version="1")
    claude = anthropic.Anthropic(api_key="-")
    assert_type(wrap(client), openai.OpenAI)
    assert_type(wrap(asynchronous), openai.AsyncOpenAI)
    assert_type(wrap(azure), openai.AzureOpenAI)
    assert_type(wrap(client.with_options(timeout=5), user="ann"), openai.OpenAI)
    assert_type(wrap_anthropic(claude, user=1, project="p", limit_to_remaining=True), anthropic.Anthropic)
    assert_type(wrap_anthropic(anthropic.AsyncAnthropic(api_key="-")), anthropic.AsyncAnthropic)
    assert wrap(client) is client
    assert type(client) is openai.OpenAI


@pytest.mark.parametrize("wrong", [openai, openai.OpenAI, None, anthropic.Anthropic(api_key="-")])
def test_what_is_no_client_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"wrap\(\) takes a client: openai\.OpenAI, openai\.AsyncOpenAI"):
        wrap(wrong)


def test_ids_are_checked_when_a_client_is_wrapped() -> None:
    with pytest.raises(TypeError, match="user must be a str, int or UUID, not float"):
        wrap(openai.OpenAI(api_key="-"), user=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="project must not be empty"):
        wrap(openai.OpenAI(api_key="-"), project="")


def test_wrapping_twice_is_wrapping_once(desk: Desk) -> None:
    client = wrap(wrap(desk.bare_openai(), user=ANN), user=ANN)
    desk.call(client.chat.completions.create, **CHAT)
    assert desk.spent == desk.owed() != 0
    with pytest.raises(ValueError, match=r"wrap\(client\.with_options\(\), user=\.\.\.\)"):
        wrap(client, user="ben")


@pytest.mark.parametrize("copied", ["copy", "with_options"])
def test_a_copy_pays_as_its_client_does_or_on_its_own_terms(desk: Desk, copied: str) -> None:
    client = desk.openai()
    desk.call(getattr(client, copied)(timeout=30).chat.completions.create, **CHAT)
    assert desk.spent == desk.owed() != 0
    once = desk.spent
    of_ben = wrap(getattr(client, copied)(), user="ben", project="p")
    desk.call(of_ben.chat.completions.create, **CHAT)
    desk.call(of_ben.copy().copy().chat.completions.create, **CHAT)
    assert desk.account("ben") == (2 * once, 0)
    assert desk.account("ben", "p", "project") == (2 * once, 0)
    assert desk.spent == once


def test_the_copy_of_an_anthropic_client_pays_too(desk: Desk) -> None:
    desk.call(desk.anthropic().with_options(timeout=30).messages.create, **MESSAGE)
    assert desk.spent == desk.owed() != 0


def test_calls_in_a_run_draw_on_it(desk: Desk) -> None:
    client = wrap(desk.bare_openai())
    with desk.driver.entered(budgeted_run(ANN, amount="0.5")) as run, run.entered():
        assert desk.account()[1] == run.amount
        desk.call(client.chat.completions.create, **CHAT)
        assert run.cost == desk.owed()
        assert sum(desk.account()) == run.amount
    assert desk.spent == desk.owed() != 0


def test_a_decorated_view_pays_with_its_own_hold(
    native_site: Site, ledger: Ledger, upstream: Upstream, ann: Any
) -> None:
    asked: dict[str, Any] = {"base_url": upstream.openai_url, "api_key": "-"}
    client: Any = wrap(openai.AsyncOpenAI(**asked) if native_site.is_async else openai.OpenAI(**asked))
    seen: list[tuple[str, str]] = []
    gate = Gate(before=0)
    upstream.will(Answer(gate=gate))

    def sync_view(request: Any) -> Any:
        from django.http import HttpResponse

        gate.open()
        answer = client.chat.completions.create(**CHAT)
        seen.append(ledger.of(ann))
        request.budget.charge(answer)  # it was booked: this counts once
        return HttpResponse(answer.choices[0].message.content)

    async def async_view(request: Any) -> Any:
        from django.http import HttpResponse

        gate.open()
        async with client:
            answer = await client.chat.completions.create(**CHAT)
        await request.budget.acharge(answer)
        return HttpResponse(answer.choices[0].message.content)

    from coreason_budget import budgeted

    view = async_view if native_site.is_async else sync_view
    answer = native_site.get(budgeted(estimate="0.5")(view), user=ann)
    assert answer.status == 200
    ledger.settled()
    assert ledger.of(ann) == ("0.00057", "0")
    assert seen in ([], [("0.00057", "0.49943")])
    if not native_site.is_async:
        client.close()
