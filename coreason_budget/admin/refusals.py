"""The page on which an administrator finds by its reference why a call was refused, and the latest of such calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import django
from django.contrib.admin.utils import quote
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from .. import service
from ..exceptions import BudgetError
from ..management.names import user_names
from ..money import to_usd
from ..periods import from_ms
from ..refusals.reasons import Reason, reason_of
from ..refusals.references import SHAPE, read_reference
from ..refusals.store import find, newest
from ..scopes import Scope
from . import words
from .overview_rankings import label_of
from .refusal_limits import MODELS, origin_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.contrib.admin import ModelAdmin
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    from ..refusals.notes import Note

__all__ = ["page"]

SHOWN: Final = 50
REFERENCE: Final = "reference"
_DAY, _HOUR, _MINUTE = 86_400, 3_600, 60


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list."""

    at: SafeString
    reference: str
    who: SafeString
    project: SafeString
    account: str
    reason: str
    asked: SafeString
    times: str


@dataclass(frozen=True, slots=True)
class Known:
    """What Redis said: the latest refusals, and what was noted under the reference that was asked for."""

    rows: list[tuple[str, Note]]
    note: Note | None = None
    problem: str = ""


def page(model_admin: ModelAdmin[Any], request: HttpRequest) -> HttpResponse:
    """Return the page: the decision behind a reference if one is asked for, and the latest decisions."""
    request.current_app = model_admin.admin_site.name  # read by {% url %}
    typed = request.GET.get(REFERENCE, "").strip()
    reference = read_reference(typed) if typed else None
    known = _known(reference)
    notes = [note for _reference, note in known.rows]
    if known.note is not None:
        notes.append(known.note)
    desk = _Desk(model_admin, request, user_names({note.user for note in notes}))
    context: dict[str, Any] = {
        **model_admin.admin_site.each_context(request),
        "title": _("Why calls were refused"),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "breadcrumbs_are_list": django.VERSION >= (6, 1),
        "typed": typed[:100],
        "shape": SHAPE,
        "reference": reference,
        "problem": known.problem,
        "answer": "" if known.problem or not typed or known.note else _nothing_found(reference),
        "facts": desk.facts(known.note) if known.note is not None else None,
        "rows": [desk.row(*each) for each in known.rows],
        "kept": _kept(),
        "most": SHOWN,
    }
    return TemplateResponse(request, "admin/coreason_budget/refusals.html", context)


def _known(reference: str | None) -> Known:
    try:
        budget = service.manager()
        rows = budget.drive(newest(budget.ledger, SHOWN))
        note = None if reference is None else budget.drive(find(budget.ledger, reference))
    except BudgetError as error:
        return Known([], problem=str(error))
    return Known(rows, note)


