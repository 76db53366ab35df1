"""Django's own tasks (from Django 6.0): they are paid by whoever asked in the request that enqueued them."""

from __future__ import annotations

import copy
import pickle
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
import pytest
from django.core import checks
from django.http import HttpResponse, JsonResponse
from rest_framework.response import Response
from rest_framework.views import APIView

from coreason_budget.metering.current import Payer, paying
from coreason_budget.scopes import ANONYMOUS
from tests.http.rest import Base, answer_of
from tests.http.steps import charge, do

if TYPE_CHECKING:
    from types import ModuleType

    from pytest_django import Settings

    from tests.http.site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)

if django.VERSION < (6, 0):
    pytest.skip("this Django has no tasks", allow_module_level=True)


BACKENDS = {
    "text": "tests.frameworks.errands.TextBackend",
    "immediate": "django.tasks.backends.immediate.ImmediateBackend",
    "dummy": "django.tasks.backends.dummy.DummyBackend",
}


@pytest.fixture
def errands(settings: Settings) -> ModuleType:
    """Return the tasks, on a backend whose worker is another thread."""
    settings.TASKS = {"default": {"BACKEND": BACKENDS["text"]}}
    module = import_module("tests.frameworks.errands")
    module.TextBackend.messages.clear()
    return module


def project_of(request: Any) -> str | None:
    project: str | None = request.headers.get("x-project")
    return project


def enqueued_by(site: Site, task: Any, *args: Any, **options: Any) -> None:
    """Have a view that is not decorated enqueue a task."""

    def view(request: Any) -> Any:
        yield do(_Queue(task), "enqueue", *args)
        return HttpResponse()

    assert site.get(site.view(view), **options).status == 200


class _Queue:
    """A task whose forms have names that steps of views know."""

    def __init__(self, task: Any) -> None:
        self.enqueue, self.aenqueue = task.enqueue, task.aenqueue


def test_a_task_is_paid_by_whoever_asked_in_the_request_that_enqueued_it(
    site: Site, ledger: Ledger, ann: Any, errands: ModuleType
) -> None:
    ledger.configure(project_id=f"{__name__}.project_of")

    enqueued_by(site, errands.ask, user=ann, x_project="apollo")
    assert ledger.of(ann) == ("0", "0")

    assert errands.work_off() == [str(ann.pk)]
    assert ledger.of(ann) == ledger.of(ann, "apollo", scope="project") == ("0.2", "0")


def test_the_function_sees_its_own_arguments(site: Site, ledger: Ledger, ann: Any, errands: ModuleType) -> None:
    enqueued_by(site, errands.who, "one", user=ann)

    enqueued_by(site, errands.where, user=ann)

    assert errands.work_off() == [
        [[str(ann.pk), None, "tests.frameworks.errands.who"], ["one"], {}],
        "tests.frameworks.errands.where",
    ]


def test_an_asynchronous_task_and_one_with_a_context_are_paid_too(
    native_site: Site, ledger: Ledger, ann: Any, errands: ModuleType
) -> None:
    enqueued_by(native_site, errands.ask_in_a_loop, user=ann)
    enqueued_by(native_site, errands.ask_in_context, "0.1", user=ann)

    assert errands.work_off() == [str(ann.pk), 1]
    assert ledger.of(ann) == ("0.3", "0")


def test_a_decorated_view_hands_over_its_project(
    native_site: Site, ledger: Ledger, ann: Any, errands: ModuleType
) -> None:
    def body(request: Any, project: str) -> Any:
        yield do(_Queue(errands.ask), "enqueue")
        yield charge(request, "0.1")
        return HttpResponse()

    view = native_site.budgeted(estimate="0.5", project="project")(body)
    assert native_site.get(view, "/apollo/", route="<project>/", user=ann).status == 200

    assert errands.work_off() == [str(ann.pk)]
    assert ledger.of(ann) == ledger.of(ann, "apollo", scope="project") == ("0.3", "0")


def test_the_task_of_a_visitor_who_is_not_logged_in_is_paid_by_all_of_them(
    native_site: Site, ledger: Ledger, errands: ModuleType
) -> None:
    enqueued_by(native_site, errands.ask)

    assert errands.work_off() == [""]
    assert ledger.of(ANONYMOUS) == ("0.2", "0")


def test_a_task_of_a_rest_framework_view_is_paid_by_its_user(
    plain_site: Site, ledger: Ledger, ann: Any, errands: ModuleType
) -> None:
    class Send(Base, APIView):
        def post(self, request: Any) -> Any:
            errands.ask.enqueue()
            return Response()

    assert answer_of(plain_site, Send.as_view(), method="POST").status == 200
    assert errands.work_off() == [str(ann.pk)]


