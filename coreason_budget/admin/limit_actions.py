"""“Boost for today”, “Block now” and “Remove override”: confirmed, done in one transaction, in the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from django.contrib import admin, messages
from django.contrib.admin.models import DELETION, LogEntry
from django.db import router, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import UserLimit
from . import confirmation, words
from .conflicts import fingerprint
from .limit_changes import BlockNow, BoostToday, RemoveOverride, Terms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    from ..models import BudgetLimit
    from .limit_changes import LimitChange, ReasonForm

__all__ = ["block_now", "boost_today", "remove_override"]

#: What a page of confirmation shows of a limit or an action replaces.
_SHOWN: Final = ("amount_usd", "boost_usd", "boost_until", "reason")


@admin.action(description=gettext_lazy("Boost for today…"), permissions=["change"])
def boost_today(
    model_admin: admin.ModelAdmin[BudgetLimit], request: HttpRequest, queryset: QuerySet[BudgetLimit]
) -> HttpResponse | None:
    """Raise limits until the day of the budget's time zone ends."""
    return _run(BoostToday(), model_admin, request, queryset)


@admin.action(description=gettext_lazy("Block now…"), permissions=["change"])
def block_now(
    model_admin: admin.ModelAdmin[BudgetLimit], request: HttpRequest, queryset: QuerySet[BudgetLimit]
) -> HttpResponse | None:
    """Set limits to 0 and end their boosts."""
    return _run(BlockNow(), model_admin, request, queryset)


@admin.action(description=gettext_lazy("Remove override…"), permissions=["delete"])
def remove_override(
    model_admin: admin.ModelAdmin[BudgetLimit], request: HttpRequest, queryset: QuerySet[BudgetLimit]
) -> HttpResponse | None:
    """Delete limits, so that the defaults of the settings apply."""
    return _run(RemoveOverride(), model_admin, request, queryset)


def _run(
    change: LimitChange,
    model_admin: admin.ModelAdmin[BudgetLimit],
    request: HttpRequest,
    queryset: QuerySet[BudgetLimit],
) -> HttpResponse | None:
    limits = confirmation.chosen(model_admin, request, queryset)
    if not limits:
        return None
    form = change.form(request.POST) if confirmation.is_confirmed(request) else change.form()
    if form.is_valid() and _carry_out(change, model_admin, request, limits, form):
        return None if change.is_removal else confirmation.way_back(model_admin, request, limits)
    return confirmation.page(model_admin, request, limits, _asked(change, limits, form))


def _carry_out(
    change: LimitChange,
    model_admin: admin.ModelAdmin[BudgetLimit],
    request: HttpRequest,
    limits: Sequence[BudgetLimit],
    form: ReasonForm,
) -> bool:
    """Change the limits, all or none. Return False, with the form's errors, if one of them cannot be changed so."""
    alias = router.db_for_write(model_admin.model)
    with transaction.atomic(using=alias):
        # As they are now, which may not be what the page said; nobody changes them meanwhile.
        rows = model_admin.model._default_manager.using(alias).select_for_update()
        current = rows.filter(pk__in=[limit.pk for limit in limits]).in_bulk()
        changed = [current[limit.pk] for limit in limits if limit.pk in current and change.concerns(current[limit.pk])]
        names, seen = {limit.pk: words.whose(limit) for limit in limits}, confirmation.seen(request)
        users = {limit.pk: limit.user for limit in limits if isinstance(limit, UserLimit)}
        for limit in changed:
            if isinstance(limit, UserLimit):  # the history names it; it is the one that the page named
                limit.user = users[limit.pk]
            objection = _overtaken(limit, seen) or change.objection(limit, form.cleaned_data)
            if objection:
                form.add_error(None, f"{words.name(names[limit.pk])}, {words.per(limit.period)}: {objection}")
        if form.errors:
            return False
        for limit in changed:
            _save(change, model_admin, request, limit, form.cleaned_data)
    level = messages.SUCCESS if changed else messages.INFO
    model_admin.message_user(request, change.told(len(changed)), level)
    return True


def _overtaken(limit: BudgetLimit, seen: Mapping[str, str]) -> str:
    """Return what somebody else has set since the page was made that is being confirmed, empty if nothing."""
    now = fingerprint(limit, _SHOWN)
    if seen.get(str(limit.pk), now) == now:
        return ""
    return _("somebody has changed it meanwhile, it is now: %(terms)s. Nothing was saved; confirm again.") % {
        "terms": Terms.of(limit).text()
    }


def _save(
    change: LimitChange,
    model_admin: admin.ModelAdmin[BudgetLimit],
    request: HttpRequest,
    limit: BudgetLimit,
    answers: Mapping[str, Any],
) -> None:
    """Carry out the change of a limit, and tell the history."""
    before = Terms.of(limit)
    change.apply(limit, answers)
    told = _("%(action)s: %(before)s → %(after)s.") % {
        "action": change.title,
        "before": before.text(),
        "after": change.outcome(limit),
    }
    message = f"{told} {answers['reason']}".rstrip()
    if change.is_removal:
        LogEntry.objects.log_actions(cast("int", request.user.pk), [limit], DELETION, message, single_object=True)
    else:
        model_admin.log_change(request, limit, message)
    change.keep(limit, answers["reason"])


def _asked(change: LimitChange, limits: Sequence[BudgetLimit], form: ReasonForm) -> confirmation.Confirmation:
    return confirmation.Confirmation(
        action=change.name,
        title=str(change.title),
        lead=change.lead(),
        caption=_("What will happen"),
        headers=[_("Whose"), _("Period"), _("Now"), _("Then")],
        rows=[
            (
                words.named(words.whose(limit)),
                words.per(limit.period),
                Terms.of(limit).text(),
                change.foresee(limit) if change.concerns(limit) else _("stays as it is"),
            )
            for limit in limits
        ],
        form=form,
        button=str(change.button),
        seen={str(limit.pk): fingerprint(limit, _SHOWN) for limit in limits},
    )