class _Desk:
    """Words and links for one page, of users whose names are known."""

    def __init__(self, model_admin: ModelAdmin[Any], request: HttpRequest, names: Mapping[str, str]) -> None:
        self._site = model_admin.admin_site
        self._request = request
        self._names = names

    def row(self, reference: str, note: Note) -> Row:
        """Return a line of the list."""
        return Row(
            at=words.instant(from_ms(note.at), seconds=True),
            reference=reference,
            who=self._who(note),
            project=self._records_of(note.project) if note.project else label_of("", words.NOTHING),
            account=f"{_LEVELS[Scope(note.level)]()} {words.per(note.period)}",
            reason=_REASONS[_reason(note)](),
            asked=words.exact(to_usd(note.asked)),
            times=words.number(note.times),
        )

    def facts(self, note: Note) -> list[tuple[str, list[SafeString | str]]]:
        """Return the decision as a list of terms, each with what is said of it."""
        room = max(0, note.limit - note.spent - note.held) if note.limit else 0
        return [
            (_("Reason"), [_SENTENCES[_reason(note)]()]),
            (_("When"), self._when(note)),
            (_("Who asked"), [self._who(note), *([self._project(note)] if note.project else [])]),
            (_("Account without room"), [self._account(note)]),
            (_("Limit"), [format_html("{} {}", words.exact(to_usd(note.limit)), words.per(note.period))]),
            (pgettext("budget", "Spent"), [words.exact(to_usd(note.spent))]),
            (pgettext("budget", "Held"), [words.exact(to_usd(note.held))]),
            (pgettext("budget", "Left"), [words.exact(to_usd(room))]),
            (_("Asked for"), [words.exact(to_usd(note.asked))]),
            (pgettext("budget", "Resets"), [words.instant(from_ms(note.resets))]),
            (_("Asked in"), [words.named(text) for text in (note.view, note.path) if text] or [words.NOTHING]),
            (_("Where the limit comes from"), self._origin(note)),
        ]

    def _when(self, note: Note) -> list[SafeString | str]:
        at = words.instant(from_ms(note.at), seconds=True)
        if note.times == 1:
            return [at]
        since = ngettext("%(times)s time since", "%(times)s times since", note.times) % {
            "times": words.number(note.times)
        }
        return [at, format_html("{} {}", since, words.instant(from_ms(note.first), seconds=True))]

    def _who(self, note: Note) -> SafeString:
        if not note.user:
            return label_of("", _("anonymous"))
        return self._records_of(note.user, self._names.get(note.user))

    def _project(self, note: Note) -> SafeString:
        return format_html(_("for the project {}"), self._records_of(note.project))

    def _account(self, note: Note) -> SafeString:
        scope, name = Scope(note.level), _LEVELS[Scope(note.level)]()
        term = {Scope.USER: self._names.get(note.user, ""), Scope.PROJECT: note.project}.get(scope, "")
        whose = format_html("{}: {}", name, words.named(term or note.subject.id)) if note.subject.id else name
        is_known = bool(term) or scope is Scope.GLOBAL
        if not is_known or not self._may_see(scope):
            return format_html("{}", whose)
        url = self._url(f"{MODELS[scope]._meta.model_name}_changelist", {"q": term} if term else {})
        return format_html('<a href="{}">{}</a>', url, whose)

    def _origin(self, note: Note) -> list[SafeString | str]:
        """Return where the limit comes from now, and who changed it last."""
        scope = Scope(note.level)
        if not self._may_see(scope):
            return [_("Only those who may see limits are told.")]
        origin = origin_of(note.subject, note.period)
        said: list[SafeString | str] = []
        if origin.row is None:
            said.append(format_html(_("the setting {}"), format_html("<code>{}</code>", origin.setting)))
        else:
            url = self._url(f"{MODELS[scope]._meta.model_name}_change", args=[quote(origin.row.pk)])
            said.append(format_html('<a href="{}">{}</a>', url, _("a limit of its own")))
        now = origin.limit
        if now is None or now != to_usd(note.limit):
            said.append(_("By now it is another: %(limit)s.") % {"limit": words.limit(now)})
        if origin.changed is not None:
            at = words.instant(origin.changed)
            if origin.entry is None:
                said.append(format_html(_("Last changed {}; the history does not say by whom."), at))
            else:
                said.append(format_html(_("Last changed {} by {}:"), at, words.named(origin.by)))
                said.append(origin.what)
        return said

    def _records_of(self, owner: str, name: str | None = None) -> SafeString:
        url = self._url("spendrecord_changelist", {"q": owner})
        return format_html('<a href="{}">{}</a>', url, words.named(name or owner))

    def _may_see(self, scope: Scope) -> bool:
        model = MODELS[scope]
        return self._site.is_registered(model) and self._site.get_model_admin(model).has_view_permission(self._request)

    def _url(self, name: str, query: Mapping[str, str] | None = None, args: list[str] | None = None) -> str:
        name = f"admin:coreason_budget_{name}"
        return reverse(name, args=args, query=query or None, current_app=self._site.name)


def _nothing_found(reference: str | None) -> str:
    """Return why there is nothing to show."""
    if reference is None:
        return _(
            "This is no reference. One has nine signs, such as %(shape)s, of which the last proves the others: one was "
            "misheard or mistyped. Please ask for it again."
        ) % {"shape": SHAPE}
    return _("Nothing is kept under %(reference)s any more, or yet.") % {"reference": reference}


def _kept() -> str:
    config = service.manager().config
    if not config.refusals_kept:
        return _("No refused calls are kept here: REFUSALS_KEPT is 0.")
    return _("Refused calls are kept for %(time)s, and never more than the latest %(most)s of them.") % {
        "time": _duration(round(config.refusal_ttl)),
        "most": words.number(config.refusals_kept),
    }


def _duration(seconds: int) -> str:
    if seconds >= 2 * _DAY:
        return ngettext("%(count)s day", "%(count)s days", seconds // _DAY) % {"count": seconds // _DAY}
    if seconds >= 2 * _HOUR:
        return ngettext("%(count)s hour", "%(count)s hours", seconds // _HOUR) % {"count": seconds // _HOUR}
    return ngettext("%(count)s minute", "%(count)s minutes", seconds // _MINUTE) % {"count": seconds // _MINUTE}


def _reason(note: Note) -> Reason:
    return reason_of(limit=note.limit, spent=note.spent, asked=note.asked)


_LEVELS: Final = {
    Scope.USER: lambda: _("User"),
    Scope.PROJECT: lambda: _("Project"),
    Scope.GLOBAL: lambda: _("The whole site"),
}
_REASONS: Final = {
    Reason.BLOCKED: lambda: _("blocked"),
    Reason.TOO_LARGE: lambda: _("larger than the limit"),
    Reason.IN_USE: lambda: _("held for other calls"),
    Reason.EXCEEDED: lambda: _("used up"),
}
_SENTENCES: Final = {
    Reason.BLOCKED: lambda: _("The account is blocked: its limit is 0. Waiting does not help."),
    Reason.TOO_LARGE: lambda: _("The call may cost more than the whole limit. Waiting does not help."),
    Reason.IN_USE: lambda: _("What was left of the limit was held for other calls, which may give some of it back."),
    Reason.EXCEEDED: lambda: _("Not enough of the limit was left."),
}
