"""Transactions of the request: what a refused view wrote is undone, what was charged stays whatever happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client

from coreason_budget import budgeted, service
from coreason_budget.models import SpendRecord

from .site import Urls, cookies_of

if TYPE_CHECKING:
    from pathlib import Path

    from .site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture(params=["wsgi", "asgi"])
def atomic_site(request: pytest.FixtureRequest, plain_site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Run the test over WSGI and over ASGI with ATOMIC_REQUESTS, which only plain views may have."""
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", value=True)
    plain_site.door = request.param
    return plain_site


@pytest.fixture(params=["with the middleware", "without it"])
def either_way(request: pytest.FixtureRequest, settings: Any) -> None:
    if request.param == "without it":
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "coreason_budget" not in name]


def groups() -> list[str]:
    return list(Group.objects.order_by("name").values_list("name", flat=True))


@pytest.mark.usefixtures("either_way")
def test_a_good_request_keeps_what_it_wrote(atomic_site: Site, ledger: Ledger, ann: Any) -> None:
    @budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        Group.objects.create(name="written")
        request.budget.charge(cost="0.2")
        return HttpResponse()

    assert atomic_site.get(view, user=ann).status == 200
    assert groups() == ["written"]
    ledger.settled()
    assert SpendRecord.objects.count() == 1


@pytest.mark.usefixtures("either_way")
def test_what_was_written_before_a_refusal_is_undone_and_what_was_charged_stays(
    atomic_site: Site, ledger: Ledger, ann: Any
) -> None:
    @budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        Group.objects.create(name="written")
        request.budget.charge(cost="0.2")
        service.reserve(request.user.pk, amount="2")

    assert atomic_site.get(view, user=ann).status == 429
    assert groups() == []
    ledger.settled()
    assert SpendRecord.objects.count() == 1
    assert ledger.of(ann) == ("0.2", "0")


@pytest.mark.usefixtures("either_way")
def test_what_was_written_before_an_error_is_undone_and_what_was_charged_stays(
    atomic_site: Site, ledger: Ledger, ann: Any
) -> None:
    @budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        Group.objects.create(name="written")
        request.budget.charge(cost="0.2")
        raise LookupError

    assert atomic_site.get(view, user=ann).status == 500
    assert groups() == []
    ledger.settled()
    assert SpendRecord.objects.count() == 1


def test_an_undecorated_view_that_is_refused_is_undone_too(atomic_site: Site, ledger: Ledger, ann: Any) -> None:
    def view(request: Any) -> Any:
        Group.objects.create(name="written")
        request.budget.charge(cost="0.2")
        service.check(request.user.pk, amount="2")

    assert atomic_site.get(view, user=ann).status == 429
    assert groups() == []
    assert ledger.of(ann) == ("0.2", "0")


@pytest.mark.usefixtures("either_way")
def test_the_page_of_a_refusal_may_query_before_it_is_undone(
    atomic_site: Site, ledger: Ledger, ann: Any, tmp_path: Path
) -> None:
    (tmp_path / "coreason_budget").mkdir()
    (tmp_path / "coreason_budget" / "429.html").write_text("{{ user.groups.count }} groups, {{ request.session.keys }}")
    (templates,) = atomic_site.settings.TEMPLATES
    atomic_site.settings.TEMPLATES = [{**templates, "DIRS": [tmp_path]}]

    @budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        Group.objects.create(name="written")
        service.reserve(request.user.pk, amount="2")

    answer = atomic_site.get(view, user=ann, accept=BROWSER)

    assert (answer.status, answer.text[:8]) == (429, "0 groups")
    assert groups() == []


def test_a_refused_call_within_leaves_the_view_around_it_its_transaction(
    atomic_site: Site, ledger: Ledger, ann: Any
) -> None:
    @budgeted(estimate="0.1")
    def inner(request: Any) -> Any:
        service.reserve(request.user.pk, amount="2")

    @budgeted(estimate="0.5")
    def outer(request: Any) -> Any:
        Group.objects.create(name="before")
        refused = inner(request)
        Group.objects.create(name="after")
        request.budget.charge(cost="0.2")
        return HttpResponse(str(refused.status_code))

    assert atomic_site.get(outer, user=ann).body == b"429"
    assert groups() == ["after", "before"]


@pytest.mark.usefixtures("either_way")
def test_a_call_that_is_refused_at_once_has_written_nothing(atomic_site: Site, ledger: Ledger, ann: Any) -> None:
    @budgeted(estimate="2")
    def view(request: Any) -> Any:
        raise AssertionError("a refused view must not run")

    assert atomic_site.get(view, user=ann).status == 429


@pytest.mark.usefixtures("either_way")
def test_a_transaction_inside_of_the_decorator_is_undone_by_its_own_rules(
    plain_site: Site, ledger: Ledger, ann: Any
) -> None:
    @budgeted(estimate="0.5")
    @transaction.atomic
    def view(request: Any) -> Any:
        Group.objects.create(name="written")
        request.budget.charge(cost="0.2")
        service.reserve(request.user.pk, amount="2")

    assert plain_site.get(view, user=ann).status == 429
    assert groups() == []
    assert ledger.of(ann) == ("0.2", "0")


@pytest.mark.usefixtures("either_way")
def test_a_transaction_around_the_decorator_is_undone_too(plain_site: Site, ledger: Ledger, ann: Any) -> None:
    @transaction.atomic
    @budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        Group.objects.create(name="written")
        request.budget.charge(cost="0.2")
        service.reserve(request.user.pk, amount="2")

    assert plain_site.get(view, user=ann).status == 429
    assert groups() == []
    assert ledger.of(ann) == ("0.2", "0")


def test_a_lock_of_the_request_does_not_hold_its_own_charge_up(atomic_site: Site, ledger: Ledger, ann: Any) -> None:
    cookie = cookies_of(ann)

    @budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        Group.objects.create(name="written")  # from here on the database is locked for all other writers
        request.budget.charge(cost="0.2")
        assert connection.in_atomic_block
        return HttpResponse()

    assert atomic_site.get(view, cookie=cookie).status == 200
    ledger.settled()
    assert SpendRecord.objects.count() == 1


@pytest.mark.django_db(transaction=False)
def test_the_transaction_of_a_test_case_is_left_alone(plain_site: Site, ledger: Ledger) -> None:
    @budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        Group.objects.create(name="written")
        service.reserve("ann", amount="2")

    plain_site.settings.ROOT_URLCONF = Urls("", view)

    assert Client().get("/").status_code == 429
    assert groups() == ["written"]  # as in production, where nothing is around it
