"""litellm's own cache: what it answers by itself has cost nothing, and is booked as that."""

from __future__ import annotations

import asyncio
import sys
from decimal import Decimal
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget import PricingEngine, service
from coreason_budget.models import SpendRecord
from coreason_budget.pricing.litellm_prices import load_litellm
from tests.litellms import WARNS
from tests.upstream import Answer, Tokens

from .bench import ANSWERED, ASKED, USER, text

if TYPE_CHECKING:
    from .bench import Bench

pytestmark = [
    *WARNS,
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]

#: litellm 1.110 imports this for one isinstance() before it answers; it comes with the packages of its proxy only.
_OF_THE_PROXY = "litellm.llms.anthropic.messages.native.response_cache"


@pytest.fixture(autouse=True)
def cache(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """litellm's cache in memory, switched on."""
    litellm = load_litellm()
    try:
        import_module(_OF_THE_PROXY)
    except ImportError:
        nothing = SimpleNamespace(CachedAnthropicMessagesStreamIterator=type("Nothing", (), {}))
        monkeypatch.setitem(sys.modules, _OF_THE_PROXY, nothing)
    from litellm.caching import Cache

    monkeypatch.setattr(litellm, "cache", Cache(type="local"))
    kept: dict[str, Any] = litellm.cache.cache.cache_dict
    return kept


def written(bench: Bench, kept: dict[str, Any], entries: int = 1) -> None:
    """Wait until the cache has its entries: in async code litellm writes them in tasks of their own."""

    async def wait() -> None:
        async with asyncio.timeout(10):
            while len(kept) < entries:  # noqa: ASYNC110  # litellm tells nobody
                await asyncio.sleep(0)

    if bench.is_async:
        bench.driver.run(wait)  # type: ignore[attr-defined]
    assert len(kept) == entries


def noted() -> list[dict[str, Any]]:
    """Return what the records of ann have noted, oldest first."""
    service.manager().flush(10)
    return list(SpendRecord.objects.filter(user_id=USER).order_by("at", "pk").values_list("metadata", flat=True))


def test_an_answer_of_the_cache_costs_nothing(bench: Bench, cache: dict[str, Any]) -> None:
    bench.chat()
    written(bench, cache)
    once = bench.spent
    again = bench.chat()
    assert again.choices[0].message.content == ANSWERED
    assert len(bench.upstream.exchanges) == 1
    assert bench.spent == once == bench.owed("gpt-4") > 0
    assert bench.records == [("openai/gpt-4", 5, 7), ("openai/gpt-4", 0, 0)]
    assert noted() == [{}, {"from_cache": True}]


def test_charging_it_by_hand_too_costs_nothing(bench: Bench, cache: dict[str, Any]) -> None:
    bench.chat()
    written(bench, cache)
    with service.reservation(USER, amount="0.5") as hold:
        hold.charge(bench.chat())
    assert bench.spent == bench.owed("gpt-4")
    assert len(bench.records) == 2


def test_who_charges_litellms_own_answer_of_the_cache_by_hand_pays_nothing(bench: Bench, cache: dict[str, Any]) -> None:
    litellm = load_litellm()
    asked = {"model": "openai/gpt-4", "messages": ASKED, "api_base": bench.upstream.openai_url, "api_key": "-"}
    responses = []
    for _ in range(2):
        responses.append(bench.driver(litellm, "completion", **asked))
        written(bench, cache)
        with service.reservation(USER, amount="0.5") as hold:
            hold.charge(responses[-1])
    assert PricingEngine().cost_of(responses[1], "openai/gpt-99").cost_usd == 0
    assert bench.spent == bench.owed("gpt-4")
    assert noted() == [{}, {"from_cache": True}]


@pytest.mark.parametrize("ending", ["read", "closed"])
def test_a_stream_of_the_cache_costs_nothing(bench: Bench, cache: dict[str, Any], ending: str) -> None:
    bench.read(bench.chat(stream=True))
    written(bench, cache)
    stream = bench.chat(stream=True)
    assert bench.held > 0
    if ending == "read":
        assert text(bench.read(stream)) == ANSWERED
    else:
        bench.read(stream, 1)
        bench.close(stream)
    assert len(bench.upstream.exchanges) == 1
    assert bench.spent == bench.owed("gpt-4")
    assert noted() == [{}, {"from_cache": True}]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_response_of_the_cache_costs_nothing(bench: Bench, cache: dict[str, Any], stream: Any) -> None:
    for _ in range(2):
        response = bench("responses", "What is six times seven?", "openai/gpt-4o", stream=stream)
        if stream:
            bench.read(response)
        written(bench, cache)
    assert len(bench.upstream.exchanges) == 1
    assert bench.spent == bench.owed("gpt-4o")
    assert noted() == [{}, {"from_cache": True}]


@pytest.mark.parametrize("asked", ["six", ["six", "seven"]], ids=["one", "several"])
def test_embeddings_of_the_cache_cost_nothing(bench: Bench, cache: dict[str, Any], asked: Any) -> None:
    entries = len(asked) if bench.is_async and isinstance(asked, list) else 1
    for _ in range(2):
        bench("embedding", "openai/text-embedding-3-small", asked)
        written(bench, cache, entries)
    assert len(bench.upstream.exchanges) == 1
    assert bench.spent == bench.owed("text-embedding-3-small")
    assert noted() == [{}, {"from_cache": True}]


def test_embeddings_of_which_the_cache_has_some_are_not_free(bench: Bench, cache: dict[str, Any]) -> None:
    bench("embedding", "openai/text-embedding-3-small", ["six"])
    written(bench, cache)
    bench("embedding", "openai/text-embedding-3-small", ["six", "seven times eight"])
    assert len(bench.upstream.exchanges) == 2
    # Async code asks only for what is missing, and litellm says what they have together.
    assert bench.spent >= bench.owed("text-embedding-3-small")
    assert [tokens for _, tokens, _ in bench.records] == [1, 4]


@pytest.mark.parametrize("name", ["transcription", "rerank"])
def test_recordings_and_searches_of_the_cache_cost_nothing(bench: Bench, cache: dict[str, Any], name: str) -> None:
    bench.upstream.default = Answer(seconds=8.5)
    for _ in range(2):
        if name == "rerank":
            at = {"api_base": f"{bench.upstream.url}/v1/rerank"}
            bench(name, "cohere/rerank-v3.5", query="six", documents=["six", "seven"], **at)
        else:
            bench(name, "openai/whisper-1", file=("six.wav", b"RIFF" + bytes(40)))
        written(bench, cache)
    assert len(bench.upstream.exchanges) == 1
    assert noted() == [{}, {"from_cache": True}]
    assert bench.spent > 0


def test_who_wants_no_cache_pays(bench: Bench, cache: dict[str, Any]) -> None:
    bench.chat()
    written(bench, cache)
    bench.chat(cache={"no-cache": True})
    assert len(bench.upstream.exchanges) == 2
    assert bench.spent == bench.owed("gpt-4") == Decimal("0.00114")


def test_the_cached_tokens_of_a_provider_are_no_answer_of_the_cache(bench: Bench) -> None:
    bench.upstream.will(Answer(tokens=Tokens(input=2_000, cached=1_024)))
    bench.chat("openai/gpt-4o")
    assert bench.spent == bench.owed("gpt-4o") > 0
    assert noted() == [{}]
