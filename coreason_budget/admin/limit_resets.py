"""``reset_window``: what was spent counts no more against limits in their current windows; each stands for itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Self

from django import forms
from django.contrib import admin, messages
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext

from .. import service
from ..alerts import mails
from ..ledger.records import adjustments
from ..ledger.resets import Reset
from ..money import to_nanos, to_usd
from ..periods import Period, window_at
from ..spends import note_of
from . import confirmation, words
from .fields import UsdField
from .live import live_figures
from .one_by_one import one_by_one, tell_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    from ..ledger.adjustments import Adjustment
    from ..models import BudgetLimit
    from ..results import AccountStatus

__all__ = ["reset_window"]

#: The longest number that a hidden field may have: of a longer one the charge id would not fit into its column.
_MOST_DIGITS: Final = 19


class ResetForm(forms.Form):
    """Asks what shall still count, and why."""

    amount = UsdField(
        label=gettext_lazy("Spent from then on (USD)"),
        initial=Decimal(0),
        help_text=gettext_lazy("What shall still count of what is spent now; 0 for nothing."),
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=500,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text=gettext_lazy("Kept with the adjustment and in the history."),
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """What a page shows of a window: which one, what is spent in it (nano-USD), and how often it was reset before."""

    window: str
    spent: int
    resets: int

    def text(self) -> str:
        """Return it as a hidden field has it."""
        return f"{self.window}/{self.spent}/{self.resets}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Return what a hidden field says, None if no page of ours has made it."""
        window, _slash, figures = text.partition("/")
        spent, _slash, resets = figures.partition("/")
        if not (window and _is_count(spent) and _is_count(resets)):
            return None
        return cls(window, int(spent), int(resets))


@admin.action(description=gettext_lazy("Reset window…"), permissions=["reset"])
def reset_window(
    model_admin: admin.ModelAdmin[BudgetLimit], request: HttpRequest, queryset: QuerySet[BudgetLimit]
) -> HttpResponse | None:
    """Have what was spent count no more against limits, in the windows that run now."""
    limits = confirmation.chosen(model_admin, request, queryset)
    if not limits:
        return None
    form = ResetForm(request.POST) if confirmation.is_confirmed(request) else ResetForm()
    if form.is_valid():
        _carry_out(model_admin, request, limits, form.cleaned_data)
        return confirmation.way_back(model_admin, request, limits)
    # Before the figures: of a reset between the two the number is stale, and what is spent again stays counted.
    before = _resets_so_far(limits)
    figures = live_figures(limits)
    if figures.problem:
        said = _("What is spent is unknown at the moment: %(problem)s Nothing was changed.")
        model_admin.message_user(request, said % {"problem": figures.problem}, messages.ERROR)
        return confirmation.way_back(model_admin, request, limits)
    return confirmation.page(model_admin, request, limits, _asked(limits, figures.of, before, form))


def _carry_out(
    model_admin: admin.ModelAdmin[BudgetLimit],
    request: HttpRequest,
    limits: Sequence[BudgetLimit],
    answers: dict[str, Any],
) -> None:
    """Reset the windows one by one, and tell what became of them."""
    shown, to = confirmation.seen(request), to_nanos(answers["amount"], "amount")
    budget = service.manager()

    def work(limit: BudgetLimit) -> str:
        seen = Seen.read(shown.get(str(limit.pk), ""))
        if seen is None:
            return _("nothing is known of what you have seen of it; open the page again")
        problem = _objection(seen, to)
        if problem:
            return problem
        note = note_of(answers["reason"], str(request.user.get_username()))
        wanted = Reset(limit.subject, Period(limit.period), seen.window, seen.spent, seen.resets + 1, to, note)
        for status in budget.drive(budget.guard.reset(wanted)):
            if status.period == limit.period:
                mails.forget(status)
        said = _("Reset window %(window)s: of %(before)s spent count %(after)s. Reason: %(reason)s")
        told = {
            "window": seen.window,
            "before": words.usd(to_usd(seen.spent)),
            "after": words.usd(answers["amount"]),
            "reason": answers["reason"],
        }
        model_admin.log_change(request, limit, said % told)
        return ""

    problems = one_by_one(limits, _named, work)
    done = len(limits) - len(problems)
    if done:
        said = ngettext("%(count)s window was reset.", "%(count)s windows were reset.", done)
        model_admin.message_user(request, said % {"count": done}, messages.SUCCESS)
    if problems:
        said = ngettext("%(count)s window was not reset:", "%(count)s windows were not reset:", len(problems))
        tell_problems(model_admin, request, said % {"count": len(problems)}, problems)


def _objection(seen: Seen, to: int) -> str:
    if not seen.spent:
        return _("nothing is spent")
    if to >= seen.spent:
        return _("%(to)s is no less than what is spent, %(spent)s") % {
            "to": words.usd(to_usd(to)),
            "spent": words.usd(to_usd(seen.spent)),
        }
    return ""


def _asked(
    limits: Sequence[BudgetLimit],
    figure_of: Callable[[BudgetLimit], AccountStatus | None],
    before: Sequence[Adjustment],
    form: forms.Form,
) -> confirmation.Confirmation:
    zone = service.manager().config.time_zone
    figures: dict[Any, AccountStatus] = {
        limit.pk: figure for limit in limits if (figure := figure_of(limit)) is not None
    }
    windows = {
        limit.pk: window_at(Period(limit.period), figures[limit.pk].resets_at - timedelta(microseconds=1), zone)
        for limit in limits
        if limit.pk in figures
    }
    resets = [(each.subject, each.period.value, each.window) for each in before]
    seen = {
        limit.pk: Seen(
            windows[limit.pk].id,
            max(0, to_nanos(figures[limit.pk].spent, "spent", signed=True)),
            resets.count((limit.subject, limit.period, windows[limit.pk].id)),
        )
        for limit in limits
        if limit.pk in figures
    }
    return confirmation.Confirmation(
        action=reset_window.__name__,
        title=_("Reset window"),
        lead=_(
            "What is spent below counts no more against these limits, until their windows end. It stays spent: no "
            "record, no report and no other limit changes. What is held stays held, and what is spent from now on "
            "counts."
        ),
        caption=_("What will happen"),
        headers=[
            _("Whose"),
            _("Period"),
            _("Window"),
            pgettext("budget", "Spent"),
            pgettext("budget", "Held"),
            _("Then"),
        ],
        rows=[
            (
                words.named(words.whose(limit)),
                words.per(limit.period),
                seen[limit.pk].window,
                words.usd(figures[limit.pk].spent),
                words.usd(figures[limit.pk].held),
                _("counts as entered above") if seen[limit.pk].spent else _("stays as it is"),
            )
            for limit in limits
            if limit.pk in seen
        ],
        form=form,
        button=_("Reset"),
        seen={str(pk): each.text() for pk, each in seen.items()},
    )


def _resets_so_far(limits: Iterable[BudgetLimit]) -> list[Adjustment]:
    """Return what was reset, of anybody, in the windows that run now: one query."""
    now, zone = timezone.now(), service.manager().config.time_zone
    return adjustments({period: window_at(period, now, zone) for period in {Period(limit.period) for limit in limits}})


def _is_count(text: str) -> bool:
    return text.isdecimal() and len(text) <= _MOST_DIGITS


def _named(limit: BudgetLimit) -> str:
    return f"{words.whose(limit)}, {words.per(limit.period)}"
