"""``bar``: how much of a limit is spent and held, as a picture for those who see it and in words for all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from ..periods import Period
from ..scopes import Scope
from ..templatetags.bars import Bar, State

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

    from ..results import AccountStatus

__all__ = ["bar"]


def bar(status: AccountStatus) -> SafeString:
    """Return what is spent of a limit, with a bar if it is one that can be filled."""
    drawn = Bar(Scope(status.scope), Period(status.period), State.of(status), _("used"), status)
    return render_to_string("admin/coreason_budget/includes/usage.html", {"bar": drawn})
