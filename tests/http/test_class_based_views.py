"""Class-based views, decorated by method_decorator: by name on the class, or on a method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.http import HttpResponse
from django.utils.decorators import method_decorator
from django.views import View

from coreason_budget import budgeted

from .steps import charge

if TYPE_CHECKING:
    from .site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shop(site: Site, ledger: Ledger, ann: Any) -> type[View]:
    """Return a view that charges twenty cents to whatever it is held on, and says how that stands."""

    class Shop(View):
        @site.view
        def get(self, request: Any, project: str | None = None) -> Any:
            standing = ledger.of(ann)
            yield charge(request)
            return HttpResponse("/".join(standing))

        @site.view
        def post(self, request: Any, project: str | None = None) -> Any:
            return HttpResponse("posted")

    return Shop


@pytest.mark.parametrize("name", ["dispatch", "get"])
def test_a_method_is_decorated_by_its_name(site: Site, ledger: Ledger, shop: type[View], ann: Any, name: str) -> None:
    decorated = method_decorator(budgeted(estimate="0.5"), name=name)(shop)

    assert decorated.view_is_async == site.is_async
    answer = site.get(decorated.as_view(), user=ann)

    assert (answer.status, answer.body) == (200, b"0/0.5")  # held while the handler ran, also if it was awaited
    assert answer.budget == ("0.2", "0.8", "2030-03-14T00:00:00+00:00")
    assert ledger.of(ann) == ("0.2", "0")


def test_a_method_is_decorated_where_it_stands(site: Site, ledger: Ledger, ann: Any) -> None:
    class Direct(View):
        @site.budgeted(estimate="0.5", project="project")
        def get(self, request: Any, project: str) -> Any:
            yield charge(request)
            return HttpResponse(request.budget.hold.amount)

    class Wrapped(View):
        @method_decorator(budgeted(estimate="0.5", project="project"))
        @site.view
        def get(self, request: Any, project: str) -> Any:
            yield charge(request)
            return HttpResponse(request.budget.hold.amount)

    for shop in (Direct, Wrapped):
        assert site.get(shop.as_view(), "/apollo/", route="<project>/", user=ann).body == b"0.5"
    assert ledger.of(ann) == ("0.4", "0")
    assert ledger.of(ann, "apollo", scope="project") == ("0.4", "0")


def test_a_refused_method_is_not_run(site: Site, ledger: Ledger, shop: type[View], ann: Any) -> None:
    decorated = method_decorator(budgeted(estimate="1.5"), name="dispatch")(shop)

    answer = site.get(decorated.as_view(), user=ann)

    assert answer.status == 429
    assert ledger.of(ann) == ("0", "0")


@pytest.mark.parametrize(("method", "status"), [("POST", 200), ("PUT", 405), ("OPTIONS", 200), ("HEAD", 200)])
def test_every_method_of_a_decorated_class_answers(
    site: Site, ledger: Ledger, shop: type[View], ann: Any, method: str, status: int
) -> None:
    decorated = method_decorator([csrf_free, budgeted(estimate="0.5")], name="dispatch")(shop)

    assert site.get(decorated.as_view(), method=method, user=ann).status == status
    assert ledger.of(ann)[1] == "0"


def csrf_free(view: Any) -> Any:
    view.csrf_exempt = True
    return view


def test_a_class_may_be_decorated_twice(site: Site, ledger: Ledger, shop: type[View], ann: Any) -> None:
    decorated = method_decorator(budgeted(estimate="0.3"), name="get")(
        method_decorator(budgeted(estimate="0.5"), name="dispatch")(shop)
    )

    answer = site.get(decorated.as_view(), user=ann)

    assert answer.body == b"0/0.8"
    assert ledger.of(ann) == ("0.2", "0")


def test_the_project_is_a_keyword_of_the_url_on_classes_too(
    site: Site, ledger: Ledger, shop: type[View], ann: Any
) -> None:
    decorated = method_decorator(budgeted(estimate="0.5", project="project"), name="dispatch")(shop)

    assert site.get(decorated.as_view(), "/apollo/", route="<project>/", user=ann).status == 200
    assert ledger.of(ann, "apollo", scope="project") == ("0.2", "0")


def test_an_asynchronous_dispatch_of_ones_own_is_decorated_too(async_site: Site, ledger: Ledger, ann: Any) -> None:
    @method_decorator(budgeted(estimate="0.5"), name="dispatch")
    class Shop(View):
        async def dispatch(self, request: Any) -> Any:  # type: ignore[override]  # as people do
            return await super().dispatch(request)  # type: ignore[misc]

        async def get(self, request: Any) -> Any:
            standing = ledger.of(ann)
            await request.budget.acharge(cost="0.2")
            return HttpResponse("/".join(standing))

    assert iscoroutinefunction(Shop.dispatch)
    assert async_site.get(Shop.as_view(), user=ann).body == b"0/0.5"
    assert ledger.of(ann) == ("0.2", "0")


def test_a_plain_helper_of_an_asynchronous_class_stays_plain(async_site: Site, ledger: Ledger, ann: Any) -> None:
    class Shop(View):
        @budgeted(estimate="0.5")
        def help(self, request: Any) -> str:
            request.budget.charge(cost="0.2")
            return "helped"

        async def get(self, request: Any) -> Any:
            return HttpResponse(await sync_to_async(self.help)(request))

    assert async_site.get(Shop.as_view(), user=ann).body == b"helped"
    assert ledger.of(ann) == ("0.2", "0")


def test_a_plain_callable_that_returns_an_awaitable_is_held_until_it_is_done(
    async_site: Site, ledger: Ledger, ann: Any
) -> None:
    async def work(request: Any) -> Any:
        standing = ledger.of(ann)
        await request.budget.acharge(cost="0.2")
        return HttpResponse("/".join(standing))

    @budgeted(estimate="0.5")
    def plain(request: Any) -> Any:
        return work(request)

    async def view(request: Any) -> Any:
        request.user = await request.auser()
        return await plain(request)

    answer = async_site.get(view, user=ann)

    assert answer.body == b"0/0.5"
    assert ledger.of(ann) == ("0.2", "0")


def test_an_asynchronous_class_is_called_from_plain_code(async_site: Site, ledger: Ledger, ann: Any) -> None:
    @method_decorator(budgeted(estimate="0.5"), name="dispatch")
    class Shop(View):
        async def get(self, request: Any) -> Any:
            await request.budget.acharge(cost="0.2")
            return HttpResponse("paid")

    def view(request: Any) -> Any:
        asynchronous: Any = Shop.as_view()
        return async_to_sync(asynchronous)(request)

    assert async_site.get(view, user=ann).body == b"paid"
    assert ledger.of(ann) == ("0.2", "0")
