"""
The receivers that mail alerts: each once, in bounded number, and never on the time of the call that caused them.

They are connected only where ``ALERT_RECIPIENTS`` names somebody, so that refusals cost nothing more elsewhere.
"""

from __future__ import annotations

import atexit
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
from ..scopes import Scope
from .alert import Alert
from .messages import Writer, addresses, user_name

if TYPE_CHECKING:
    from django.core.cache.backends.base import BaseCache
    from django.core.mail import EmailMessage

    from ..exceptions import BudgetExceededError
    from ..results import AccountStatus

__all__ = ["connect", "flush"]

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


def _connect_anew(*, setting: str, **_: Any) -> None:
    if setting == SETTING:
        _connect_if_wanted()


def _connect_if_wanted() -> None:
    pairs = ((signals.budget_threshold_reached, mail_threshold), (signals.budget_exceeded, mail_first_refusal))
    for signal, receiver in pairs:
        signal.disconnect(receiver, dispatch_uid=_UID)
        if _are_wanted():
            signal.connect(receiver, dispatch_uid=_UID)


def _are_wanted() -> bool:
    try:
        return bool(BudgetConfig().alert_recipients)
    except BudgetConfigurationError:  # the checks tell of it, and the first call does
        return False


def mail_threshold(*, threshold: int, status: AccountStatus, **_: Any) -> None:
    """Mail that an account has passed a threshold."""
    if threshold >= service.manager().config.alert_from_percent:
        _mail(Alert.of_threshold(threshold, status))


def mail_first_refusal(*, error: BudgetExceededError, first: bool, **_: Any) -> None:
    """Mail the first refusal of an account in a window. A run that has used up its own amount is nobody's account."""
    if first and not isinstance(error, RunExhaustedError):
        _mail(Alert.of_refusal(error))


def _mail(alert: Alert | None) -> None:
    config = service.manager().config
    if alert is None or alert.subject.scope not in config.alert_scopes:
        return
    gate = _Gate(config)
    if not gate.is_first(alert):
        return
    number = gate.count()
    writer = Writer(addresses(config.alert_recipients), config.time_zone)
    if number <= config.alert_max_per_hour:
        _send(writer.alert(alert, _name_of(alert)))
    else:
        logger.warning("Not mailed, there are more alerts than ALERT_MAX_PER_HOUR: {}", alert)
        if number == config.alert_max_per_hour + 1:
            _send(writer.withheld(config.alert_max_per_hour))


def _name_of(alert: Alert) -> str | None:
    if alert.subject.scope is not Scope.USER or not alert.subject.id:
        return None
    try:
        return service.manager().ledger.database.call(lambda: user_name(alert.subject.id))
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
            return bool(self._cache.add(f"{self._prefix}:{alert.name}", 1, seconds))
        except Exception as error:  # noqa: BLE001 - a cache raises what it likes, and an alert twice is better than none
            logger.warning("The cache that keeps alerts from being mailed twice cannot be used: {}", error)
            return True

    def count(self) -> int:
        """Return which alert of this hour this is."""
        key = f"{self._prefix}:{timezone.now():%Y-%m-%dT%H}"
        try:
            self._cache.add(key, 0, 2 * HOUR)
            return int(self._cache.incr(key))
        except Exception:  # noqa: BLE001 - as above
            return 1


def _send(message: EmailMessage) -> None:
    try:
        _lane.submit(lambda: _sent(message))
    except LaneFullError as error:
        logger.error("Not mailed: {} ({})", message.subject, error)


def _sent(message: EmailMessage) -> None:
    try:
        message.send()
    except Exception as error:  # noqa: BLE001 - a mail backend raises what it likes, and nobody waits for it
        logger.error("Not mailed: {} ({}: {})", message.subject, type(error).__name__, error)


def _leave_all_as_it_is() -> None:
    """Do nothing after a mail."""


# Some mail backends put what they send into the database.
_lane: Final = Lane(
    "alerts", WAITING, prepare=close_old_connections, tidy=_leave_all_as_it_is, end=connections.close_all
)


@atexit.register
def _flush_at_exit() -> None:
    flush(FLUSH_AT_EXIT_SECONDS)
