"""Celery, the real package with a real worker: tasks are paid by whoever asked in the request that sent them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from celery import chain, chord, signals
from celery.contrib.testing.worker import start_worker
from django.http import HttpResponse
from rest_framework.response import Response
from rest_framework.views import APIView

from coreason_budget.integrations.celery import carry_payers, charge_id
from coreason_budget.models import SpendRecord
from coreason_budget.scopes import ANONYMOUS
from tests.http.rest import Base, answer_of
from tests.http.steps import charge

from .workshop import app, ask, ask_and_be_lost, ask_twice, run, runs, send, where, who

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.http.site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)

PROJECT = f"{__name__}.project_of"
SIGNALS = (signals.before_task_publish, signals.task_prerun, signals.task_postrun)


def project_of(request: Any) -> str | None:
    project: str | None = request.headers.get("x-project")
    return project


@pytest.fixture(scope="module", autouse=True)
def carried() -> Iterator[None]:
    """Carry payers, as a project's celery.py has it done; twice makes no difference."""
    before = [(signal, list(signal.receivers)) for signal in SIGNALS]
    carry_payers()
    carry_payers()
    yield
    for signal, receivers in before:
        signal.receivers = receivers
        signal.sender_receivers_cache.clear()


@pytest.fixture(scope="module", params=["solo", "threads"])
def running_worker(request: pytest.FixtureRequest, carried: None) -> Iterator[None]:
    """Run a worker in another thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELERY_SKIP_CHECKS", "1")  # they would ask the database, which only tests may
        with start_worker(app, pool=request.param, concurrency=1, perform_ping_check=False, shutdown_timeout=20):
            yield


@pytest.fixture
def worker(running_worker: None, ledger: Ledger) -> None:
    """Let the worker work on the test's ledger."""
    runs.clear()


def result_of(task_id: Any) -> Any:
    """Wait for a task and return what it returned."""
    return app.AsyncResult(str(task_id)).get(timeout=20, interval=0.02)


def sent_by(site: Site, task: Any, **options: Any) -> str:
    """Have a view that is not decorated send a task; return the task's id."""

    def view(request: Any) -> Any:
        return HttpResponse(task.delay().id)

    answer = site.get(site.view(view), **options)
    assert answer.status == 200
    return answer.text


def test_a_task_is_paid_by_whoever_asked_in_the_request_that_sent_it(
    site: Site, ledger: Ledger, ann: Any, worker: None
) -> None:
    ledger.configure(project_id=PROJECT)

    assert result_of(sent_by(site, ask, user=ann, x_project="apollo")) == str(ann.pk)

    assert ledger.of(ann) == ledger.of(ann, "apollo", scope="project") == ("0.2", "0")
    assert result_of(sent_by(site, who, user=ann)) == [str(ann.pk), None, "tests.frameworks.workshop.who"]
    assert result_of(sent_by(site, where, user=ann)) == "tests.frameworks.workshop.where"


def test_a_decorated_view_hands_over_its_project_and_not_its_hold(
    native_site: Site, ledger: Ledger, ann: Any, worker: None
) -> None:
    def body(request: Any, project: str) -> Any:
        sent = run.delay()
        assert result_of(sent.id) == "0.5"  # while the view has its own hold
        yield charge(request, "0.1")
        return HttpResponse(who.delay().id)

    view = native_site.budgeted(estimate="0.4", project="project")(body)
    answer = native_site.get(view, "/apollo/", route="<project>/", user=ann)

    assert result_of(answer.text) == [str(ann.pk), "apollo", "tests.frameworks.workshop.who"]
    assert ledger.of(ann) == ledger.of(ann, "apollo", scope="project") == ("0.3", "0")


def test_the_task_of_a_visitor_who_is_not_logged_in_is_paid_by_all_of_them(
    native_site: Site, ledger: Ledger, worker: None
) -> None:
    assert result_of(sent_by(native_site, ask)) == ""
    assert ledger.of(ANONYMOUS) == ("0.2", "0")


def test_a_task_of_a_rest_framework_view_is_paid_by_its_user(
    plain_site: Site, ledger: Ledger, ann: Any, worker: None
) -> None:
    class Send(Base, APIView):
        def post(self, request: Any) -> Any:
            return Response(ask.delay().id)

    assert result_of(answer_of(plain_site, Send.as_view(), method="POST").json) == str(ann.pk)
    assert ledger.of(ann) == ("0.2", "0")


def test_a_task_is_sent_from_a_thread_of_an_asynchronous_view(
    async_site: Site, ledger: Ledger, ann: Any, worker: None
) -> None:
    async def view(request: Any) -> Any:
        return HttpResponse((await sync_to_async(ask.delay)()).id)

    assert result_of(async_site.get(view, user=ann).text) == str(ann.pk)


def test_a_task_that_is_sent_by_a_task_is_paid_by_the_same(
    native_site: Site, ledger: Ledger, ann: Any, worker: None
) -> None:
    assert result_of(result_of(sent_by(native_site, send, user=ann))) == str(ann.pk)
    assert ledger.of(ann) == ("0.2", "0")


