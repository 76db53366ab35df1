"""For Celery: the calls of a task are paid by whoever asked in the request that sent it, also after retries."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from celery import current_task
from celery.signals import before_task_publish, task_postrun, task_prerun

from .. import service
from ..http.handover import KEY, packed, unpacked
from ..metering.current import payer_here, paying
from ..refusals.places import Place, placed

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["carry_payers", "charge_id"]

_ENTERED: Final = "_coreason_budget_entered"


def carry_payers() -> None:
    """
    Have tasks that are sent from now on carry who pays for the calls of their sender, and workers let them pay.

    One line in the project's ``celery.py``, which web processes and workers import. It may be called again.
    """
    before_task_publish.connect(_send, weak=False, dispatch_uid="coreason_budget.before_task_publish")
    task_prerun.connect(_begin, weak=False, dispatch_uid="coreason_budget.task_prerun")
    task_postrun.connect(_end, weak=False, dispatch_uid="coreason_budget.task_postrun")


def charge_id(name: str = "") -> str:
    """
    Return a charge id for the running task that is the same when the broker delivers it again.

    So a task that had charged before its worker died charges once. A retry is another attempt and has another id.
    ``name`` tells several charges of one task apart. Raise RuntimeError outside of a task.
    """
    request = current_task.request if current_task else None
    if request is None or request.id is None:
        raise RuntimeError("charge_id() is made from the id of the running Celery task, and none is running here.")
    return ":".join(filter(None, ("task", request.id, str(request.retries), name)))


def _send(headers: MutableMapping[str, Any] | None = None, **_: Any) -> None:
    if headers is None or KEY in headers:  # a retry carries on what it was sent with
        return
    who = service.manager().drive(payer_here())
    if who is not None:
        headers[KEY] = packed(who)


def _begin(task: Any, **_: Any) -> None:
    """Let a task's calls be paid; what the thread did before does not count, unless the task runs in its sender."""
    request = task.request
    carried = unpacked((request.headers or {}).get(KEY), task.name)
    if carried is None and request.is_eager:
        carried = service.manager().drive(payer_here())
    entered = ExitStack()
    entered.enter_context(paying(carried))
    entered.enter_context(placed(Place(lambda: task.name)))
    setattr(request, _ENTERED, entered)


def _end(task: Any, **_: Any) -> None:
    entered: ExitStack | None = getattr(task.request, _ENTERED, None)
    if entered is not None:
        entered.close()
