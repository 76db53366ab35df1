"""The overview: where the money goes, how much of it is left, and whether all is well. The server draws all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import django
from django.template.response import TemplateResponse
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _

from .. import service
from ..history import History
from ..management.names import user_names
from ..money import to_usd
from ..periods import PERIODS, Period, window_at
from ..scopes import Scope, Subject
from . import overview_state as state
from . import words
from .overview_chart import chart
from .overview_rankings import MOST, label_of, ranking
from .overview_refused import Refused, refused
from .overview_sums import amounts_in, charted, days_between, hours_of, rank
from .overview_terms import Terms, TermsForm, ranges

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from django.contrib.admin import ModelAdmin
    from django.http import HttpRequest, HttpResponse

    from ..periods import Window
    from .overview_chart import Chart
    from .overview_rankings import Ranking
    from .overview_state import Live
    from .overview_sums import Ranked, Summary

__all__ = ["page"]

#: So many have a colour of their own in a chart; the others share one.
COLOURS: Final = 7
REFRESH_SECONDS: Final = 60


def page(model_admin: ModelAdmin[Any], request: HttpRequest) -> HttpResponse:
    """Return the overview of what the address asks for; of terms that make no sense, what is wrong with them."""
    request.current_app = model_admin.admin_site.name  # read by {% url %}
    now, zone = timezone.now(), service.manager().config.time_zone
    form = TermsForm(request.GET, window_at(Period.DAY, now, zone).first_day)
    context: dict[str, Any] = {
        **model_admin.admin_site.each_context(request),
        "title": _("Overview of spend"),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "form": form,
        "breadcrumbs_are_list": django.VERSION >= (6, 1),
        "zone": zone.key,
    }
    if form.is_valid():
        context |= {
            "ranges": list(ranges(form.terms, window_at(Period.DAY, now, zone).first_day)),
            "as_of": words.instant(now, seconds=True),
            "refresh": REFRESH_SECONDS,
            **_what_is_shown(form.terms),
            **_figures(form.terms, now),
        }
    return TemplateResponse(request, "admin/coreason_budget/overview.html", context)


def _what_is_shown(terms: Terms) -> dict[str, Any]:
    days = {name: formats.date_format(day) for name, day in (("first", terms.first), ("last", terms.last))}
    named = {_("User"): terms.user, _("Project"): terms.project, _("Model"): terms.model}
    return {
        "terms": terms,
        "range_title": days["first"] if terms.first == terms.last else _("%(first)s to %(last)s") % days,
        "named": [format_html("{}: {}", kind, words.named(name)) for kind, name in named.items() if name],
        "records_query": terms.link_to_records(),
    }


def _figures(terms: Terms, now: datetime) -> dict[str, Any]:
    zone = service.manager().config.time_zone
    windows = {period: window_at(period, now, zone) for period in PERIODS}
    spent = terms.spent()
    of_days = terms.of_days(spent, zone)
    top = {column: rank(of_days, column, MOST) for column in ("user_id", "project_id", "model")}
    by_day, whole = _by_day(terms, spent, top[terms.by])

    health = state.health()
    live = state.Live(problem=_("Redis does not answer."))
    if health.has_redis:
        earliest = min(terms.first, *(window.first_day for window in windows.values()))
        live = state.live(_subjects(top["user_id"], top["project_id"]), earliest)
    of_site = amounts_in(History(), list(windows.values()))
    held = [hold.user_id for hold in live.holds.first] if live.holds else []
    users = user_names({*(each.name for each in top["user_id"]), *held})
    return {
        "summary": _summary(whole),
        "tiles": state.tiles(dict(zip(PERIODS, of_site, strict=True)), windows, live),
        "refused": _refused(terms, live),
        "rankings": list(_rankings(terms, whole, top, users, live)),
        "by_day": by_day,
        "by_hour": _by_hour(spent, windows[Period.DAY]),
        "by_links": [
            (_("By model"), terms.link(by="model"), terms.by == "model"),
            (_("By project"), terms.link(by="project_id"), terms.by == "project_id"),
        ],
        "holds": _holds(live, users),
        "live_problem": live.problem,
        "health": health,
    }


def _subjects(users: Iterable[Ranked], projects: Iterable[Ranked]) -> list[Subject]:
    return [
        *(Subject(Scope.USER, each.name) for each in users),
        *(Subject(Scope.PROJECT, each.name) for each in projects if each.name),
    ]


def _summary(whole: Summary) -> dict[str, Any]:
    return {
        "spent": words.exact(to_usd(whole.nanos)),
        "records": words.number(whole.records),
        "given_back": words.exact(to_usd(whole.given_back)) if whole.given_back else "",
        "expired": words.exact(to_usd(whole.expired)) if whole.expired else "",
        "input_tokens": words.number(whole.input_tokens),
        "output_tokens": words.number(whole.output_tokens),
    }


def _rankings(
    terms: Terms, whole: Summary, top: dict[str, list[Ranked]], users: dict[str, str], live: Live
) -> Iterable[Ranking]:
    found = top["user_id"]
    yield ranking(
        found,
        whole,
        names={each.name: label_of(users.get(each.name, each.name), _("anonymous")) for each in found},
        links={each.name: terms.link(user=each.name) for each in found if each.name},
        accounts=live.of(Scope.USER, [each.name for each in found]),
        name="users",
        title=_("Top users"),
        head=_("User"),
    )
    found = top["project_id"]
    yield ranking(
        found,
        whole,
        names={each.name: label_of(each.name, _("no project")) for each in found},
        links={each.name: terms.link(project=each.name) for each in found if each.name},
        accounts=live.of(Scope.PROJECT, [each.name for each in found]),
        name="projects",
        title=_("Top projects"),
        head=_("Project"),
    )
    found = top["model"]
    yield ranking(
        found,
        whole,
        names={each.name: label_of(each.name, _("no model")) for each in found},
        links={each.name: terms.link(model=each.name) for each in found if each.name},
        name="models",
        title=_("Top models"),
        head=_("Model"),
    )


def _by_day(terms: Terms, spent: History, top: Sequence[Ranked]) -> tuple[Chart, Summary]:
    period, stretches = days_between(terms.first, terms.last, service.manager().config.time_zone)
    titles = {
        Period.DAY: _("Spend per day"),
        Period.WEEK: _("Spend per week"),
        Period.MONTH: _("Spend per month"),
    }
    heads = {Period.DAY: _("Day"), Period.WEEK: _("Week"), Period.MONTH: _("Month")}
    named = [each.name for each in top[:COLOURS]]
    nothing = _("no model") if terms.by == "model" else _("no project")
    names = [words.name(name) if name else nothing for name in named]
    amounts, whole = charted(spent, stretches, terms.by, named)
    if len(top) > COLOURS or any(each.rest for each in amounts):
        names.append(_("all others"))
    texts = {"name": "by-day", "title": titles[period], "caption": heads[period]}
    return chart(stretches, amounts, names or [_("spent")], **texts), whole


def _by_hour(spent: History, today: Window) -> Chart:
    stretches = hours_of(today, service.manager().config.time_zone)
    amounts = amounts_in(spent, stretches)
    return chart(stretches, amounts, [_("spent")], name="by-hour", title=_("Spend per hour today"), caption=_("Hour"))


def _refused(terms: Terms, live: Live) -> Refused | None:
    """Return how many calls were refused on these days; of single users, projects and models that is not counted."""
    is_of_all = not (terms.user or terms.project or terms.model)
    return refused(live.refused, terms.first, terms.last) if is_of_all else None


def _holds(live: Live, users: dict[str, str]) -> dict[str, Any] | None:
    if live.holds is None:
        return None
    return {
        "count": live.holds.count,
        "more": max(0, live.holds.count - len(live.holds.first)),
        "rows": [
            (
                label_of(users.get(hold.user_id, hold.user_id), _("anonymous")),
                label_of(hold.project_id, words.NOTHING),
                words.exact(to_usd(hold.left)),
                state.since(hold.age),
                words.instant(state.ends_at(hold.ends_in), seconds=True),
                hold.ends_in < 0,
            )
            for hold in live.holds.first
        ],
    }
