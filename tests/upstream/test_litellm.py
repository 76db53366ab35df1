"""litellm understands the upstream: what OpenAI's SDK is not behind, and the price of what was produced."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget.pricing import PricingEngine
from coreason_budget.pricing.litellm_prices import load_litellm

from . import Answer, Tokens

if TYPE_CHECKING:
    from . import Upstream

# litellm's own classes make pydantic warn at first use.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning"),
    pytest.mark.usefixtures("litellm_clients"),
]

ASK: Any = {"messages": [{"role": "user", "content": "What is six times seven?"}], "api_key": "-"}


@pytest.mark.parametrize(
    ("model", "path", "cost"),
    [
        ("openai/gpt-4", "v1", "0.00057"),
        ("anthropic/claude-sonnet-4-5", "", "0.00012"),
        ("gemini/gemini-2.5-pro", "v1beta/models/gemini-2.5-pro", "0.00007625"),
    ],
)
def test_the_books_and_litellm_agree(upstream: Upstream, model: str, path: str, cost: str) -> None:
    upstream.will(Answer(tokens=Tokens(input=5)))
    response = load_litellm().completion(model, api_base=f"{upstream.url}/{path}".rstrip("/"), **ASK)
    assert response.choices[0].message.content == "Six times seven is forty-two."
    usage = upstream.produced[0].usage
    assert PricingEngine().calculate(model, usage.input_tokens, usage.output_tokens) == Decimal(cost)
    assert PricingEngine().cost_of(response, model).cost_usd == Decimal(cost)


def test_documents_are_ranked(upstream: Upstream) -> None:
    response = load_litellm().rerank(
        "cohere/rerank-v3.5", query="six", documents=["seven", "six"], api_base=upstream.url, api_key="-"
    )
    assert [result["index"] for result in response.results] == [0, 1]
    assert response.meta["billed_units"] == {"search_units": 1}
    assert upstream.produced[0].searches == 1
