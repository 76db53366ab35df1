"""The admin of user, project and global limits: what is allowed, and live beside it what is spent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from .. import service
from ..limits import user_key
from ..models import BudgetLimit, GlobalLimit, ProjectLimit, UserLimit
from ..periods import Period, window_at
from ..templatetags.bars import State
from . import confirmation, words
from .bars import bar
from .conflicts import SEEN, OneAtATimeMixin
from .fields import AMOUNT_FIELDS
from .limit_actions import block_now, boost_today, remove_override
from .limit_filters import STATUSES, BoostFilter, StateFilter, StatusFilter
from .limit_forms import LimitForm
from .limit_resets import reset_window
from .limit_transfer import TransferMixin
from .limit_words import changed_values, what_holds
from .live import live_figures
from .one_by_one import EveryDatabase
from .user_choice import UserChoiceMixin, name_fields, user_name_field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet
    from django.forms import ModelForm
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    from ..results import AccountStatus

    LimitModelAdmin = admin.ModelAdmin[BudgetLimit]
else:
    LimitModelAdmin = admin.ModelAdmin

__all__ = ["GlobalLimitAdmin", "LimitAdmin", "ProjectLimitAdmin", "UserLimitAdmin"]

#: Where the live figure of a row is kept while its page is made.
_LIVE = "_budget_live"


class LimitAdmin(OneAtATimeMixin, TransferMixin, LimitModelAdmin):
    """What the admins of all limits share."""

    form = LimitForm
    formfield_overrides = AMOUNT_FIELDS
    list_display: tuple[Any, ...] = ("whose", "period", "limit", "status", "usage", "remaining", "resets")
    list_filter: ClassVar[tuple[Any, ...]] = ("period", StatusFilter, StateFilter, BoostFilter)
    actions = (boost_today, block_now, remove_override, reset_window)
    subject_fields: ClassVar[tuple[str, ...]] = ()

    class Media:
        css = {"all": ["coreason_budget/admin.css"]}  # noqa: RUF012 - so declared by Django

    def has_reset_permission(self, request: HttpRequest) -> bool:
        """Tell whether someone may reset windows."""
        return request.user.has_perm("coreason_budget.reset_spendrecord")

    # the list --------------------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list with the live figures of its page, which are asked for once."""
        response = super().changelist_view(request, extra_context)
        shown = getattr(response, "context_data", None) or {}
        if "cl" in shown:
            self._add_live_figures(request, shown["cl"].result_list)
        return response

    # Each reset is booked by itself, as a refund is; the other actions have a transaction of their own.
    changelist_view._non_atomic_requests = EveryDatabase()  # type: ignore[attr-defined]  # noqa: SLF001 - by Django

    def _add_live_figures(self, request: HttpRequest, limits: Sequence[BudgetLimit]) -> None:
        figures = live_figures(limits)
        for limit in limits:
            setattr(limit, _LIVE, figures.of(limit))
        if figures.problem:
            said = _("What is spent and held is unknown at the moment: %(problem)s Limits can be changed all the same.")
            self.message_user(request, said % {"problem": figures.problem}, messages.WARNING)

    @admin.display(description=gettext_lazy("whose"))
    def whose(self, limit: BudgetLimit) -> SafeString:
        """Show whose limit it is."""
        return words.named(words.whose(limit))

    @admin.display(description=gettext_lazy("limit"), ordering="amount_usd")
    def limit(self, limit: BudgetLimit) -> SafeString:
        """Show the limit in words, and its boost with its end."""
        kind = "unlimited" if limit.amount_usd is None else "limited" if limit.amount_usd else "blocked"
        own = format_html('<span class="budget-limit budget-{}">{}</span>', kind, words.limit(limit.amount_usd))
        return format_html("{} {}", own, self.boost(limit)) if limit.boost_until is not None else own

    @admin.display(description=gettext_lazy("boost"))
    def boost(self, limit: BudgetLimit) -> SafeString | str:
        """Show the boost with its end."""
        if limit.boost_until is None or limit.boost_usd is None:
            return words.NOTHING
        counts = timezone.now() < limit.boost_until
        text = _("boosted to {limit} until {end}") if counts else _("a boost to {limit} ended {end}")
        html = format_html(text, limit=words.limit(limit.boost_usd), end=words.instant(limit.boost_until))
        return format_html('<span class="budget-boost budget-{}">{}</span>', "boosted" if counts else "ended", html)

    @admin.display(description=gettext_lazy("status"))
    def status(self, limit: BudgetLimit) -> SafeString:
        """Show in a word how much room there is."""
        live = _live(limit)
        if live is None:
            return _unknown()
        state = State.of(live)
        return format_html('<span class="budget-status budget-status-{}">{}</span>', state, STATUSES[state])

    @admin.display(description=gettext_lazy("spent"))
    def usage(self, limit: BudgetLimit) -> SafeString:
        """Show what is spent of what counts now, and what calls in flight have set aside."""
        live = _live(limit)
        return _unknown() if live is None else bar(live)

    @admin.display(description=gettext_lazy("remaining"))
    def remaining(self, limit: BudgetLimit) -> SafeString | str:
        """Show what is left."""
        live = _live(limit)
        if live is None:
            return _unknown()
        return words.NOTHING if live.remaining is None else words.figure(live.remaining, "down")

    @admin.display(description=gettext_lazy("resets"))
    def resets(self, limit: BudgetLimit) -> SafeString:
        """Show when the period ends, which is known also without Redis."""
        zone = service.manager().config.time_zone
        return words.instant(window_at(Period(limit.period), timezone.now(), zone).end)

    # the form --------------------------------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: BudgetLimit | None = None) -> list[tuple[Any, Any]]:
        """Return the form as it is filled in; for those who may only look, what it says."""
        whose = (*self.subject_fields, "period")
        if obj is not None and not self.has_change_permission(request, obj):
            return [(None, {"fields": [*whose, "limit", "reason"]}), self._account()]
        fieldsets: list[tuple[Any, Any]] = [
            (None, {"fields": [*whose, ("amount_usd", "unlimited"), "reason", *([] if obj is None else [SEEN])]}),
            (_("Boost"), {"fields": ["boost_usd", "boost_until"]}),
        ]
        return fieldsets if obj is None else [*fieldsets, self._account()]

    def get_readonly_fields(self, request: HttpRequest, obj: BudgetLimit | None = None) -> list[str]:
        """Return what nobody enters. Whose limit it is stays as it is: the old one's account would not be told."""
        shown = ["now", "created", "changed"]
        return shown if obj is None else [*self.subject_fields, "period", *shown]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the form with buttons for the actions."""
        names = [action.__name__ for action in self.actions]
        buttons = confirmation.object_actions(self, request, names)
        response = super().change_view(request, object_id, form_url, {**buttons, **(extra_context or {})})
        shown = getattr(response, "context_data", None) or {}
        if shown.get("original") is not None:
            limit = shown["original"]
            shown["subtitle"] = format_html("{} {}", words.named(words.whose(limit)), words.per(limit.period))
        return response

    def save_model(self, request: HttpRequest, obj: BudgetLimit, form: ModelForm[BudgetLimit], change: bool) -> None:  # noqa: FBT001 - Django's
        """Save the limit and say what holds from now on."""
        super().save_model(request, obj, form, change)
        self.message_user(request, what_holds(obj))

    def construct_change_message(
        self,
        request: HttpRequest,
        form: Any,
        formsets: Any,
        add: bool = False,  # noqa: FBT001, FBT002 - Django's
    ) -> Any:
        """Tell the history what was before and what is now."""
        if add:
            return super().construct_change_message(request, form, formsets, add)
        return changed_values(form) or super().construct_change_message(request, form, formsets, add)

    @admin.display(description=gettext_lazy("now"))
    def now(self, limit: BudgetLimit) -> SafeString:
        """Show how the account stands."""
        live = live_figures([limit]).of(limit)
        if live is None:
            return _unknown()
        figures = [
            (_("remaining"), words.NOTHING if live.remaining is None else words.usd(live.remaining)),
            (_("resets"), words.instant(live.resets_at)),
        ]
        pairs = format_html_join("", "<div><dt>{}</dt><dd>{}</dd></div>", figures)
        return format_html('{}<dl class="budget-now">{}</dl>', bar(live), pairs)

    @admin.display(description=gettext_lazy("created"))
    def created(self, limit: BudgetLimit) -> SafeString:
        """Show when it was made."""
        return words.instant(limit.created_at)

    @admin.display(description=gettext_lazy("changed"))
    def changed(self, limit: BudgetLimit) -> SafeString:
        """Show when it was saved last."""
        return words.instant(limit.updated_at)

    def _account(self) -> tuple[Any, Any]:
        return (_("Account"), {"fields": ["now", "created", "changed"]})


@admin.register(UserLimit)
class UserLimitAdmin(UserChoiceMixin, LimitAdmin):
    """Limits of users."""

    subject_fields = ("user",)
    list_select_related = ("user",)
    search_help_text = gettext_lazy("Searches the users' names and addresses, and their primary keys exactly.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return limits with their users."""
        return super().get_queryset(request).select_related("user")

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        """Sort by the users' names."""
        return [f"user__{user_name_field()}", "period"]

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        """Return the fields that name a user in this project."""
        return [f"user__{field}" for field in name_fields()]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return limits of users whom a term names, in part, or whose primary key it is."""
        found, may_have_duplicates = super().get_search_results(request, queryset, search_term)
        key = user_key(search_term.strip())
        return (found if key is None else found | queryset.filter(user=key)), may_have_duplicates

    @admin.display(description=gettext_lazy("user"), ordering=f"user__{user_name_field()}")
    def whose(self, limit: BudgetLimit) -> SafeString:
        """Show the user's name."""
        return super().whose(limit)


@admin.register(ProjectLimit)
class ProjectLimitAdmin(LimitAdmin):
    """Limits of projects."""

    subject_fields = ("project_id",)
    ordering = ("project_id", "period")
    search_fields = ("project_id",)

    @admin.display(description=gettext_lazy("project"), ordering="project_id")
    def whose(self, limit: BudgetLimit) -> SafeString:
        """Show the project's id."""
        return super().whose(limit)


@admin.register(GlobalLimit)
class GlobalLimitAdmin(LimitAdmin):
    """Limits of the whole site, at most one for each period."""

    list_display = LimitAdmin.list_display[1:]
    list_filter = ()
    ordering = ("period",)


def _live(limit: BudgetLimit) -> AccountStatus | None:
    live: AccountStatus | None = getattr(limit, _LIVE, None)
    return live


def _unknown() -> SafeString:
    return format_html('<span class="budget-unknown">{}</span>', pgettext("figure", "unknown"))
