from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, cast
from zoneinfo import ZoneInfo

import pytest
from django.template import Context, Engine, engines
from django.utils import translation
from django.utils.timezone import override as override_zone

import coreason_budget
from coreason_budget.exceptions import BudgetExceededError, BudgetUnavailableError, Refusal
from coreason_budget.http.problems import Problem, problem_of

from .templatetags.stage import MIDNIGHT, account, bar, rendered, words

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_django import Settings

    from coreason_budget.http.budget import RequestBudget

PACKAGE = Path(coreason_budget.__file__).parent
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Asker:
    """A request's budget that knows who asks."""

    def __init__(self, *subjects: str) -> None:
        self._subjects = subjects

    def knows(self, user_id: str) -> bool:
        return user_id in self._subjects


def over(scope: str = "user", period: str = "day", asker: str = "7", **figures: str) -> Problem:
    """Return what somebody is told whom an account of 7, of apollo or of the site has no room for."""
    amounts = {"limit": "1000", "spent": "999.901234", "held": "0.06", "requested": "0.1"} | figures
    usd = {name: Decimal(amount) for name, amount in amounts.items()}
    subject = {"user": "7", "project": "apollo", "global": ""}[scope]
    wait = 10_400 if usd["limit"] else None
    refusal = Refusal(scope, subject, period, usd["limit"], usd["spent"], usd["held"], usd["requested"], MIDNIGHT, wait)
    return problem_of(BudgetExceededError(refusal), cast("RequestBudget", Asker(asker)))


def blocked(scope: str = "user", asker: str = "7") -> Problem:
    """Return what somebody is told whose account, or whose project's or site's, has a limit of 0."""
    return over(scope, asker=asker, limit="0", spent="0", held="0")


def down() -> Problem:
    """Return what everybody is told while the budget cannot be checked."""
    return problem_of(BudgetUnavailableError("no answer"), cast("RequestBudget", Asker()))


def page(problem: Problem, name: str = "429", *, stylesheet: str | None = "/static/page.css") -> str:
    """Render a page as the project's own engine does, without a request."""
    template = engines["django"].get_template(f"coreason_budget/{name}.html")
    return template.render({"problem": problem, "stylesheet": stylesheet})


def lone_engine() -> Engine:
    """Return the engine that a project without templates of its own gets: these templates and nothing else."""
    libraries = {name: f"django.templatetags.{name}" for name in ("i18n", "l10n", "tz")}
    libraries["coreason_budget"] = "coreason_budget.templatetags.coreason_budget"
    return Engine(dirs=[str(PACKAGE / "templates")], libraries=libraries)


# What they say.


@pytest.mark.parametrize("period", ["day", "week", "month"])
@pytest.mark.parametrize(
    ("scope", "asker", "whose"),
    [
        ("user", "7", "Your budget"),
        ("user", "8", "The budget of this user"),
        ("project", "7", "The budget of this project"),
        ("global", "7", "The budget of this site"),
    ],
)
def test_the_page_says_whose_budget_and_which_period(scope: str, asker: str, whose: str, period: str) -> None:
    when = {"day": "for today", "week": "for this week", "month": "for this month"}[period]
    problem = over(scope, period, asker)
    assert problem.detail == f"{whose} {when} does not cover this request."
    assert words(page(problem)).count(problem.detail) == 1


def test_the_page_says_when_the_budget_resets() -> None:
    with override_zone(ZoneInfo("America/New_York")):
        html = page(over())
    assert "Resets in 3 hours Monday, Nov. 23, 2026, 7 p.m. (EST)" in words(html)
    assert '<time datetime="2026-11-23T19:00:00-05:00">' in html


def test_the_page_speaks_german() -> None:
    with translation.override("de"), override_zone(ZoneInfo("Europe/Berlin")):
        html = page(over())
    assert '<html lang="de" dir="ltr">' in html
    assert "Ihr Budget für heute reicht für diese Anfrage nicht aus." in html
    assert "Beginnt neu in 3 Stunden Dienstag, 24. November 2026, 01:00 Uhr (CET)" in words(html)
    assert "Limit 1.000,00 $ Verbraucht 999,91 $" in words(html)


