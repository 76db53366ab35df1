"""When something will be: an instant with its time zone, and a wait in words, in the language that is active."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext, ngettext

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["moment", "wait"]


def moment(instant: datetime) -> str:
    """
    Return an aware instant as text with its day of the week and time zone.

    It is shown in Django's current time zone, and as it is (UTC) in a project with ``USE_TZ = False``.
    """
    local = localtime(instant) if settings.USE_TZ else instant
    return gettext("%(weekday)s, %(date)s, %(time)s (%(zone)s)") % {
        "weekday": date_format(local, "l"),
        "date": date_format(local, "DATE_FORMAT"),
        "time": date_format(local, "TIME_FORMAT"),
        "zone": _zone(local),
    }


def wait(seconds: int) -> str:
    """Return a wait in words, in its largest sensible unit and rounded up: ``in 3 hours``."""
    if seconds < 2 * 60:
        return ngettext("in %(count)d second", "in %(count)d seconds", seconds) % {"count": seconds}
    if seconds < 2 * 3_600:
        minutes = -(-seconds // 60)
        return ngettext("in %(count)d minute", "in %(count)d minutes", minutes) % {"count": minutes}
    if seconds < 2 * 86_400:
        hours = -(-seconds // 3_600)
        return ngettext("in %(count)d hour", "in %(count)d hours", hours) % {"count": hours}
    days = -(-seconds // 86_400)
    return ngettext("in %(count)d day", "in %(count)d days", days) % {"count": days}


def _zone(local: datetime) -> str:
    name = local.tzname() or ""
    return f"UTC{name}" if name.startswith(("+", "-")) else name  # zones without letters of their own are called -03
