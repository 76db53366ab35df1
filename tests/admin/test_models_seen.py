"""The models that calls name: what they cost, where their prices come from, and which had none."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from coreason_budget import UnknownModelError, service
from coreason_budget.admin import models_seen, words
from coreason_budget.models import ModelPrice, SpendRecord
from coreason_budget.refusals.recorder import flush_all

from ..litellms import WARNS
from .conftest import booked
from .pages import Page

pytestmark = [pytest.mark.usefixtures("ledger"), *WARNS]


def tables(page):
    """Return the rows of the page's tables by the heading of their part."""
    return {
        part.one("h2").text: [
            [cell.text for cell in row.children if not isinstance(cell, str)]
            for body in part.all("tbody")
            for row in body.all("tr")
        ]
        for part in page.root.one("div", id="content-main").all("section")
    }


def links(page):
    return [link.attributes["href"] for link in page.root.one("div", id="content-main").all("a")]


def ask_for(*models):
    budget = service.manager()
    for model in models:
        with pytest.raises(UnknownModelError):
            budget.reckon(partial(budget.pricing.calculate, model, 1, 1))
    flush_all(5)


def test_models_are_listed_with_calls_spend_and_where_their_price_comes_from(boss, settings):
    settings.COREASON_BUDGET = {
        **settings.COREASON_BUDGET,
        "MODEL_PRICE_OVERRIDES": {"set": {"input_usd_per_million": "1", "output_usd_per_million": "3"}},
    }
    own = ModelPrice.objects.create(model="own", input_usd_per_million="0.5", output_usd_per_million=2)
    for name, cost in (("own", "4"), ("own", "0.000000001"), ("set", "3"), ("gpt-4o", "2"), ("gone", "1")):
        booked(model=name, cost=cost)
    service.refund(booked(model="set", cost="0.5", charge_id="back").charge_id)
    booked(cost="9")  # of no model

    page = boss.get("models")

    assert tables(page)["Used in the past 30 days"] == [
        ["own", "2", "$4.000000001", "own price", "$0.50 in, $2.00 out", "Own price own"],
        ["set", "2", "$3.00", "settings", "$1.00 in, $3.00 out", "Set a price set"],
        ["gpt-4o", "1", "$2.00", "litellm", "$2.50 in, $10.00 out", "Set a price gpt-4o"],
        ["gone", "1", "$1.00", "none: calls are refused", words.NOTHING, "Set a price gone"],
    ]
    add = "/admin/coreason_budget/modelprice/add/"
    assert links(page) == [
        f"/admin/coreason_budget/modelprice/{own.pk}/change/",
        f"{add}?model=set",
        f"{add}?model=gpt-4o&input_usd_per_million=2.5&output_usd_per_million=10&cached_input_usd_per_million=1.25",
        f"{add}?model=gone",
    ]
    assert page.inline_code == []


def test_older_records_do_not_count(boss):
    booked(model="old", charge_id="old")
    booked(model="new", charge_id="new")
    SpendRecord.objects.filter(charge_id="old").update(at=timezone.now() - timedelta(days=31))

    assert [row[0] for row in tables(boss.get("models"))["Used in the past 30 days"]] == ["new"]


def test_models_that_were_refused_lead_to_a_form_that_names_them(boss):
    ask_for("mystery-1", "mystery-2", "mystery-1")

    page = boss.get("models")

    rows = tables(page)["Asked for without a price"]
    assert {(row[0], row[1], *row[3:]) for row in rows} == {
        ("mystery-1", "2", "none: calls are refused", words.NOTHING, "Set a price mystery-1"),
        ("mystery-2", "1", "none: calls are refused", words.NOTHING, "Set a price mystery-2"),
    }
    form = boss.client.get(next(link for link in links(page) if link.endswith("mystery-1")))
    assert Page(form).root.one("input", name="model").attributes["value"] == "mystery-1"


def test_a_model_that_has_got_a_price_since_says_so(boss):
    ask_for("mystery")
    ModelPrice.objects.create(model="mystery", input_usd_per_million=1, output_usd_per_million=2)

    [row] = tables(boss.get("models"))["Asked for without a price"]

    assert row[3:] == ["own price", "$1.00 in, $2.00 out", "Own price mystery"]


def test_without_redis_the_models_that_were_used_are_shown_all_the_same(boss, redis_down):
    SpendRecord.objects.create(charge_id="c", model="gone", cost_nanos=5, at=timezone.now())

    page = boss.get("models")

    assert "It is not known at the moment" in page.root.one("p", "errornote").text
    assert [row[0] for row in tables(page)["Used in the past 30 days"]] == ["gone"]


def test_where_nothing_was_done_it_says_so(boss):
    text = boss.get("models").root.one("div", id="content-main").text

    assert "None: every model that was asked for had a price." in text
    assert "No call of a model was booked." in text


def test_only_those_that_cost_most_are_listed(boss, monkeypatch):
    monkeypatch.setattr(models_seen, "MOST", 2)
    for number in range(3):
        booked(model=f"m{number}", cost=f"{number}.5")

    page = boss.get("models")

    assert [row[0] for row in tables(page)["Used in the past 30 days"]] == ["m2", "m1"]
    assert page.root.one("p", "budget-more").text == "These are the 2 that cost most."


@pytest.mark.parametrize(
    ("permissions", "status"),
    [
        (["view_modelprice"], 403),
        (["view_spendrecord"], 403),
        (["add_modelprice", "view_spendrecord"], 403),
        (["view_modelprice", "view_spendrecord"], 200),
    ],
)
def test_it_needs_both_permissions_to_look(staff, permissions, status):
    booked(model="gone")
    somebody = staff(*permissions)

    page = somebody.get("models", status=status)

    assert links(page) == [] if status == 200 else "gone" not in page.html
    if "view_modelprice" in permissions:
        tools = somebody.get("modelprice_changelist").root.one("ul", "object-tools")
        assert [link.text for link in tools.all("a")] == (["Models in use"] if status == 200 else [])


def test_hostile_names_do_nothing(boss):
    name = '"><script>alert(1)</script>&model=other'
    booked(model=name)
    ask_for(name)

    page = boss.get("models")

    assert "<script>alert" not in page.html
    for link in links(page):
        assert Page(boss.client.get(link)).root.one("input", name="model").attributes["value"] == name


def test_it_costs_the_same_for_any_number(boss, django_assert_num_queries):
    for number in range(30):
        booked(model=f"m{number}")
    boss.get("models")

    with django_assert_num_queries(4):  # session, user, the models with their sums, the prices
        boss.get("models")
