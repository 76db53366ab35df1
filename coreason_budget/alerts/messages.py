"""What a mail says: its subject and text, from templates that projects override, in the site's language."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.utils import formats, timezone, translation
from django.utils.translation import gettext as _

from ..scopes import Scope
from ..templatetags.amounts import per, usd

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from zoneinfo import ZoneInfo

    from ..scopes import Subject
    from .alert import Alert

__all__ = ["Writer", "addresses"]


def addresses(recipients: Iterable[str]) -> list[str]:
    """Return where mails go: addresses as they are, ``admins`` and ``managers`` as Django's settings name them."""
    found: dict[str, None] = {}
    for recipient in recipients:
        named = getattr(settings, recipient.upper()) if "@" not in recipient else [recipient]
        # Before Django 6.0 a manager is a name and an address.
        found.update(dict.fromkeys(entry if isinstance(entry, str) else entry[1] for entry in named))
    return list(found)


class Writer:
    """Writes the mails of one site: to these addresses, with instants in this zone."""

    def __init__(self, to: Sequence[str], zone: ZoneInfo) -> None:
        self._to = list(to)
        self._zone = zone

    def alert(self, alert: Alert, name: str | None = None) -> EmailMessage:
        """Return the mail about an account; ``name`` is that of its user."""
        with translation.override(settings.LANGUAGE_CODE), timezone.override(self._zone):
            resets_at = timezone.localtime(alert.resets_at)
            context = {
                "alert": alert,
                "whose": _whose(alert.subject, name),
                "per": per(alert.period),
                "limit": usd(alert.limit),
                "spent": usd(alert.spent),
                "held": usd(alert.held),
                "requested": None if alert.requested is None else usd(alert.requested),
                "resets_at": f"{formats.date_format(resets_at, 'DATETIME_FORMAT')} {resets_at:%Z}",
                "is_blocked": not alert.limit,
            }
            return self._message(alert.kind, context)

    def withheld(self, most: int) -> EmailMessage:
        """Return the mail that says that there are more alerts than are mailed in an hour."""
        with translation.override(settings.LANGUAGE_CODE):
            return self._message("withheld", {"most": most})

    def _message(self, kind: str, context: dict[str, Any]) -> EmailMessage:
        folder = "coreason_budget/alerts"
        subject = render_to_string(f"{folder}/{kind}_subject.txt", context)
        body = render_to_string(f"{folder}/{kind}.txt", context)
        # A subject is one line: what strangers named an account must not begin another header.
        return EmailMessage(
            f"{settings.EMAIL_SUBJECT_PREFIX}{' '.join(subject.split())}", body.strip() + "\n", to=self._to
        )


def _whose(subject: Subject, name: str | None) -> str:
    if subject.scope is Scope.GLOBAL:
        return _("the whole site")
    if subject.scope is Scope.PROJECT:
        return _("project %(name)s") % {"name": subject.id}
    if not subject.id:
        return _("visitors who are not logged in")
    if name is None or name == subject.id:
        return _("user %(name)s") % {"name": subject.id}
    return _("user %(name)s (%(id)s)") % {"name": name, "id": subject.id}
