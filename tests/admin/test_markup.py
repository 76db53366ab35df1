"""What every page must be: free of inline code, harmless with hostile names, and usable without a mouse or eyes."""

from __future__ import annotations

from datetime import timedelta

import django
import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.utils import timezone

from coreason_budget import service
from coreason_budget.models import GlobalLimit, ModelPrice, ProjectLimit, SpendRecord, UserLimit

from .pages import Page

SCRIPT = "<script>alert(1)</script>"
QUOTES = "\"'><img src=x onerror=alert(1)>"
TURNED = "ann\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe"

pytestmark = pytest.mark.usefixtures("ledger")


def assert_no_inline_code(page):
    assert page.inline_code == []


@pytest.fixture
def hostile(boss):
    """Return pages by name that show what strangers chose as names."""
    users = [User.objects.create_user(name) for name in (SCRIPT, QUOTES, TURNED)]
    later = timezone.now() + timedelta(hours=1)
    limits = [UserLimit.objects.create(user=user, amount_usd=5, boost_usd=9, boost_until=later) for user in users]
    projects = [ProjectLimit.objects.create(project_id=name, amount_usd=5) for name in (SCRIPT, QUOTES, TURNED)]
    site = GlobalLimit.objects.create(amount_usd=None, reason=SCRIPT)
    price = ModelPrice.objects.create(model=SCRIPT, input_usd_per_million=1, output_usd_per_million=1, note=QUOTES)
    for user, name in zip(users, (SCRIPT, QUOTES, TURNED), strict=True):
        service.charge(user.pk, "0.5", name, name, charge_id=name)
    service.refund(SCRIPT, reason=SCRIPT, by=QUOTES)
    records = list(SpendRecord.objects.order_by("pk"))
    return {
        **{name: boss.get(f"{name}_changelist") for name in ("userlimit", "projectlimit", "globallimit", "modelprice")},
        "records": boss.get("spendrecord_changelist"),
        "found": boss.get("spendrecord_changelist", q=SCRIPT),
        "days": boss.get("spendrecord_changelist", **{"from": "2026-01-01", "kind__exact": "charge"}),
        "overview": boss.get("overview"),
        "named": boss.get("overview", user=SCRIPT, project=QUOTES, model=TURNED, by="project"),
        "wrong": boss.get("overview", user="x" * 300, **{"from": SCRIPT}),
        "add": boss.get("userlimit_add"),
        "user": boss.get("userlimit_change", limits[0].pk),
        "project": boss.get("projectlimit_change", projects[0].pk),
        "site": boss.get("globallimit_change", site.pk),
        "price": boss.get("modelprice_change", price.pk),
        "record": boss.get("spendrecord_change", records[0].pk),
        "refund": boss.get("spendrecord_change", records[-1].pk),
        "errors": Page(
            boss.post("projectlimit_add", project_id=SCRIPT, period="day", amount_usd=SCRIPT, boost_usd=QUOTES)
        ),
        "twin": Page(boss.post("projectlimit_add", project_id=SCRIPT, period="day", amount_usd="1", boost_usd="")),
        "saved": Page(boss.post("projectlimit_change", projects[1].pk, amount_usd="1", boost_usd="", reason=SCRIPT)),
        "history": boss.get("projectlimit_history", projects[1].pk),
        "block": boss.act("userlimit", "block_now", limits),
        "boost": boss.act("projectlimit", "boost_today", projects),
        "objection": boss.act("projectlimit", "boost_today", projects, confirmed="yes", amount="1", reason=SCRIPT),
        "refunding": boss.act("spendrecord", "refund", records),
        "refunded": boss.act("spendrecord", "refund", records, confirmed="yes", reason=SCRIPT),
        "blocked": boss.act("userlimit", "block_now", limits, confirmed="yes", reason=SCRIPT),
    }


def test_no_page_has_code_or_styles_in_it(hostile):
    assert {name: page.inline_code for name, page in hostile.items() if page.inline_code} == {}


def test_hostile_names_are_shown_and_do_nothing(hostile):
    for name, page in hostile.items():
        assert SCRIPT not in page.html, name
        assert "<img src=x" not in page.html, name
    for name in ("userlimit", "projectlimit", "records", "overview", "block", "boost", "refunding", "refunded"):
        assert SCRIPT in hostile[name].root.text, name


def test_what_turns_text_around_is_made_visible_and_kept_apart(hostile):
    for name in ("userlimit", "projectlimit", "records", "overview", "block", "boost", "refunding"):
        shown = [each.text for each in hostile[name].root.all("bdi")]
        assert "ann⟨U+202E⟩gpj.exe" in shown, name
        assert not any("\N{RIGHT-TO-LEFT OVERRIDE}" in text for text in shown), name


def test_every_table_says_what_its_columns_are(hostile):
    for name, page in hostile.items():
        for table in page.root.all("table"):
            heads = [cell for head in table.all("thead") for cell in head.all("th")]
            assert all(cell.attributes.get("scope") == "col" for cell in heads), name


def test_the_rows_of_a_page_of_confirmation_have_headers(hostile):
    for name in ("block", "boost", "refunding"):
        body = hostile[name].root.one("div", "budget-foreseen").one("tbody")
        assert len(list(body.all("th", scope="row"))) == len(list(body.all("tr")))
        assert hostile[name].root.one("div", "budget-foreseen").one("caption").text == "What will happen"


def test_every_input_that_is_seen_has_a_label(hostile):
    for name in ("block", "boost", "objection", "refunding", "days", "overview", "wrong"):
        page = hostile[name]
        labelled = {label.attributes.get("for") for label in page.root.all("label")}
        wrapped = [field for label in page.root.all("label") for tag in ("input", "select") for field in label.all(tag)]
        for tag in ("input", "select"):
            for field in page.root.one("main").all(tag):
                named = field.attributes.get("id") in labelled or "aria-label" in field.attributes or field in wrapped
                assert named or field.attributes.get("type") in {"hidden", "submit"}, (name, field.attributes)


def test_help_belongs_to_its_field(hostile):
    amount = hostile["boost"].root.one("input", id="id_amount")

    help_text = hostile["boost"].root.one("div", id=amount.attributes["aria-describedby"])
    assert help_text.text.startswith("Counts instead of the limit")


def test_every_page_has_the_style_sheet(hostile):
    assert finders.find("coreason_budget/admin.css")
    for name, page in hostile.items():
        sheets = [link.attributes["href"] for link in page.root.all("link", rel="stylesheet")]
        assert "/static/coreason_budget/admin.css" in sheets or name == "history", name


def test_buttons_and_links_are_reached_with_the_keyboard(hostile):
    for page in hostile.values():
        for element in page.root.all():
            assert element.attributes.get("tabindex", "0") in {"0", "-1"}
            assert not (element.tag in {"span", "div"} and element.attributes.get("role") == "button")


@pytest.mark.skipif(django.VERSION < (6, 0), reason="Django's own policy came with 6.0")
def test_pages_work_under_djangos_own_policy(boss, settings):
    from django.utils.csp import CSP

    settings.MIDDLEWARE = ["django.middleware.csp.ContentSecurityPolicyMiddleware", *settings.MIDDLEWARE]
    settings.SECURE_CSP = {"default-src": [CSP.SELF]}
    page = boss.get("userlimit_changelist")

    assert page.response.headers["Content-Security-Policy"] == "default-src 'self'"
    assert_no_inline_code(page)
