from __future__ import annotations

from datetime import UTC
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from django.utils import translation
from django.utils.timezone import override as override_zone

from coreason_budget.scopes import Scope
from coreason_budget.templatetags.bars import bar_of

from .stage import account, bar, left, rendered, words

if TYPE_CHECKING:
    from coreason_budget import AccountStatus


def test_what_is_spent_and_what_is_left_make_up_the_limit() -> None:
    text = words(bar(account("10", spent="3.3333")))
    assert "$3.34 of $10.00 spent" in text
    assert "$6.66 left" in text


@pytest.mark.parametrize(
    ("shown", "state", "said"),
    [
        (account("10", "7.999999999"), "ok", "$2.00 left"),
        (account("10", "8"), "near", "$2.00 left"),
        (account("10", "4", held="4"), "near", "$2.00 left"),
        (account("10", "9.999999999"), "near", "$0.000000001 left"),
        (account("10", "10"), "over", "Used up"),
        (account("10", "9", held="1"), "over", "Used up"),
        (account("10", "12"), "over", "$12.00 of $10.00 spent"),
        (account("10", "-3"), "ok", "-$3.00 of $10.00 spent"),
        (account("0", "3"), "blocked", "Blocked Please ask an administrator."),
        (account(None, "3.5"), "unlimited", "No limit $3.50 spent"),
    ],
)
def test_the_bar_says_how_an_account_stands(shown: AccountStatus, state: str, said: str) -> None:
    html = bar(shown)
    assert f'data-budget-state="{state}"' in html
    assert f"budget-bar--{state}" in html
    assert said in words(html)
    assert ('role="meter"' in html) is (state in {"ok", "near", "over"})


def test_the_meter_tells_machines_the_exact_use_in_every_language() -> None:
    with translation.override("de"):
        html = bar(account("1000.5", "250.125", held="500.25"))
    assert '<data value="250.125" title="250,125\N{NO-BREAK SPACE}$">250,12\N{NO-BREAK SPACE}$ übrig</data>' in html
    assert 'aria-valuemin="0" aria-valuemax="1000.5" aria-valuenow="750.375"' in html
    assert 'aria-valuetext="250,13\N{NO-BREAK SPACE}$ von 1.000,50\N{NO-BREAK SPACE}$ verbraucht"' in html
    assert '<rect width="75.00%"' in html
    assert '<rect width="25.00%"' in html
    assert "500,25\N{NO-BREAK SPACE}$ reserviert" in html


@pytest.mark.parametrize(
    ("shown", "used", "width"),
    [(account("10", "12", held="1"), "10", "100.00"), (account("10", "-3", held="1"), "0", "0.00")],
)
def test_the_meter_stays_within_its_ends(shown: AccountStatus, used: str, width: str) -> None:
    html = bar(shown)
    assert f'aria-valuenow="{used}"' in html
    assert html.count(f'width="{width}%"') == 2


def test_the_bar_tells_when_the_period_ends() -> None:
    with override_zone(UTC):
        html = bar(account("10", period="week"))
    assert '<time datetime="2026-12-01T00:00:00+00:00">Tuesday, Dec. 1, 2026, midnight (UTC)</time>' in html


def test_the_first_account_to_stop_the_caller_is_shown() -> None:
    day, month = account("10", "6"), account("100", "70", period="month")
    assert left(month, day) == "$4.00"
    assert "Your budget today" in words(bar(month, day))
    assert left(account("10", "1"), account("100", "95", period="month")) == "$5.00"
    unlimited = account(None, "70", period="month")
    assert left(unlimited, day) == "$4.00"


def test_of_accounts_that_are_used_up_the_last_to_reset_is_shown() -> None:
    day, month = account("10", "10"), account("100", "100", period="month")
    assert "Your budget this month" in words(bar(day, month))
    assert "Your budget this month" in words(bar(month, day))
    assert "Your budget today Blocked" in words(bar(account("0"), month))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("", "$1.00"),
        ('"user" "week"', "$2.00"),
        ('scope="user" period="week"', "$2.00"),
        ('period="month"', "unlimited"),
        ('"project"', "$3.00"),
        ('"project" period="week"', "unlimited"),
        ('"global"', "$4.00"),
        ("scope=where period=when", "$2.00"),
    ],
)
def test_scope_and_period_are_the_authors_choice(arguments: str, text: str) -> None:
    statuses = [
        account("1"),
        account("2", period="week"),
        account("3", scope="project"),
        account("4", scope="global", period="month"),
    ]
    names = {"where": "user", "when": "week"}
    source = "{% budget_remaining " + arguments + " statuses=statuses as left %}{{ left }}"
    assert rendered(source, statuses=statuses, **names) == text


@pytest.mark.parametrize(
    ("arguments", "label"),
    [
        ("", "Your budget"),
        ('"user" "week"', "Your budget this week"),
        ('"project" "month"', "Project budget this month"),
        ('"global"', "Site budget"),
    ],
)
def test_what_nothing_limits_is_unlimited(arguments: str, label: str) -> None:
    assert words(bar(arguments=arguments)) == f"{label} No limit"


def test_what_is_not_known_is_said_to_be_unknown() -> None:
    assert words(rendered("{% budget_bar statuses=None %}")) == "Your budget Unknown at the moment"
    assert rendered("{% budget_remaining statuses=None %}") == "unknown"


def test_a_bar_shows_nobodys_id() -> None:
    html = bar(account("10", subject="secret-7"), account("10", scope="project", subject="secret-8"))
    assert "secret" not in html


def test_a_hostile_label_is_shown_harmlessly() -> None:
    hostile = "\"><script>alert('x')</script>"
    html = rendered("{% budget_bar statuses=statuses label=name %}", statuses=[account("10")], name=hostile)
    assert "<script" not in html
    assert html.count("&quot;&gt;&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;") == 2
    source = "{% load i18n %}{% blocktranslate asvar label %}Of {{ name }}{% endblocktranslate %}"
    html = rendered(source + "{% budget_bar statuses=statuses label=label %}", statuses=[account("10")], name="A & B")
    assert html.count("Of A &amp; B<") == 2


@pytest.mark.parametrize("accounts", [None, [], [account(None, "3")], [account("0", "3")]])
def test_without_a_limit_to_use_nothing_is_drawn(accounts: list[AccountStatus] | None) -> None:
    made = bar_of(Scope.USER, None, accounts)
    assert not made.has_meter
    assert made.used == 0
    assert {Decimal(made.spent_percent), Decimal(made.used_percent)} == {0}