def test_the_page_is_mirrored_for_languages_that_are() -> None:
    with translation.override("ar"):
        assert '<html lang="ar" dir="rtl">' in page(over())


def test_figures_are_shown_rounded_to_the_safe_side() -> None:
    facts = "Limit $1,000.00 Spent $999.91 Reserved for other requests $0.06 Left $0.038 This request, at most $0.10"
    assert facts in words(page(over()))


def test_without_figures_there_are_none() -> None:
    text = words(page(over("project")))
    assert not {"$", "Limit", "Spent", "Left"} & {*text, *text.split()}
    assert "This request, at most" not in words(page(over(requested="0")))


WHOSE = [
    ("user", "7", "your budget"),
    ("user", "8", "the budget of this user"),
    ("project", "7", "the budget of this project"),
    ("global", "7", "the budget of this site"),
]


@pytest.mark.parametrize(("scope", "asker", "whose"), WHOSE)
def test_a_budget_that_is_only_reserved_is_not_called_used_up(scope: str, asker: str, whose: str) -> None:
    problem = over(scope, asker=asker, spent="999.9", held="0.06", requested="0.1")
    assert (problem.type, problem.title) == ("urn:coreason-budget:in-use", "Budget in use")
    assert problem.detail == (
        f"What is left of {whose} is reserved for other requests. They may give some of it back soon."
    )
    assert problem.retry_after == 10_400
    assert over(scope, spent="999.900000001", held="0.06", requested="0.1").type == "urn:coreason-budget:exceeded"


@pytest.mark.parametrize(("scope", "asker", "whose"), WHOSE)
def test_a_request_that_can_never_fit_is_told_so(scope: str, asker: str, whose: str) -> None:
    problem = over(scope, asker=asker, spent="0", held="0", requested="1000.000000001")
    whole = whose.replace("your ", "your whole ").replace("the budget", "the whole budget")
    assert (problem.type, problem.title) == ("urn:coreason-budget:too-large", "Request too large for the budget")
    assert problem.detail == f"This request may cost more than {whole}."


@pytest.mark.parametrize(
    ("scope", "asker", "whose"),
    [
        ("user", "7", "Your budget"),
        ("user", "8", "The budget of this user"),
        ("project", "7", "The budget of this project"),
        ("global", "7", "The budget of this site"),
    ],
)
def test_a_blocked_budget_is_told_from_one_that_resets(scope: str, asker: str, whose: str) -> None:
    problem = blocked(scope, asker)
    assert problem.detail == (
        f"{whose} is blocked, so this request was not carried out. "
        "Waiting does not help here: please ask an administrator."
    )
    html = page(problem)
    assert words(html).count(problem.detail) == 1
    assert "<time" not in html
    assert "Reset" not in words(html)


def test_a_budget_that_cannot_be_checked_is_not_called_used_up() -> None:
    text = words(page(down(), "503"))
    assert "Budget unavailable The budget cannot be checked at the moment" in text
    assert text.endswith("Please try again in 5 seconds.")
    assert words(page(replace(down(), retry_after=None), "503")).endswith("Please try again later.")


# Where they render.


@pytest.mark.parametrize(("told", "name"), [(over, "429"), (blocked, "429"), (down, "503")])
def test_a_project_without_templates_gets_the_same_page(told: Callable[[], Problem], name: str) -> None:
    problem = told()
    context = Context({"problem": problem, "stylesheet": "/static/page.css"})
    alone = lone_engine().get_template(f"coreason_budget/{name}.html").render(context)
    assert alone == page(problem, name)


def test_without_static_files_there_is_no_link() -> None:
    assert '<link rel="stylesheet" href="/static/page.css">' in page(over())
    assert "<link" not in page(over(), stylesheet=None)


