"""Tasks of Django's own kind, and a backend for them that keeps messages as text, as one with a database would."""

from __future__ import annotations

import json
from threading import Thread
from typing import Any

from django.db import connections
from django.tasks import Task, TaskContext, TaskResult, TaskResultStatus, task
from django.tasks.backends.base import BaseTaskBackend
from django.utils.crypto import get_random_string
from django.utils.module_loading import import_string

from coreason_budget import budgeted_run, payer, service
from coreason_budget.integrations.tasks import budgeted_task
from coreason_budget.refusals.places import here


class NamedTask(Task):
    """A class of a backend's own."""

    __slots__ = ()


class TextBackend(BaseTaskBackend):
    """Keeps what is enqueued as JSON; a worker in another thread takes it up."""

    task_class = NamedTask
    supports_async_task = True
    messages: list[str] = []  # noqa: RUF012 - of all backends, as a database is

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        self.validate_task(task)
        result = result_of(task, args, kwargs)
        self.messages.append(json.dumps([task.module_path, result.args, result.kwargs]))
        return result


def result_of(task: Any, args: Any = (), kwargs: Any = None) -> Any:
    return TaskResult(
        task=task,
        id=get_random_string(32),
        status=TaskResultStatus.READY,
        enqueued_at=None,
        started_at=None,
        last_attempted_at=None,
        finished_at=None,
        args=list(args),
        kwargs=kwargs or {},
        backend="default",
        errors=[],
        worker_ids=["worker"],
    )


def work_off() -> list[Any]:
    """Run what was enqueued in a thread that knows nothing of it, and return what it returned."""
    returned: list[Any] = []

    def work() -> None:
        while TextBackend.messages:
            path, args, kwargs = json.loads(TextBackend.messages.pop(0))
            found = import_string(path)
            context: list[Any] = [TaskContext(task_result=result_of(found))] if found.takes_context else []
            returned.append(found.call(*context, *args, **kwargs))
        connections.close_all()

    thread = Thread(target=work)
    thread.start()
    thread.join(20)
    return returned


@budgeted_task
@task
def who(*args: Any, **kwargs: Any) -> Any:
    """Return who pays here, and what it was called with."""
    found = payer()
    return [None if found is None else [found.user_id, found.project_id, found.view], list(args), kwargs]


@budgeted_task
@task
def where() -> Any:
    """Return where calls are asked for here."""
    place = here()
    return None if place is None else place.view()


@budgeted_task
@task
def ask(cost: str = "0.2") -> str:
    """Hold and charge, as code does that knows nothing of requests."""
    found = payer()
    assert found is not None
    with service.reservation(*found.accounts, amount="0.5") as hold:
        hold.charge(cost=cost)
    return found.user_id


@budgeted_task
@task
async def ask_in_a_loop() -> str:
    """Charge on a run whose user is not named."""
    async with budgeted_run(amount="0.5") as held:
        await held.acharge(cost="0.2")
    found = payer()
    assert found is not None
    return found.user_id


@budgeted_task
@task(takes_context=True, queue_name="default")
def ask_in_context(context: Any, cost: str) -> int:
    """Charge, and return which attempt it is."""
    with budgeted_run(amount="0.5") as held:
        held.charge(cost=cost)
    return int(context.attempt)


@budgeted_task
@task
def send() -> None:
    """Enqueue another task."""
    ask.enqueue()


@task
def plain() -> Any:
    """Return who pays in a task that is not decorated."""
    return None if payer() is None else "somebody"
