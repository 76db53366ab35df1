"""litellm's prices: all that its map states, to the nano-dollar, and nothing that litellm guesses."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget.conf import BudgetConfig
from coreason_budget.exceptions import UnknownModelError
from coreason_budget.pricing import PricingEngine, litellm_prices
from coreason_budget.pricing.litellm_prices import load_litellm
from coreason_budget.pricing.litellm_rates import KnownRates

if TYPE_CHECKING:
    from collections.abc import Iterator

# litellm's own classes make pydantic warn at first use.
pytestmark = pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning")

NANO = Decimal("0.000000001")
BLOCK_SOCKETS = (
    "import socket\n"
    "def refuse(*args, **kwargs): raise SystemExit(f'went to the network: {args}')\n"
    "socket.socket.connect = socket.getaddrinfo = refuse\n"
)


@pytest.fixture
def untraced() -> Iterator[None]:
    """Have coverage look away: it takes longer over litellm's many lines, which it does not count, than they take."""
    tracer = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracer)


@pytest.fixture(scope="module")
def engine() -> PricingEngine:
    return PricingEngine(BudgetConfig())


def chat_models() -> dict[str, dict[str, Any]]:
    rows = load_litellm().model_cost.items()
    return {name: row for name, row in rows if row.get("mode") == "chat" and all(prices(row) or [0])}


def prices(row: dict[str, Any]) -> tuple[Decimal, Decimal] | None:
    pair = row.get("input_cost_per_token"), row.get("output_cost_per_token")
    if None in pair:
        return None
    return Decimal(repr(pair[0])), Decimal(repr(pair[1]))


def litellms_own(name: str, provider: str, input_tokens: int, cached: int) -> Decimal:
    litellm = load_litellm()
    usage = litellm.Usage(
        prompt_tokens=input_tokens,
        completion_tokens=567,
        total_tokens=input_tokens + 567,
        prompt_tokens_details={"cached_tokens": cached},
    )
    costs = litellm.cost_per_token(model=name, custom_llm_provider=provider, usage_object=usage)
    return sum((Decimal(repr(cost)) for cost in costs), Decimal(0))


# litellm sends this name to another row of the map, which is priced at 0.
ZERO_ELSEWHERE = {"gemini-exp-1206"}


@pytest.mark.once
@pytest.mark.usefixtures("untraced")
def test_every_chat_model_in_the_map_costs_its_price_per_token(engine: PricingEngine) -> None:
    models = {name: row for name, row in chat_models().items() if not row.get("off_peak_pricing")}
    wrong = []
    for name, row in models.items():
        if row.get("tiered_pricing") or name in ZERO_ELSEWHERE:
            continue
        input_price, output_price = prices(row) or (Decimal(0), Decimal(0))
        expected = 1_234 * input_price + 567 * output_price
        if abs(engine.calculate(name, 1_234, 567) - expected) > NANO:
            wrong.append(name)
    assert len(models) > 2_000
    assert wrong == []


@pytest.mark.once
@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("input_tokens", [1_234, 128_001, 200_001, 272_001, 600_000])
@pytest.mark.parametrize("cached", [0, 1_000])
def test_every_chat_model_costs_what_litellm_says_in_every_tier(
    engine: PricingEngine, input_tokens: int, cached: int
) -> None:
    wrong = []
    for name, row in chat_models().items():
        if name in ZERO_ELSEWHERE:
            continue
        expected = litellms_own(name, row["litellm_provider"], input_tokens, cached)
        if abs(engine.calculate(name, input_tokens, 567, cached_input_tokens=cached) - expected) > NANO:
            wrong.append(name)
    assert wrong == []


def test_no_chat_model_is_free_because_its_price_is_missing(engine: PricingEngine) -> None:
    known = []
    for name, row in load_litellm().model_cost.items():
        if row.get("mode") != "chat" or row.get("tiered_pricing") or all(prices(row) or [0]):
            continue
        try:
            known.append((name, engine.calculate(name, 1_234, 567)))
        except UnknownModelError:
            continue
    assert known == []


@pytest.mark.parametrize(
    ("model", "cost"),
    [
        ("gpt-4", "0.042"),
        ("gpt-4o", "0.0045"),
        ("openai/gpt-4o", "0.0045"),
        ("azure/gpt-4o", "0.0045"),
        ("anthropic/claude-sonnet-4-5", "0.006"),
        ("claude-sonnet-4-5", "0.006"),
        ("gemini/gemini-2.5-pro", "0.00325"),
        ("vertex_ai/gemini-2.5-pro", "0.00325"),
        ("gemini-2.5-pro", "0.00325"),
        ("bedrock/converse/us.anthropic.claude-sonnet-4-5-20250929-v1:0", "0.0066"),
        ("ft:gpt-4o-2024-08-06:my-org:suffix:id", "0.00675"),
        ("openai/ft:gpt-4o-2024-08-06:my-org:suffix:id", "0.00675"),
    ],
)
def test_a_model_is_known_with_and_without_its_provider(engine: PricingEngine, model: str, cost: str) -> None:
    assert engine.calculate(model, 1_000, 200) == Decimal(cost)


