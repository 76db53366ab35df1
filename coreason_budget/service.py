"""
The budget of this Django project, as functions: those of one ``BudgetManager`` that is built from the settings at need.

It is built again when the settings change (``override_settings`` in tests).
"""

from __future__ import annotations

import os
import threading
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.signals import setting_changed

from .conf import SETTING
from .ledger.database import deferred_writes
from .manager import BudgetManager

if TYPE_CHECKING:
    from collections.abc import Callable

    from .pricing import PricingEngine

__all__ = [
    "acharge",
    "acheck",
    "arefund",
    "areserve",
    "astatus",
    "charge",
    "check",
    "check_availability",
    "check_availability_sync",
    "deferred_writes",
    "flush",
    "manager",
    "pricing",
    "record_spend",
    "record_spend_sync",
    "refund",
    "reservation",
    "reserve",
    "reset",
    "status",
]

P = ParamSpec("P")
T = TypeVar("T")

_lock = threading.Lock()
_manager: BudgetManager | None = None


def manager() -> BudgetManager:
    """Return the manager of the project's settings. Raise BudgetConfigurationError if they cannot be used."""
    global _manager  # noqa: PLW0603 - the one instance of the process
    if _manager is None:
        with _lock:
            if _manager is None:
                _manager = BudgetManager()
    return _manager


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - a fork may have copied it while another thread held it
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def reset() -> None:
    """Write what is still to be written, close all connections and forget the manager; the next call builds a new."""
    global _manager
    with _lock:
        old, _manager = _manager, None
    if old is not None:
        old.close_sync()


def pricing() -> PricingEngine:
    """Return the pricing engine of the project's settings."""
    return manager().pricing


def _of_manager(method: Callable[Concatenate[BudgetManager, P], T]) -> Callable[P, T]:
    @wraps(method)
    def function(*args: P.args, **kwargs: P.kwargs) -> T:
        return method(manager(), *args, **kwargs)

    return markcoroutinefunction(function) if iscoroutinefunction(method) else function


reservation = _of_manager(BudgetManager.reservation)
reserve, areserve = _of_manager(BudgetManager.reserve), _of_manager(BudgetManager.areserve)
check, acheck = _of_manager(BudgetManager.check), _of_manager(BudgetManager.acheck)
charge, acharge = _of_manager(BudgetManager.charge), _of_manager(BudgetManager.acharge)
refund, arefund = _of_manager(BudgetManager.refund), _of_manager(BudgetManager.arefund)
status, astatus = _of_manager(BudgetManager.status), _of_manager(BudgetManager.astatus)
flush = _of_manager(BudgetManager.flush)
check_availability = _of_manager(BudgetManager.check_availability)
check_availability_sync = _of_manager(BudgetManager.check_availability_sync)
record_spend = _of_manager(BudgetManager.record_spend)
record_spend_sync = _of_manager(BudgetManager.record_spend_sync)


def _forget_changed_settings(*, setting: str, **_: Any) -> None:
    if setting in {SETTING, "CACHES", "DATABASES", "DATABASE_ROUTERS"}:
        reset()


setting_changed.connect(_forget_changed_settings, dispatch_uid="coreason_budget.service")