def test_without_time_zones_the_page_shows_utc(settings: Settings) -> None:
    settings.USE_TZ = False
    html = page(over())
    assert "Tuesday, Nov. 24, 2026, midnight (UTC)" in html
    assert 'datetime="2026-11-24T00:00:00+00:00"' in html


def test_a_project_gives_the_pages_its_own_frame() -> None:
    own = "<nav>Home</nav><title>{% block title %}{% endblock %}</title>{% block content %}{% endblock %}"
    loaders = [
        ("django.template.loaders.locmem.Loader", {"coreason_budget/page.html": own}),
        ("django.template.loaders.filesystem.Loader", [str(PACKAGE / "templates")]),
    ]
    engine = Engine(loaders=loaders, libraries=lone_engine().libraries)
    html = engine.get_template("coreason_budget/429.html").render(Context({"problem": over()}))
    assert html.startswith("<nav>Home</nav><title>Budget used up</title>")
    assert '<h1 class="budget-notice__title">Budget used up</h1>' in html
    assert "<html" not in html


# What they are made of.


class Inspector(HTMLParser):
    """Notes what a strict Content-Security-Policy forbids, and elements that are not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forbidden: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> names an attribute twice: {names}"
        self.forbidden += [tag] if tag in {"script", "style", "iframe", "object", "base"} else []
        self.forbidden += [f"{tag} {name}" for name in names if name == "style" or name.startswith("on")]
        self.forbidden += [f"{tag} {name}={value}" for name, value in attrs if _is_active(name, value or "")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _is_active(name: str, value: str) -> bool:
    return name == "http-equiv" or (name in {"href", "src"} and value.startswith(("javascript:", "data:")))


HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;"


def shown() -> dict[str, str]:
    """Return everything that the templates can show."""
    odd = replace(over(), title=HOSTILE, detail=HOSTILE, scope=HOSTILE, period=HOSTILE)
    states = {
        "ok": [account("10", "3", held="1")],
        "near": [account("10", "9")],
        "over": [account("10", "10")],
        "blocked": [account("0")],
        "unlimited": [account(None, "1")],
    }
    return {
        "over": page(over()),
        "project": page(over("project", "week")),
        "blocked": page(blocked()),
        "down": page(down(), "503"),
        "hostile": page(odd, stylesheet=HOSTILE),
        "hostile down": page(odd, "503", stylesheet=HOSTILE),
        "unknown bar": rendered("{% budget_bar statuses=None label=label %}", label=HOSTILE),
        **{f"{name} bar": bar(*statuses) for name, statuses in states.items()},
        "hostile bar": rendered("{% budget_bar statuses=s label=label %}", s=states["ok"], label=HOSTILE),
    }


@pytest.mark.parametrize("language", ["en", "de"])
def test_everything_that_is_shown_obeys_a_strict_policy(language: str) -> None:
    with translation.override(language):
        seen = {name: Inspector(html) for name, html in shown().items()}
    assert [(name, found) for name, inspector in seen.items() for found in inspector.forbidden] == []
    assert [(name, unclosed) for name, inspector in seen.items() for unclosed in inspector.open] == []


@pytest.mark.parametrize("name", ["hostile", "hostile down", "hostile bar", "unknown bar"])
def test_hostile_text_is_shown_as_text(name: str) -> None:
    html = shown()[name]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<script" not in html
    assert "<img" not in html


@pytest.mark.parametrize("name", ["over", "project", "blocked", "down"])
def test_the_pages_are_complete_and_kept_from_search_engines(name: str) -> None:
    html = shown()[name]
    assert html.startswith("<!doctype html>\n<html lang=")
    assert '<meta name="robots" content="noindex">' in html
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in html
    assert html.count("<h1") == html.count("<main") == html.count("<title>") == 1


@pytest.mark.parametrize("name", ["budget.css", "page.css"])
def test_style_sheets_load_nothing_and_know_the_dark(name: str) -> None:
    css = (PACKAGE / "static" / "coreason_budget" / name).read_text()
    assert "url(" not in css
    assert "@import" not in css
    assert css.count("{") == css.count("}")
    assert "prefers-color-scheme: dark" in css