@pytest.mark.parametrize(
    "model",
    [
        "claude-opus-99",
        "anthropic/claude-opus-99",
        "gpt-4o-999",
        "gpt-4o-2024-08-06-001",
        "fireworks_ai/foo-13b",
        "fireworks_ai/accounts/fireworks/models/foo-8x7b",
        "together_ai/foo-70b",
        "replicate/foo/bar",
        "gemini/gpt-4o",
        "azure_ai/gpt-4o",
        "litellm_proxy/gpt-4o",
        "github_copilot/gpt-4o",
        "ollama/llama2",
        "azure/model-router",
        "sample_spec",
        "openai/",
        "/gpt-4o",
        "ft:nothing:org::id",
        "no such model",
    ],
)
def test_a_model_that_the_map_does_not_price_by_name_is_unknown(engine: PricingEngine, model: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        engine.calculate(model, 1_000, 200)
    for word in (repr(model), "in the admin", "MODEL_PRICE_OVERRIDES"):
        assert word in str(caught.value)


def test_a_model_is_unknown_where_litellm_would_use_another_models_price(
    engine: PricingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litellm_prices, "_rates", KnownRates())  # it was asked before
    monkeypatch.setattr(load_litellm(), "get_model_info", lambda **_: {"key": "gpt-4o-mini"})
    with pytest.raises(UnknownModelError, match="would price it as 'gpt-4o-mini'"):
        engine.calculate("gpt-4o", 1_000, 200)


def test_an_embedding_costs_its_input(engine: PricingEngine) -> None:
    assert engine.calculate("text-embedding-3-small", 1_000_000, 0) == Decimal("0.02")


@pytest.mark.parametrize(
    ("model", "parts", "cost"),
    [
        ("gpt-4o", {"cached_input_tokens": 400}, "0.004"),
        ("gpt-4o", {"service_tier": "priority"}, "0.00765"),
        ("gpt-5.5", {"service_tier": "flex"}, "0.0055"),
        ("gpt-5.5", {"service_tier": "default"}, "0.011"),
        ("claude-sonnet-4-5", {"cached_input_tokens": 500, "cache_write_tokens": 300}, "0.004875"),
        ("claude-sonnet-4-5", {"cache_write_tokens": 500, "cache_write_1h_tokens": 200}, "0.006825"),
        ("gemini/gemini-2.5-flash-image", {"image_output_tokens": 100}, "0.00355"),
        ("gemini/gemini-2.5-flash-image", {"audio_input_tokens": 100}, "0.00087"),
    ],
)
def test_kinds_of_tokens_and_service_tiers_cost_what_the_map_says(
    engine: PricingEngine, model: str, parts: dict[str, Any], cost: str
) -> None:
    assert engine.calculate(model, 1_000, 200, **parts) == Decimal(cost)


def test_reasoning_costs_its_own_price_where_it_has_one(engine: PricingEngine) -> None:
    plain = engine.calculate("dashscope/qwen-plus-latest", 1_000, 1_000)
    assert plain == Decimal("0.0016")
    assert engine.calculate("dashscope/qwen-plus-latest", 1_000, 1_000, reasoning_tokens=1_000) == Decimal("0.0044")


def test_the_longest_affordable_answer_follows_the_context_tier(engine: PricingEngine) -> None:
    assert engine.affordable_output_tokens("gemini/gemini-2.5-pro", 200_000, "0.26") == 1_000
    assert engine.affordable_output_tokens("gemini/gemini-2.5-pro", 200_001, "0.51") == 666


# The network.


def run_offline(code: str, **env: str) -> str:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("LITELLM")}
    done = subprocess.run(
        [sys.executable, "-c", BLOCK_SOCKETS + code],
        env={**variables, "DJANGO_SETTINGS_MODULE": "tests.settings", **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("before", [{}, {"LITELLM_LOCAL_MODEL_COST_MAP": "False"}])
def test_prices_and_counts_never_go_to_the_network(before: dict[str, str]) -> None:
    code = (
        "import os\n"
        "from coreason_budget.pricing import PricingEngine, count_output\n"
        "engine = PricingEngine()\n"
        "print(engine.calculate('gpt-4', 1000, 200))\n"
        "picture = {'type': 'image_url', 'image_url': {'url': 'https://example.com/a.png', 'detail': 'high'}}\n"
        "messages = [{'role': 'user', 'content': [{'type': 'text', 'text': 'hello'}, picture]}]\n"
        "for model in ('gpt-4', 'gpt-4o', 'claude-sonnet-4-5', 'cohere/command-r-08-2024', 'gemini/gemini-2.5-pro',\n"
        "              'deepinfra/meta-llama/Llama-3.3-70B-Instruct'):\n"
        "    engine.estimate(model, messages, max_output_tokens=10)\n"
        "for model in ('github_copilot/gpt-4o', 'github_copilot/gpt-5-mini', 'ollama/llama2', 'lemonade/x', 'x/y'):\n"
        "    try: engine.calculate(model, 1, 1)\n"
        "    except ValueError: pass\n"
        "for model in ('gpt-4', 'gpt-4o', 'gpt-5', 'claude-sonnet-4-5', 'text-davinci-003', 'gpt-oss-20b'):\n"
        "    count_output(model, 'hello')\n"
        "units = {'billed_units': {'search_units': 1}}\n"
        "answers = ({'data': [{'url': 'x'}]}, {'text': '', 'duration': 5.0}, {'results': [], 'meta': units})\n"
        "for model in ('cohere/rerank-v3.5', 'jina_ai/jina-reranker-v2-base-multilingual', 'whisper-1',\n"
        "              'groq/whisper-large-v3', 'xai/grok-imagine-image', 'azure/dall-e-3',\n"
        "              'gemini/imagen-3.0-generate-001', 'github_copilot/gpt-4o'):\n"
        "    for answer in answers:\n"
        "        try: engine.cost_of(answer, model)\n"
        "        except ValueError: pass\n"
        "print(os.environ.get('LITELLM_LOCAL_MODEL_COST_MAP'))\n"
    )
    assert run_offline(code, **before).split() == ["0.042", before.get("LITELLM_LOCAL_MODEL_COST_MAP", "None")]
