"""How many calls were refused in some days, as the overview says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..scopes import Scope
from . import words

if TYPE_CHECKING:
    from datetime import date

    from ..refusals.store import Counts

__all__ = ["Refused", "refused"]


@dataclass(frozen=True, slots=True)
class Refused:
    """How many calls were refused, by whose limits, and if that is not known of all of the days, since when it is."""

    count: int
    text: str
    levels: str
    since: str


def refused(counts: Counts | None, first: date, last: date) -> Refused | None:
    """Return what is known of the calls that were refused from one day to another, None if nothing is."""
    if counts is None or (counts.since is not None and counts.since > last):
        return None
    by_level = counts.between(first, last)
    count = sum(by_level.values())
    levels = _("by limits of users %(users)s, of projects %(projects)s, of the site %(site)s") % {
        "users": words.number(by_level[Scope.USER]),
        "projects": words.number(by_level[Scope.PROJECT]),
        "site": words.number(by_level[Scope.GLOBAL]),
    }
    since = ""
    if counts.since is not None and counts.since > first:
        since = _("counted since %(day)s") % {"day": formats.date_format(counts.since)}
    text = ngettext("%(count)s call refused", "%(count)s calls refused", count) % {"count": words.number(count)}
    return Refused(count, text, levels if count else "", since)
