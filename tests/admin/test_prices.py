"""Prices of models: exact, and free only where that is said."""

from __future__ import annotations

from decimal import Decimal

import pytest

from coreason_budget import service
from coreason_budget.models import ModelPrice

from ..litellms import WARNS
from .pages import Page

pytestmark = [pytest.mark.usefixtures("ledger"), *WARNS]


def filled(**values):
    return {
        "model": "gpt",
        "input_usd_per_million": "2.5",
        "output_usd_per_million": "10",
        "cached_input_usd_per_million": "",
        "cache_write_usd_per_million": "",
        "note": "",
        **values,
    }


def test_prices_are_listed_for_a_million_tokens(boss):
    ModelPrice.objects.create(
        model="gpt",
        input_usd_per_million="2.500000000000",
        output_usd_per_million=10,
        cached_input_usd_per_million="0.000000000001",
        note="list price",
    )

    row = boss.get("modelprice_changelist").texts[0]

    assert {name: row[name] for name in ("model_name", "input", "output", "cached_input", "cache_write", "note")} == {
        "model_name": "gpt",
        "input": "$2.50",
        "output": "$10.00",
        "cached_input": "$0.000000000001",
        "cache_write": "as input",
        "note": "list price",
    }


@pytest.mark.parametrize(
    ("query", "found"), [({"q": "gpt"}, {"gpt"}), ({"q": "mine"}, {"llama"}), ({"is_free__exact": "1"}, {"llama"})]
)
def test_prices_are_found_by_model_note_and_whether_they_are_free(boss, query, found):
    ModelPrice.objects.create(model="gpt", input_usd_per_million=1, output_usd_per_million=1)
    ModelPrice.objects.create(
        model="llama", input_usd_per_million=0, output_usd_per_million=0, is_free=True, note="mine"
    )

    assert {row["model_name"] for row in boss.get("modelprice_changelist", **query).texts} == found


def test_a_price_is_kept_exactly_and_counts_for_the_next_call(boss):
    boss.post("modelprice_add", **filled(input_usd_per_million="0.000000000001", note="tiny"))

    price = ModelPrice.objects.get()
    assert price.input_usd_per_million == Decimal("0.000000000001")
    assert service.pricing().calculate(model="gpt", input_tokens=0, output_tokens=1_000_000) == 10
    page = boss.get("modelprice_change", price.pk)
    assert page.root.one("input", name="input_usd_per_million").attributes["value"] == "0.000000000001"
    assert page.root.one("input", name="output_usd_per_million").attributes["value"] == "10"
    assert page.root.one("div", "field-created").one("time")


def test_a_changed_price_counts_for_the_next_call(boss):
    price = ModelPrice.objects.create(model="gpt", input_usd_per_million=1, output_usd_per_million=1)
    assert service.pricing().calculate(model="gpt", input_tokens=1_000_000, output_tokens=0) == 1

    boss.post("modelprice_change", price.pk, **filled(input_usd_per_million="3"))

    assert service.pricing().calculate(model="gpt", input_tokens=1_000_000, output_tokens=0) == 3


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"input_usd_per_million": "0", "output_usd_per_million": "0"},
            "Both prices are 0: tick “free” if that is meant.",
        ),
        ({"input_usd_per_million": "-1"}, "“-1” is negative. An amount is 0 or more."),
        ({"input_usd_per_million": "0.0000000000001"}, "“0.0000000000001” has more than 12 decimal places."),
        ({"input_usd_per_million": "x"}, "“x” is not an amount. Write it with digits and a point, such as 0.05."),
        ({"model": "taken"}, "Model price with this Model already exists."),
        ({"output_usd_per_million": ""}, "This field is required."),
    ],
)
def test_what_is_no_price_is_refused(boss, values, said):
    ModelPrice.objects.create(model="taken", input_usd_per_million=1, output_usd_per_million=1)

    page = Page(boss.post("modelprice_add", **filled(**values)))

    assert page.errors == [said]
    assert ModelPrice.objects.count() == 1