def test_all_tasks_of_a_chain_and_a_chord_are_paid_by_the_same(
    native_site: Site, ledger: Ledger, ann: Any, worker: None
) -> None:
    ledger.configure(daily_user_limit_usd="2")

    class Canvas:
        def delay(self) -> Any:
            return chain(ask.s(), ask.s(), chord([ask.si(), ask.si()], ask.s()))()

    assert result_of(sent_by(native_site, Canvas(), user=ann)) == str(ann.pk)
    assert ledger.of(ann) == ("1", "0")


def test_a_retry_is_paid_by_the_same_and_charged_again(
    native_site: Site, ledger: Ledger, ann: Any, worker: None
) -> None:
    task = sent_by(native_site, ask_twice, user=ann)

    assert result_of(task) == 1
    assert ledger.of(ann) == ("0.4", "0")
    ledger.settled()
    ids = SpendRecord.objects.order_by("pk").values_list("charge_id", flat=True)
    assert list(ids) == [f"task:{task}:0", f"task:{task}:1"]


def test_a_task_that_is_delivered_again_charges_once(native_site: Site, ledger: Ledger, ann: Any, worker: None) -> None:
    task = sent_by(native_site, ask_and_be_lost, user=ann)

    assert result_of(task) == 2
    assert runs == [task, task]
    assert ledger.of(ann) == ("0.3", "0")
    ledger.settled()
    ids = SpendRecord.objects.order_by("pk").values_list("charge_id", flat=True)
    assert list(ids) == [f"task:{task}:0:draft", f"task:{task}:0:final"]


def test_who_paid_for_one_task_does_not_pay_for_the_next(site: Site, ledger: Ledger, ann: Any, worker: None) -> None:
    assert result_of(sent_by(site, ask, user=ann)) == str(ann.pk)

    assert result_of(who.delay().id) is None


def test_without_the_middleware_only_decorated_views_are_known(
    native_site: Site, ledger: Ledger, ann: Any, worker: None
) -> None:
    native_site.without_middleware()

    def body(request: Any) -> Any:
        yield charge(request)
        return HttpResponse(ask.delay().id)

    assert result_of(sent_by(native_site, who, user=ann)) is None
    assert result_of(native_site.get(native_site.budgeted(estimate="0.4")(body), user=ann).text) == str(ann.pk)


@pytest.mark.parametrize("header", ["ann", {"user": ["ann"]}, {"user": "x" * 201}, {"project": "apollo"}])
def test_a_header_that_cannot_be_read_is_nobody(
    ledger: Ledger, worker: None, warnings_of_the_app: list[str], header: Any
) -> None:
    assert result_of(who.apply_async(headers={"coreason_budget": header}).id) is None
    [warning] = warnings_of_the_app
    assert warning.startswith("Nobody pays for the calls of tests.frameworks.workshop.who, since what it was handed")


def test_a_header_that_is_given_is_kept(native_site: Site, ledger: Ledger, ann: Any, ben: Any, worker: None) -> None:
    class ForBen:
        def delay(self) -> Any:
            return ask.apply_async(headers={"coreason_budget": {"user": str(ben.pk), "project": "gemini"}})

    assert result_of(sent_by(native_site, ForBen(), user=ann)) == str(ben.pk)
    assert (ledger.of(ann), ledger.of(ben, "gemini", scope="project")) == (("0", "0"), ("0.2", "0"))


# Eager tasks run in their sender


@pytest.fixture
def eager() -> Iterator[None]:
    runs.clear()
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


def test_an_eager_task_is_paid_by_whoever_asks(native_site: Site, ledger: Ledger, ann: Any, eager: None) -> None:
    def view(request: Any) -> Any:
        assert ask.delay().get() == str(ann.pk)
        assert ask_twice.delay().get() == 1
        return HttpResponse()

    plain = sync_to_async(view) if native_site.is_async else view  # waiting for a task blocks
    assert native_site.get(plain, user=ann).status == 200
    assert ledger.of(ann) == ("0.6", "0")


def test_an_eager_task_draws_on_the_hold_of_the_view_that_waits_for_it(
    plain_site: Site, ledger: Ledger, ann: Any, eager: None
) -> None:
    def body(request: Any) -> Any:
        assert run.delay().get() == "0.5"
        assert ledger.of(ann) == ("0.2", "0.3")
        return HttpResponse()

    assert plain_site.get(plain_site.budgeted(estimate="0.5")(body), user=ann).status == 200
    assert ledger.of(ann) == ("0.2", "0")


def test_what_follows_an_eager_task_is_paid_as_before(
    plain_site: Site, ledger: Ledger, ann: Any, ben: Any, eager: None
) -> None:
    def view(request: Any) -> Any:
        assert ask.apply(headers={"coreason_budget": {"user": str(ben.pk)}}).get() == str(ben.pk)
        assert ask.delay().get() == str(ann.pk)
        return HttpResponse()

    assert plain_site.get(view, user=ann).status == 200


def test_a_charge_id_is_that_of_a_task() -> None:
    with pytest.raises(RuntimeError, match="made from the id of the running Celery task, and none is running here"):
        charge_id()
