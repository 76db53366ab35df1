"""
The receivers that mail alerts: each once and in bounded number. All of it is done on a thread of its own.

A mail server, or the cache that keeps alerts from being mailed twice, may take its time: no call waits for them. The
receivers are connected only where ``ALERT_RECIPIENTS`` names somebody, so that refusals cost nothing more elsewhere.
"""

from __future__ import annotations

import atexit
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.cache import caches
from django.core.signals import setting_changed
from django.db import close_old_connections, connections
from django.utils import timezone

from .. import service, signals
from ..conf import SETTING, BudgetConfig
from ..exceptions import BudgetConfigurationError, BudgetUnavailableError, RunExhaustedError
from ..ledger.lane import Lane, LaneFullError
from ..log import logger
from ..management.names import user_names
from ..scopes import Scope
from .alert import Alert
from .messages import Writer, addresses

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.core.cache.backends.base import BaseCache
    from django.core.mail import EmailMessage

    from ..exceptions import BudgetExceededError
    from ..manager import BudgetManager
    from ..results import AccountStatus

__all__ = ["connect", "flush", "forget"]

WAITING: Final = 100
FLUSH_AT_EXIT_SECONDS: Final = 5.0
HOUR: Final = 3_600
DAY: Final = 86_400
_UID: Final = "coreason_budget.alerts"


def connect() -> None:
    """Connect the receivers if the settings name recipients, now and whenever the settings change."""
    setting_changed.connect(_connect_anew, dispatch_uid=_UID)
    _connect_if_wanted()


def flush(timeout: float) -> bool:
    """Wait until all mails of this process are sent, at most that many seconds. Return whether that was reached."""
    return _lane.flush(timeout)


def forget(status: AccountStatus) -> None:
    """Have alerts of an account in its window mailed again, where the ledger tells of them again: after a reset."""
    config = service.manager().config
    if not config.alert_recipients:
        return
    alerts = Alert.all_of(status, config.thresholds)
    try:
        _lane.submit(lambda: _Gate(config).forget(alerts))
    except LaneFullError as error:
        logger.error("What was mailed of {} {} is not mailed again: {}", status.scope, status.subject, error)


def _connect_anew(*, setting: str, **_: Any) -> None:
    if setting == SETTING:
        _connect_if_wanted()


def _connect_if_wanted() -> None:
    is_wanted = _is_wanted()
    pairs = ((signals.budget_threshold_reached, mail_threshold), (signals.budget_exceeded, mail_first_refusal))
    for signal, receiver in pairs:
        signal.disconnect(receiver, dispatch_uid=_UID)
        if is_wanted:
            signal.connect(receiver, dispatch_uid=_UID)


def _is_wanted() -> bool:
    try:
        return bool(BudgetConfig().alert_recipients)
    except BudgetConfigurationError:  # the checks tell of it, and the first call does
        return False


def mail_threshold(*, threshold: int, status: AccountStatus, **_: Any) -> None:
    """Have it mailed that an account has passed a threshold."""
    alert = Alert.of_threshold(threshold, status)
    if alert is not None and threshold >= service.manager().config.alert_from_percent:
        _hand_over(alert)


def mail_first_refusal(*, error: BudgetExceededError, first: bool, **_: Any) -> None:
    """Have the first refusal of an account in a window mailed. A run's own amount is nobody's account."""
    if first and not isinstance(error, RunExhaustedError):
        _hand_over(Alert.of_refusal(error))


def _hand_over(alert: Alert) -> None:
    budget = service.manager()
    if alert.subject.scope not in budget.config.alert_scopes:
        return
    context = copy_context()  # whatever stands in for the database in a test does so on the thread too
    try:
        _lane.submit(lambda: context.run(_mail, alert, budget))
    except LaneFullError as error:
        logger.error("Not mailed: {} ({})", alert, error)


# the thread ----------------------------------------------------------------------------------------------------------


def _mail(alert: Alert, budget: BudgetManager) -> None:
    what: object = alert
    try:
        message = _message(alert, budget)
        if message is not None:
            what = message.subject
            message.send()
    except Exception as error:  # noqa: BLE001 - templates and mail backends raise what they like, and nobody waits here
        logger.error("Not mailed: {} ({}: {})", what, type(error).__name__, error)


def _message(alert: Alert, budget: BudgetManager) -> EmailMessage | None:
    config = budget.config
    gate = _Gate(config)
    if not gate.is_first(alert):
        return None
    number = gate.count()
    writer = Writer(addresses(config.alert_recipients), config.time_zone)
    if number <= config.alert_max_per_hour:
        return writer.alert(alert, _name_of(alert, budget))
    logger.warning("Not mailed, there are more alerts than ALERT_MAX_PER_HOUR: {}", alert)
    return writer.withheld(config.alert_max_per_hour) if number == config.alert_max_per_hour + 1 else None


def _name_of(alert: Alert, budget: BudgetManager) -> str | None:
    user_id = alert.subject.id
    if alert.subject.scope is not Scope.USER or not user_id:
        return None
    try:
        return budget.ledger.database.call(lambda: user_names([user_id])).get(user_id)
    except BudgetUnavailableError:
        return None  # the mail has the id


class _Gate:
    """What all processes have mailed, in a cache that they share: where it fails, each has only its own signals."""

    def __init__(self, config: BudgetConfig) -> None:
        self._prefix = f"{config.key_prefix}:alerts"
        alias = config.cache_alias if config.cache_alias in settings.CACHES else "default"
        self._cache: BaseCache = caches[alias]

    def is_first(self, alert: Alert) -> bool:
        """Tell whether nobody has mailed this alert yet."""
        seconds = max(0, round((alert.resets_at - timezone.now()).total_seconds())) + DAY
        try:
            return bool(self._cache.add(self._key(alert), 1, seconds))
        except Exception as error:  # noqa: BLE001 - a cache raises what it likes, and an alert twice is better than none
            logger.warning("The cache that keeps alerts from being mailed twice cannot be used: {}", error)
            return True

    def forget(self, alerts: Iterable[Alert]) -> None:
        """Have alerts be the first again."""
        try:
            self._cache.delete_many([self._key(alert) for alert in alerts])
        except Exception as error:  # noqa: BLE001 - a cache raises what it likes, and nobody waits here
            logger.warning("The cache that keeps alerts from being mailed twice cannot be used: {}", error)

    def _key(self, alert: Alert) -> str:
        return f"{self._prefix}:{alert.name}"

    def count(self) -> int:
        """Return which alert of this hour this is."""
        key = f"{self._prefix}:{timezone.now():%Y-%m-%dT%H}"
        try:
            self._cache.add(key, 0, 2 * HOUR)
            return int(self._cache.incr(key))
        except Exception as error:  # noqa: BLE001 - a cache raises what it likes, and an alert too many is better than none
            logger.warning("The cache that counts alerts cannot be used: {}", error)
            return 1


def _leave_all_as_it_is() -> None:
    """Do nothing after a mail."""


# Some mail backends put what they send into the database.
_lane: Final = Lane(
    "alerts", WAITING, prepare=close_old_connections, tidy=_leave_all_as_it_is, end=connections.close_all
)


@atexit.register
def _flush_at_exit() -> None:
    flush(FLUSH_AT_EXIT_SECONDS)
