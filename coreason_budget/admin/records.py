"""The admin of spend records: read-only for everybody, and as fast with millions of rows as with ten."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import service
from ..history import kept_from
from ..ledger.adjustments import Adjustment
from ..models import SpendRecord
from ..money import to_usd
from ..scopes import Scope
from . import confirmation, overview, refusals, words
from .one_by_one import EveryDatabase
from .record_export import export_csv
from .record_filters import FROM, KIND, NAMES, UNTIL, DaysFilter, NamesFilter, UncountedFilter
from .record_links import links_of
from .record_refunds import refund, why_not
from .record_search import MAX_COUNT, BoundedPaginator, RecordList, search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.contrib.admin.views.main import ChangeList
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

    from .record_links import Links

    RecordModelAdmin = admin.ModelAdmin[SpendRecord]
else:
    RecordModelAdmin = admin.ModelAdmin

__all__ = ["SpendRecordAdmin"]

#: Where what a record refers to is kept while its page is made.
_LINKS = "_budget_links"


@admin.register(SpendRecord)
class SpendRecordAdmin(RecordModelAdmin):
    """Looks at records, exports them and refunds them. Nobody adds, changes or deletes one, superusers included."""

    list_display = ("record", "cost", "kind_of_record", "user", "project", "model_and_tokens")
    list_display_links = ("record",)
    list_filter = (DaysFilter, NamesFilter, "kind", UncountedFilter)
    list_per_page = 100
    list_max_show_all = 0
    sortable_by = ()
    search_fields = ("charge_id", "user_id", "project_id")
    search_help_text = gettext_lazy("Finds exactly: a charge id, a user's name or id, a project.")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    actions = (export_csv, refund)

    class Media:
        css = {"all": ["coreason_budget/admin.css"]}  # noqa: RUF012 - so declared by Django

    def get_urls(self) -> list[URLPattern]:
        """Return the pages of records, the overview and the page of refused calls."""
        overview_url = path(
            "overview/", self.admin_site.admin_view(self.overview_view), name="coreason_budget_overview"
        )
        refusals_url = path(
            "refusals/", self.admin_site.admin_view(self.refusals_view), name="coreason_budget_refusals"
        )
        return [overview_url, refusals_url, *super().get_urls()]

    def overview_view(self, request: HttpRequest) -> HttpResponse:
        """Show where the money goes."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return overview.page(self, request)

    def refusals_view(self, request: HttpRequest) -> HttpResponse:
        """Show why calls were refused."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return refusals.page(self, request)

    # who may ---------------------------------------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds a record here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: SpendRecord | None = None) -> bool:
        """Nobody changes a record."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: SpendRecord | None = None) -> bool:
        """Nobody deletes a record."""
        return False

    def has_refund_permission(self, request: HttpRequest) -> bool:
        """Tell whether someone may refund."""
        return request.user.has_perm("coreason_budget.refund_spendrecord")

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Allow the filters' own conditions in the address, and none that no index answers."""
        return lookup in {FROM, UNTIL, *NAMES, KIND, UncountedFilter.parameter_name}

    # the list --------------------------------------------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list that is always in an order that an index has."""
        return RecordList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[SpendRecord], search_term: str
    ) -> tuple[QuerySet[SpendRecord], bool]:
        """Return the records that a term names exactly."""
        return search(queryset, search_term.strip()), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list with the users and refunds of its page, which are asked for once."""
        response = super().changelist_view(request, extra_context)
        shown = getattr(response, "context_data", None) or {}
        if "cl" in shown:
            _link(shown["cl"].result_list)
            shown["max_count"] = MAX_COUNT
            if shown["cl"].paginator.has_more:  # an action on all concerns also those that are not counted
                shown["module_name"] = _("spend records and all older ones")
            else:  # whoever misses a record here has not yet looked at all there ever were
                shown["kept_from"] = kept_from(service.manager().config.time_zone)
        return response

    # Each refund is booked by itself and stays, so a transaction of the request (ATOMIC_REQUESTS) could only undo the
    # history of it, and on SQLite would keep the ledger from writing the very record that is waited for.
    changelist_view._non_atomic_requests = EveryDatabase()  # type: ignore[attr-defined]  # noqa: SLF001 - by Django

    @admin.display(description=gettext_lazy("record"))
    def record(self, record: SpendRecord) -> SafeString:
        """Show when it was booked and its charge id."""
        return format_html("{} {}", self.booked_at(record), self.charge(record))

    @admin.display(description=gettext_lazy("booked at"))
    def booked_at(self, record: SpendRecord) -> SafeString:
        """Show when it was booked."""
        return words.instant(record.at, seconds=True)

    @admin.display(description=gettext_lazy("cost"))
    def cost(self, record: SpendRecord) -> SafeString:
        """Show the cost with its sign."""
        kind = "credit" if record.cost_nanos < 0 else "debit"
        return format_html('<span class="budget-cost budget-{}">{}</span>', kind, words.usd(record.cost_usd))

    @admin.display(description=gettext_lazy("kind"))
    def kind_of_record(self, record: SpendRecord) -> SafeString:
        """Show what was booked, what it refunds or is refunded by, and whether the ledger knows of it."""
        kind = format_html('<span class="budget-kind budget-kind-{}">{}</span>', record.kind, record.get_kind_display())
        refunds = self.refunds(record)
        if refunds != words.NOTHING:
            kind = format_html('{} <span class="budget-refunds">{}</span>', kind, refunds)
        adjustment = self._adjustment(record)
        if adjustment is not None:
            said = _("%(amount)s less counts %(per)s") % {
                "amount": words.usd(to_usd(-adjustment.nanos)),
                "per": words.per(adjustment.period.value),
            }
            kind = format_html('{} <span class="budget-refunds">{}</span>', kind, said)
        if record.journal_id is not None:
            return kind
        return format_html('{} <span class="budget-uncounted">{}</span>', kind, _("not counted yet"))

    @admin.display(description=gettext_lazy("user"))
    def user(self, record: SpendRecord) -> SafeString | str:
        """Show the user's name with a link to everything of this user."""
        adjustment = self._adjustment(record)
        if adjustment is not None and adjustment.subject.scope is not Scope.USER:
            return words.NOTHING
        if not record.user_id:
            return format_html('<span class="budget-nobody">{}</span>', _("anonymous"))
        return self._search_link(record.user_id, _links(record).name_of(record) or record.user_id)

    @admin.display(description=gettext_lazy("project"))
    def project(self, record: SpendRecord) -> SafeString | str:
        """Show the project with a link to everything of it."""
        return self._search_link(record.project_id, record.project_id) if record.project_id else words.NOTHING

    @admin.display(description=gettext_lazy("model"))
    def model_name(self, record: SpendRecord) -> SafeString | str:
        """Show the model."""
        return words.named(record.model) if record.model else words.NOTHING

    @admin.display(description=gettext_lazy("model and tokens"))
    def model_and_tokens(self, record: SpendRecord) -> SafeString:
        """Show the model, and what went in and came out."""
        tokens = self.tokens(record)
        if tokens == words.NOTHING:
            return format_html("{}", self.model_name(record))
        return format_html('{} <span class="budget-tokens">{}</span>', self.model_name(record), tokens)

    @admin.display(description=gettext_lazy("tokens"))
    def tokens(self, record: SpendRecord) -> str:
        """Show what went in and what came out."""
        told = [
            text % {"count": words.number(count)}
            for count, text in ((record.input_tokens, _("%(count)s in")), (record.output_tokens, _("%(count)s out")))
            if count is not None
        ]
        return ", ".join(told) or words.NOTHING

    @admin.display(description=gettext_lazy("charge id"))
    def charge(self, record: SpendRecord) -> SafeString:
        """Show the charge id."""
        return words.named(record.charge_id)

    @admin.display(description=gettext_lazy("refund"))
    def refunds(self, record: SpendRecord) -> SafeString | str:
        """Show the record that this one takes back, or that takes back this one."""
        original, back = _links(record).original_of(record), _links(record).refund_of(record)
        if original is not None:
            return self._record_link(original, _("of %(id)s") % {"id": words.name(original.charge_id)})
        if back is not None:
            return self._record_link(back, _("refunded %(amount)s") % {"amount": words.usd(back.cost_usd)})
        return words.NOTHING

    # one record ------------------------------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: SpendRecord | None = None) -> list[tuple[Any, Any]]:
        """Return all that there is to see."""
        return [
            (None, {"fields": ["booked_at", "cost", "kind_of_record", "user", "project", "model_name", "tokens"]}),
            (_("Booking"), {"fields": ["charge", "refunds", "hold", "ledger", "notes"]}),
        ]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> SpendRecord | None:
        """Return a record with what it refers to."""
        record = super().get_object(request, object_id, from_field)
        if record is not None:
            _link([record])
        return record

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a record, with a button to refund it where that is possible and permitted."""
        response = super().change_view(request, object_id, form_url, extra_context)
        shown = getattr(response, "context_data", None) or {}
        record = shown.get("original")
        if record is not None and not why_not(record, _links(record)):
            shown.update(confirmation.object_actions(self, request, [refund.__name__]))
        return response

    @admin.display(description=gettext_lazy("hold"))
    def hold(self, record: SpendRecord) -> SafeString | str:
        """Show the hold that it was charged on."""
        return words.named(record.hold_id) if record.hold_id else words.NOTHING

    @admin.display(description=gettext_lazy("ledger"))
    def ledger(self, record: SpendRecord) -> str:
        """Show how the ledger knows of it."""
        if record.journal_id is None:
            return _("not counted yet: it was written while Redis was down")
        return (
            _("counted after it was written, while Redis was down")
            if record.journal_id == 0
            else str(record.journal_id)
        )

    @admin.display(description=gettext_lazy("metadata"))
    def notes(self, record: SpendRecord) -> SafeString | str:
        """Show what was noted with it."""
        if not record.metadata:
            return words.NOTHING
        text = json.dumps(record.metadata, indent=2, ensure_ascii=False, sort_keys=True)
        return format_html('<pre class="budget-metadata">{}</pre>', words.name(text))

    def _adjustment(self, record: SpendRecord) -> Adjustment | None:
        return Adjustment.read(record.charge_id, record.metadata) if record.kind == record.Kind.ADJUSTMENT else None

    def _search_link(self, term: str, text: str) -> SafeString:
        url = reverse(
            "admin:coreason_budget_spendrecord_changelist", query={"q": term}, current_app=self.admin_site.name
        )
        return format_html('<a href="{}">{}</a>', url, words.named(text))

    def _record_link(self, record: SpendRecord, text: str) -> SafeString:
        url = reverse(
            "admin:coreason_budget_spendrecord_change", args=[quote(record.pk)], current_app=self.admin_site.name
        )
        return format_html('<a href="{}">{}</a>', url, text)


def _link(records: Sequence[SpendRecord]) -> None:
    links = links_of(records)
    for record in records:
        setattr(record, _LINKS, links)


def _links(record: SpendRecord) -> Links:
    links: Links = getattr(record, _LINKS)
    return links
