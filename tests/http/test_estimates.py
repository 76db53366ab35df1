"""How much is held for a call: what the decorator says, what its model may cost, or the default; never nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.http import HttpResponse

from coreason_budget import budgeted
from coreason_budget.models import SpendRecord

from .steps import charge

if TYPE_CHECKING:
    from .site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)

PRICES = {
    "house": {"input_usd_per_million": "2", "output_usd_per_million": "10"},
    "gift": {"free": True},
}


def paying(request: Any, **kwargs: Any) -> Any:
    """Say what is held."""
    hold = request.budget.hold.amount
    yield charge(request)
    return HttpResponse(f"{hold:f}")


def held(site: Site, user: Any, **terms: Any) -> str:
    """Return what is held for a call, in USD, or the status of a call that failed."""
    answer = site.get(site.budgeted(**terms)(paying), "/12/", route="<int:size>/", user=user)
    return answer.text if answer.status == 200 else str(answer.status)


@pytest.mark.parametrize(
    ("estimate", "amount"),
    [("0.5", "0.5"), (Decimal("0.123456789"), "0.123456789"), (1, "1"), (0.1, "0.1"), ("0", "0")],
)
def test_an_amount_of_usd_is_held(native_site: Site, ledger: Ledger, ann: Any, estimate: Any, amount: str) -> None:
    assert held(native_site, ann, estimate=estimate) == amount


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ("-0.1", ValueError),
        (-1, ValueError),
        ("NaN", ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        ("a lot", ValueError),
        ("", ValueError),
        (True, TypeError),
        (b"1", TypeError),
        ([], TypeError),
    ],
)
def test_a_bad_amount_is_refused_where_it_is_written(bad: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="estimate must"):
        budgeted(estimate=bad)


@pytest.mark.parametrize("bad", [7, b"gpt", []])
def test_a_bad_model_is_refused_where_it_is_written(bad: Any) -> None:
    with pytest.raises(TypeError, match="model must be the name of a model"):
        budgeted(model=bad)


def plain(request: Any, size: int) -> Decimal:
    return Decimal(size) / 100


async def asynchronous(request: Any, size: int) -> str:
    return f"{plain(request, size)}"


def querying(request: Any, size: int) -> str:
    return f"0.{SpendRecord.objects.count()}{size}"


class Estimate:
    async def __call__(self, request: Any, size: int) -> Decimal:
        return plain(request, size)


@pytest.mark.parametrize("function", [plain, asynchronous, Estimate()], ids=["plain", "async", "object"])
def test_a_function_of_the_request_says_how_much(site: Site, ledger: Ledger, ann: Any, function: Any) -> None:
    assert held(site, ann, estimate=function) == "0.12"


def test_that_function_may_query_the_database(site: Site, ledger: Ledger, ann: Any) -> None:
    assert held(site, ann, estimate=querying) == "0.012"


def test_a_function_that_does_not_know_leaves_it_to_the_model(site: Site, ledger: Ledger, ann: Any) -> None:
    ledger.configure(model_price_overrides=PRICES, estimate_output_tokens=1_000)

    assert held(site, ann, estimate=lambda request, size: None, model="house") == "0.012"
    assert held(site, ann, estimate=lambda request, size: None) == "0.05"


@pytest.mark.parametrize(("bad", "error"), [("-1", "ValueError"), ("x", "ValueError"), (object(), "TypeError")])
def test_a_function_that_says_no_amount_is_an_error(
    native_site: Site, ledger: Ledger, ann: Any, caplog: pytest.LogCaptureFixture, bad: Any, error: str
) -> None:
    assert held(native_site, ann, estimate=lambda request, size: bad) == "500"
    assert f"{error}: amount must" in caplog.text
    assert ledger.of(ann) == ("0", "0")


def test_a_model_is_held_for_by_its_price(site: Site, ledger: Ledger, ann: Any) -> None:
    # as many tokens of input as of output: 1,000 x $2 + 1,000 x $10 for a million
    ledger.configure(model_price_overrides=PRICES, estimate_output_tokens=1_000)

    assert held(site, ann, model="house") == "0.012"
    assert held(site, ann, model="house", estimate="0.5") == "0.5"


def test_a_model_of_litellm_is_held_for_by_its_price(site: Site, ledger: Ledger, ann: Any) -> None:
    ledger.configure(estimate_output_tokens=1_000)

    assert Decimal("0.005") < Decimal(held(site, ann, model="gpt-4o")) < Decimal("0.05")


def test_a_free_model_is_held_for_all_the_same(native_site: Site, ledger: Ledger, ann: Any) -> None:
    ledger.configure(model_price_overrides=PRICES, default_hold_usd="0.07")

    assert held(native_site, ann, model="gift") == "0.07"


def test_a_model_without_a_price_is_not_called(
    site: Site, ledger: Ledger, ann: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert held(site, ann, model="claude-opus-99") == "500"
    assert "UnknownModelError: No price is known for model 'claude-opus-99'" in caplog.text
    assert ledger.of(ann) == ("0", "0")


def test_without_any_estimate_the_default_is_held(native_site: Site, ledger: Ledger, ann: Any) -> None:
    assert held(native_site, ann) == "0.05"
    ledger.configure(default_hold_usd="0.4")
    assert held(native_site, ann) == "0.4"


def test_what_does_not_fit_is_refused_before_the_view(native_site: Site, ledger: Ledger, ann: Any) -> None:
    assert held(native_site, ann, estimate="0.9") == "0.9"
    assert held(native_site, ann, estimate="0.9") == "429"
    assert held(native_site, ann, estimate="0.8") == "0.8"
    assert held(native_site, ann, estimate="0.600000001") == "429"


def test_an_estimate_of_nothing_still_asks_whether_anything_is_left(
    native_site: Site, ledger: Ledger, ann: Any
) -> None:
    @native_site.budgeted(estimate=0)
    def view(request: Any) -> Any:
        yield charge(request, "1")
        return HttpResponse()

    assert [native_site.get(view, user=ann).status for _ in range(2)] == [200, 429]


def test_the_model_of_the_decorator_names_the_record(site: Site, ledger: Ledger, ann: Any) -> None:
    ledger.configure(model_price_overrides=PRICES)

    @site.budgeted(model="house")
    def view(request: Any) -> Any:
        yield charge(request, "0.1")
        yield charge(request, "0.1", model="other")
        usage = {"prompt_tokens": 1_000, "completion_tokens": 0, "total_tokens": 1_000}
        receipt = yield do_charge(request, {"model": "house", "usage": usage, "object": "chat.completion"})
        return HttpResponse(f"{receipt.cost:f}")

    assert site.get(view, user=ann).body == b"0.002"
    ledger.settled()
    records = SpendRecord.objects.order_by("pk")
    assert [(record.model, record.input_tokens) for record in records] == [
        ("house", None),
        ("other", None),
        ("house", 1_000),
    ]


def do_charge(request: Any, response: Any) -> Any:
    return charge(request, None, response=response)  # type: ignore[arg-type]  # instead of a cost