def test_a_task_that_is_enqueued_by_a_task_is_paid_by_the_same(
    native_site: Site, ledger: Ledger, ann: Any, errands: ModuleType
) -> None:
    enqueued_by(native_site, errands.send, user=ann)

    assert errands.work_off() == [None, str(ann.pk)]


def test_who_paid_for_one_task_does_not_pay_for_the_next(
    native_site: Site, ledger: Ledger, ann: Any, errands: ModuleType
) -> None:
    enqueued_by(native_site, errands.ask, user=ann)
    errands.who.enqueue("nobody's")
    errands.plain.enqueue()

    assert errands.work_off() == [str(ann.pk), [None, ["nobody's"], {}], None]


def test_a_task_that_runs_at_once_draws_on_the_hold_of_the_view(
    native_site: Site, ledger: Ledger, ann: Any, errands: ModuleType, settings: Settings
) -> None:
    settings.TASKS = {"default": {"BACKEND": BACKENDS["immediate"]}}

    def body(request: Any) -> Any:
        result = yield do(_Queue(errands.ask_in_a_loop), "enqueue")
        assert result.return_value == str(ann.pk)
        assert ledger.of(ann) == ("0.2", "0.3")
        return HttpResponse()

    assert native_site.get(native_site.budgeted(estimate="0.5")(body), user=ann).status == 200
    assert ledger.of(ann) == ("0.2", "0")


def test_a_task_that_runs_at_once_is_refused_as_a_task(
    native_site: Site, ledger: Ledger, ann: Any, errands: ModuleType, settings: Settings
) -> None:
    settings.TASKS = {"default": {"BACKEND": BACKENDS["immediate"]}}
    ledger.configure(daily_user_limit_usd="0.1")

    def body(request: Any) -> Any:
        result = yield do(_Queue(errands.ask), "enqueue")
        return HttpResponse(result.errors[0].exception_class_path)

    answer = native_site.get(native_site.view(body), user=ann)
    assert answer.text == "coreason_budget.exceptions.BudgetExceededError"


def test_a_backend_may_copy_and_pickle_a_task(
    plain_site: Site, ledger: Ledger, ann: Any, errands: ModuleType, settings: Settings
) -> None:
    for made in (copy.deepcopy(errands.ask), pickle.loads(pickle.dumps(errands.ask))):
        assert (made == errands.ask, type(made).__name__) == (True, "BudgetedNamedTask")

    settings.TASKS = {"default": {"BACKEND": BACKENDS["dummy"]}}  # which copies them

    def view(request: Any) -> Any:
        result = errands.ask.enqueue("0.1")
        return JsonResponse([result.args, result.kwargs], safe=False)

    assert plain_site.get(view, user=ann).json == [["0.1"], {"_coreason_budget": {"user": str(ann.pk)}}]


def test_what_the_page_charges_by_the_id_of_a_task_counts_once(ledger: Ledger, errands: ModuleType) -> None:
    page = (Path(__file__).parents[2] / "docs" / "frameworks.md").read_text("utf-8")
    [block] = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "def scan" in code]
    names: dict[str, Any] = {"__name__": errands.__name__}
    exec(block, names)
    first, other = (errands.TaskContext(task_result=errands.result_of(names["scan"])) for _ in range(2))
    for context in (first, first, other):
        with paying(Payer("ann")):
            names["scan"].call(context, 7)
    assert ledger.of("ann") == ("0.1", "0")


def test_a_task_that_is_enqueued_again_is_paid_by_the_first(
    plain_site: Site, ledger: Ledger, ann: Any, ben: Any, errands: ModuleType
) -> None:
    results: list[Any] = []

    def first(request: Any) -> Any:
        results.append(errands.who.enqueue("it"))
        return HttpResponse()

    def again(request: Any) -> Any:
        errands.who.enqueue(*results[0].args, **results[0].kwargs)
        return HttpResponse()

    assert (plain_site.get(first, user=ann).status, plain_site.get(again, user=ben).status) == (200, 200)
    assert errands.work_off() == [[[str(ann.pk), None, "tests.frameworks.errands.who"], ["it"], {}]] * 2


def test_options_of_a_task_are_kept(errands: ModuleType) -> None:
    changed = errands.ask_in_context.using(queue_name="default", backend="default")

    assert (changed, changed.takes_context, changed.name) == (errands.ask_in_context, True, "ask_in_context")
    assert changed.module_path == "tests.frameworks.errands.ask_in_context"
    assert checks.run_checks() == []


def test_what_is_no_task_cannot_be_budgeted(errands: ModuleType) -> None:
    with pytest.raises(TypeError, match="decorates a task and goes above @task, not <function"):
        errands.budgeted_task(project_of)
    assert errands.budgeted_task(errands.ask) is errands.ask
