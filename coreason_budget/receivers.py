"""What happens when a row is saved or deleted, or a request begins and ends."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4
from weakref import WeakKeyDictionary

from django.core.signals import request_finished, request_started
from django.db import connections, router, transaction
from django.db.models.signals import post_delete, post_save

from . import service
from .exceptions import BudgetError
from .ledger import isolation
from .ledger.database import in_request
from .log import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.backends.base.base import BaseDatabaseWrapper

    from .models import BudgetLimit, ModelPrice
    from .scopes import Subject

__all__ = ["connect"]


def connect() -> None:
    """Connect all receivers. Called once, by the app's ``ready()``."""
    from .models import GlobalLimit, ModelPrice, ProjectLimit, UserLimit

    for model in (UserLimit, ProjectLimit, GlobalLimit):
        for signal in (post_save, post_delete):
            signal.connect(push_limits, sender=model, dispatch_uid=f"coreason_budget.{model.__name__}")
    for signal in (post_save, post_delete):
        signal.connect(forget_prices, sender=ModelPrice, dispatch_uid="coreason_budget.ModelPrice")
    request_started.connect(_enter_request, dispatch_uid="coreason_budget.request_started")
    request_finished.connect(_leave_request, dispatch_uid="coreason_budget.request_finished")


def push_limits(sender: type[BudgetLimit], instance: BudgetLimit, using: str | None = None, **_: Any) -> None:
    """Have the next call in every process obey a changed limit, once its transaction is committed."""
    alias = using or router.db_for_write(sender, instance=instance)
    _changed.setdefault(connections[alias], {})[instance.subject] = None
    _on_commit(partial(_push_changed, alias), alias)


#: The subjects whose limits a transaction has changed. After a rollback they wait for the next one, which does no harm.
_changed: Final[WeakKeyDictionary[BaseDatabaseWrapper, dict[Subject, None]]] = WeakKeyDictionary()


def _push_changed(alias: str) -> None:
    """Push all changes of a transaction, its first time; if Redis does not answer the others would only wait too."""
    subjects = list(_changed.pop(connections[alias], ()))
    for number, subject in enumerate(subjects):
        try:
            budget = service.manager()
            budget.drive(budget.ledger.outdate(subject, uuid4().hex))
        except BudgetError as error:
            labels = ", ".join(other.label for other in subjects[number:])
            logger.warning("Seen within LIMITS_TTL, as they could not be pushed: the limits of {}: {}", labels, error)
            return


def forget_prices(sender: type[ModelPrice], instance: ModelPrice, using: str | None = None, **_: Any) -> None:
    """Have the next price be read afresh in this process; others see the change within LIMITS_TTL."""
    _on_commit(_forget_prices, using or router.db_for_write(sender, instance=instance))


def _forget_prices() -> None:
    service.pricing().forget()


def _on_commit(work: Callable[[], None], alias: str) -> None:
    if isolation.current() is not None and isolation.is_in_test_case(connections[alias]):
        work()  # the transaction of a TestCase is never committed, and its test sees what it saved at once
    transaction.on_commit(work, using=alias, robust=True)


def _enter_request(**_: Any) -> None:
    in_request.set(True)


def _leave_request(**_: Any) -> None:
    in_request.set(False)
