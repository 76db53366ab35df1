from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.template import TemplateSyntaxError

from .stage import MIDNIGHT, account, rendered


def test_in_place_the_remaining_amount_is_exact_for_machines() -> None:
    exact = [account("10", "9.576544")]
    element = '<data class="budget-remaining" value="0.423456" title="$0.423456">$0.42</data>'
    assert rendered("You have {% budget_remaining statuses=statuses %}.", statuses=exact) == f"You have {element}."
    source = "{% autoescape off %}{% budget_remaining statuses=statuses %}{% endautoescape %}"
    assert rendered(source, statuses=exact) == "$0.42"
    assert rendered("{% budget_remaining statuses=statuses %}", statuses=[account(None)]) == "unlimited"


def test_as_a_variable_the_remaining_amount_is_text_with_its_value() -> None:
    source = (
        "{% budget_remaining statuses=statuses as left %}"
        "{% if left.usd < 1 %}{{ left }} {{ left.usd|plain }} {{ left.state }}{% endif %}"
    )
    assert rendered(source, statuses=[account("10", "9.576544")]) == "$0.42 0.423456 near"
    assert rendered(source, statuses=[account(None)]) == ""
    text = "{% budget_remaining statuses=statuses as left %}{{ left }} {{ left.usd }} {{ left.state }}"
    assert rendered(text, statuses=[account(None)]) == "unlimited None unlimited"
    assert rendered(text, statuses=None) == "unknown None unknown"


# Mistakes of the author.


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('{% budget_bar "team" statuses=None %}', "budget_bar: scope must be one of 'user', 'project', 'global'"),
        ("{% budget_remaining nothing statuses=None %}", "budget_remaining: scope must be one of"),
        ('{% budget_bar period="year" statuses=None %}', "budget_bar: period must be one of 'day', 'week', 'month'"),
        (
            "{% budget_bar statuses=nothing %}",
            "budget_bar: statuses must be .*, not ''; is the variable in the context",
        ),
        ("{% budget_remaining statuses=one %}", "budget_remaining: statuses must be .* or None, not AccountStatus"),
        ("{% budget_bar colour='red' %}", "budget_bar.* received unexpected keyword argument 'colour'"),
        ("{% budget_remaining label='x' %}", "'budget_remaining' received unexpected keyword argument 'label'"),
        ("{% budget_remaining label='x' as y %}", "'budget_remaining' received unexpected keyword argument 'label'"),
    ],
)
def test_a_mistake_in_a_tag_is_named(source: str, message: str) -> None:
    with pytest.raises(TemplateSyntaxError, match=message):
        rendered(source, one=account("1"))


@pytest.mark.parametrize("source", ["{% budget_bar %}", "{% budget_remaining %}", "{% budget_remaining as left %}"])
def test_without_a_request_the_remedy_is_named(source: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"django\.template\.context_processors\.request"):
        rendered(source)


NAIVE = MIDNIGHT.replace(tzinfo=None)


@pytest.mark.parametrize("name", ["usd", "plain", "moment", "wait"])
@pytest.mark.parametrize("value", [None, "", "12", object(), Decimal("NaN"), NAIVE])
def test_a_filter_writes_nothing_for_what_it_cannot_show(name: str, value: object) -> None:
    assert rendered("[{{ value|" + name + " }}]", value=value) == "[]"
    assert rendered("[{{ missing|" + name + " }}]") == "[]"
