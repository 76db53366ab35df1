"""Which answer a refused visitor gets: problem+json, or a page for browsers. ``Accept`` decides, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.template import engines

if TYPE_CHECKING:
    from pathlib import Path

    from .exchange import Answer
    from .site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)

JSON, HTML = "application/problem+json", "text/html; charset=utf-8"
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)
SAFARI = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def never(request: Any, **kwargs: Any) -> Any:
    raise AssertionError("a refused view must not run")


def refused(site: Site, user: Any = None, **headers: str) -> Answer:
    """Return the answer to a call for which there is no room."""
    answer = site.get(site.budgeted(estimate="1.5")(never), user=user, **headers)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "43200")
    assert "Accept" in answer.headers["Vary"].split(", ")
    return answer


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (FIREFOX, HTML),
        (CHROME, HTML),
        (SAFARI, HTML),
        ("text/html", HTML),
        ("TEXT/HTML", HTML),
        ("text/*", HTML),
        ("text/html;q=0.5", HTML),
        ("application/json;q=0.4, text/html;q=0.5", HTML),
        ("text/html, */*;q=0.1", HTML),
        ("*/*", JSON),
        ("application/json", JSON),
        ("application/problem+json", JSON),
        ("application/*", JSON),
        ("application/json, text/html;q=0.5", JSON),
        ("application/json, text/plain, */*", JSON),  # axios
        ("text/event-stream", JSON),
        ("text/plain", JSON),
        ("image/png,image/*;q=0.8", JSON),
        ("text/html;q=0", JSON),
        ("text/html;q=0, */*", JSON),
        ("", JSON),
        (",,;", JSON),
        ("text", JSON),
        ("text/html;q=high", HTML),
        ("*/*;q=nan", JSON),
        ("a/b;q=1e999, ;;;=\x7f", JSON),
        ("text/html\xff", JSON),
        ("x" * 5_000, JSON),
    ],
)
def test_accept_decides(plain_site: Site, ledger: Ledger, ann: Any, accept: str, content_type: str) -> None:
    assert refused(plain_site, ann, accept=accept).headers["Content-Type"] == content_type


def test_without_accept_it_is_json(site: Site, ledger: Ledger, ann: Any) -> None:
    assert refused(site, ann).headers["Content-Type"] == JSON


def test_a_browser_gets_a_page_with_all_that_the_json_says(site: Site, ledger: Ledger, ann: Any) -> None:
    site.settings.TIME_ZONE = "UTC"

    answer = refused(site, ann, accept=CHROME)

    assert answer.headers["Content-Type"] == HTML
    assert answer.text.startswith("<!doctype html>")
    assert "Request too large for the budget" in answer.text
    assert '<time datetime="2030-03-14T00:00:00+00:00">' in answer.text
    assert "$1.00" in answer.text
    assert answer.headers["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"
    assert answer.budget == ("0", "1", "2030-03-14T00:00:00+00:00")


def test_a_page_names_no_style_or_script_that_a_strict_policy_forbids(
    plain_site: Site, ledger: Ledger, ann: Any
) -> None:
    text = refused(plain_site, ann, accept=CHROME).text

    assert "<script" not in text
    assert "<style" not in text
    assert " style=" not in text
    assert " on" not in text.replace(" on ", " ").split("<body", 1)[0]


def test_a_project_may_have_a_page_of_its_own(site: Site, ledger: Ledger, ann: Any, tmp_path: Path) -> None:
    override(site, tmp_path, "{{ problem.scope }} {{ problem.limit }} {{ problem.retry_after }} {{ user.username }}")

    assert refused(site, ann, accept=CHROME).text == "user 1 43200 ann"


def override(site: Site, folder: Path, page: str) -> None:
    """Give the project a page of its own."""
    (folder / "coreason_budget").mkdir()
    (folder / "coreason_budget" / "429.html").write_text(page)
    (configured,) = site.settings.TEMPLATES
    site.settings.TEMPLATES = [{**configured, "DIRS": [folder]}]
    assert engines.all()


def test_a_page_of_its_own_may_query_the_database(site: Site, ledger: Ledger, ann: Any, tmp_path: Path) -> None:
    override(site, tmp_path, "{{ user.groups.count }} {{ perms.auth.add_user }} {{ request.session.items }}")

    assert refused(site, ann, accept=CHROME).text.startswith("0 False ")


def test_a_page_of_its_own_that_extends_what_is_missing_is_the_apps_page(
    plain_site: Site, ledger: Ledger, ann: Any, tmp_path: Path
) -> None:
    override(plain_site, tmp_path, "{% extends 'no/such/base.html' %}")

    assert "Request too large for the budget" in refused(plain_site, ann, accept=CHROME).text


@pytest.mark.parametrize(
    "templates",
    [
        [],
        [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": False}],
    ],
    ids=["no engine", "no app directories"],
)
def test_a_project_without_templates_gets_the_apps_page(
    site: Site, ledger: Ledger, ann: Any, templates: list[dict[str, Any]]
) -> None:
    site.settings.TEMPLATES = templates

    text = refused(site, ann, accept=CHROME).text

    assert "Request too large for the budget" in text
    assert "$1.00" in text


@pytest.mark.parametrize("url", [None, "/assets/", "https://cdn.example.com/"])
def test_the_style_sheet_is_where_static_files_are(plain_site: Site, ledger: Ledger, ann: Any, url: str | None) -> None:
    plain_site.settings.STATIC_URL = url

    text = refused(plain_site, ann, accept=CHROME).text

    assert ('<link rel="stylesheet"' in text) == (url is not None)
    if url is not None:
        assert f'href="{url}coreason_budget/page.css"' in text


def test_a_manifest_that_does_not_know_the_style_sheet_is_no_error(
    plain_site: Site, ledger: Ledger, ann: Any, tmp_path: Path
) -> None:
    plain_site.settings.STATIC_ROOT = tmp_path
    plain_site.settings.STORAGES = {
        **plain_site.settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
    }

    text = refused(plain_site, ann, accept=CHROME).text

    assert "Request too large for the budget" in text
    assert "stylesheet" not in text


def test_the_words_are_those_of_the_visitors_language(
    plain_site: Site, ledger: Ledger, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from coreason_budget.http import problems

    monkeypatch.setattr(problems, "_", lambda text: f"«{text}»")

    assert refused(plain_site, ann).json["title"] == "«Request too large for the budget»"
