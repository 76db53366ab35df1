"""For Django's tasks: the calls of a task are paid by whoever asked in the request that enqueued it, on any backend."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar

import django
from django.utils.module_loading import import_string

from .. import service
from ..http.handover import KEY, packed, unpacked
from ..metering.current import payer, payer_here, paying
from ..refusals.places import Place, placed

try:
    from django.tasks import Task
except ImportError as error:
    raise ImportError(
        f"coreason_budget.integrations.tasks needs django.tasks, which comes with Django 6.0; this is Django "
        f"{django.__version__}. Upgrade it, or use Celery with coreason_budget.integrations.celery."
    ) from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..metering.current import Payer

__all__ = ["budgeted_task"]

T = TypeVar("T", bound="Task[..., Any]")

#: In this keyword argument it travels: a task has nothing else that every backend keeps.
_CARRIED: Final = f"_{KEY}"


def budgeted_task(task: T) -> T:
    """
    Have a task carry who pays for the calls of whoever enqueues it, and let them pay where it runs.

    It goes above ``@task``, where the task is defined: workers look it up there by the name of its function::

        @budgeted_task
        @task
        def summarize(document_id): ...

    It travels in a keyword argument that the task's function does not see. Raise TypeError for what is no task.
    """
    if not isinstance(task, Task):
        raise TypeError(f"@budgeted_task decorates a task and goes above @task, not {task!r:.80}.")
    if _Carrying in type(task).__mro__:
        return task
    kind: Any = type(task)
    given = {field.name: getattr(task, field.name) for field in fields(task)}
    budgeted: T = _carrying(kind)(**{**given, "func": _paid(task.func)})
    return budgeted


class _Carrying:
    """What is added to the class of a task."""

    __slots__ = ()

    def enqueue(self, *args: Any, **kwargs: Any) -> Any:
        """Queue up the task, with who pays for it."""
        who = service.manager().drive(payer_here())
        return super().enqueue(*args, **_loaded(kwargs, who))  # type: ignore[misc]  # of the task

    async def aenqueue(self, *args: Any, **kwargs: Any) -> Any:
        """See enqueue()."""
        who = await service.manager().adrive(payer_here())
        return await super().aenqueue(*args, **_loaded(kwargs, who))  # type: ignore[misc]

    def __reduce__(self) -> Any:
        task: Any = self
        given = {field.name: getattr(task, field.name) for field in fields(task) if field.name != "func"}
        return _restored, (task.module_path, given)


@cache
def _carrying(kind: type[Any]) -> type[Any]:
    return type(f"Budgeted{kind.__name__}", (_Carrying, kind), {"__slots__": (), "__module__": __name__})


def _restored(path: str, given: dict[str, Any]) -> Any:
    """Return a task that was pickled or copied; a backend's own class has no name by which it could be found."""
    return replace(import_string(path), **given)


def _loaded(kwargs: dict[str, Any], who: Payer | None) -> dict[str, Any]:
    return kwargs if who is None or _CARRIED in kwargs else {**kwargs, _CARRIED: packed(who)}


def _paid(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function of a task in which who was carried pays."""
    name = f"{function.__module__}.{function.__qualname__}"
    place = Place(lambda: name)

    @contextmanager
    def entered(kwargs: dict[str, Any]) -> Iterator[None]:
        carried, here = unpacked(kwargs.pop(_CARRIED, None), name), payer()
        in_sender = carried is None or (here is not None and here.accounts == carried.accounts)
        with paying(here if in_sender else carried), placed(place):
            yield

    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def apaid(*args: Any, **kwargs: Any) -> Any:
            with entered(kwargs):
                return await function(*args, **kwargs)

        return apaid

    @wraps(function)
    def paid(*args: Any, **kwargs: Any) -> Any:
        with entered(kwargs):
            return function(*args, **kwargs)

    return paid