def test_a_free_model_is_free_because_somebody_said_so(boss):
    boss.post("modelprice_add", **filled(input_usd_per_million="0", output_usd_per_million="0", is_free="on"))

    assert ModelPrice.objects.get().is_free


def test_lists_and_forms_have_a_fixed_number_of_queries(boss, django_assert_num_queries):
    prices = [
        ModelPrice.objects.create(model=f"m{number}", input_usd_per_million=1, output_usd_per_million=1)
        for number in range(30)
    ]
    boss.get("modelprice_changelist")

    with django_assert_num_queries(5):  # session, user, twice the number of prices, the prices
        boss.get("modelprice_changelist")
    with django_assert_num_queries(3):
        boss.get("modelprice_change", prices[0].pk)
    with django_assert_num_queries(2):
        boss.get("modelprice_add")


# litellm's prices beside ours


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        ("2.5", "$2.50 litellm: $2.50, ours the same"),
        ("3", "$3.00 litellm: $2.50, ours +20 %"),
        ("2.4", "$2.40 litellm: $2.50, ours -4 %"),
        ("2.500000000001", "$2.500000000001 litellm: $2.50, ours about the same"),
        ("2.51", "$2.51 litellm: $2.50, ours +0.4 %"),
        ("0.0000025", "$0.0000025 litellm: $2.50, ours -99.9 %"),
        ("2500000", "$2,500,000.00 litellm: $2.50, ours 1,000,000 times as much"),
    ],
)
def test_litellms_price_is_shown_beside_ours(boss, ours, said):
    ModelPrice.objects.create(model="gpt-4o", input_usd_per_million=ours, output_usd_per_million=10)

    row = boss.get("modelprice_changelist").texts[0]

    assert row["input"].replace("\N{NO-BREAK SPACE}", " ") == said
    assert row["output"] == "$10.00 litellm: $10.00, ours the same"


def test_the_form_compares_what_counts(boss):
    price = ModelPrice.objects.create(model="gpt-4o", input_usd_per_million="2.5", output_usd_per_million=20)

    shown = boss.get("modelprice_change", price.pk).root.one("div", "field-litellm")

    assert [each.text.replace("\N{NO-BREAK SPACE}", " ") for each in shown.all("dd")] == [
        "litellm: $2.50, ours the same",
        "litellm: $10.00, ours +100 %",
        "litellm: $1.25, ours +100 %",  # cached input costs what input costs
    ]


def test_a_model_that_litellm_does_not_know_stands_alone(boss):
    price = ModelPrice.objects.create(model="mine", input_usd_per_million="2.5", output_usd_per_million=20)

    shown = boss.get("modelprice_change", price.pk).root.one("div", "field-litellm")

    assert "litellm has no price of this model." in shown.text
    assert boss.get("modelprice_changelist").texts[0]["input"] == "$2.50"


@pytest.mark.parametrize(
    ("ours", "is_asked"), [("2.5", False), ("24.9", False), ("25", True), ("0.25", True), ("0.26", False), ("0", True)]
)
def test_a_price_of_another_order_is_asked_about(boss, ours, is_asked):
    sent = filled(model="gpt-4o", input_usd_per_million=ours, output_usd_per_million="10")

    messages = Page(boss.post("modelprice_add", **sent)).messages

    assert any("was it entered for one token, or for a thousand?" in message for message in messages) == is_asked
    assert ModelPrice.objects.get().input_usd_per_million == Decimal(ours)


def test_the_form_can_be_filled_in_by_an_address(boss):
    page = boss.get("modelprice_add", model="mystery", input_usd_per_million="2.5")

    assert page.root.one("input", name="model").attributes["value"] == "mystery"
    assert page.root.one("input", name="input_usd_per_million").attributes["value"] == "2.5"
    assert not list(page.root.all("div", "field-litellm"))
