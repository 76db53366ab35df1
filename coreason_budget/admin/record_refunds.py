"""``refund``: charges and expired holds taken back, each for itself, after a page that lists them with their sum."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .. import service
from . import confirmation, words
from .fields import UsdField
from .one_by_one import one_by_one, tell_problems
from .record_links import links_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    from ..models import SpendRecord
    from .record_links import Links

__all__ = ["refund", "why_not"]


class RefundForm(forms.Form):
    """Asks why."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=500,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text=gettext_lazy("Kept with the refund and in the history."),
    )


class SingleRefundForm(RefundForm):
    """Asks also how much, which makes sense for one record."""

    field_order = ("amount", "reason")
    amount = UsdField(
        label=gettext_lazy("Amount (USD)"),
        required=False,
        help_text=gettext_lazy("Empty: all that is left of it. A record is refunded once, in part or in full."),
    )

    def clean_amount(self) -> Decimal | None:
        """Refuse to refund nothing."""
        amount: Decimal | None = self.cleaned_data["amount"]
        if amount == 0:
            raise ValidationError(_("0 is nothing to refund. Leave it empty for all that is left."))
        return amount


@admin.action(description=gettext_lazy("Refund…"), permissions=["refund"])
def refund(
    model_admin: admin.ModelAdmin[SpendRecord], request: HttpRequest, queryset: QuerySet[SpendRecord]
) -> HttpResponse | None:
    """Take back what records were booked with."""
    records = confirmation.chosen(model_admin, request, queryset)
    if not records:
        return None
    kind = SingleRefundForm if len(records) == 1 else RefundForm
    form = kind(request.POST) if confirmation.is_confirmed(request) else kind()
    if form.is_valid():
        _carry_out(model_admin, request, records, form.cleaned_data)
        return confirmation.way_back(model_admin, request, records)
    return confirmation.page(model_admin, request, records, _asked(records, form))


def why_not(record: SpendRecord, links: Links) -> str:
    """Return why a record cannot be refunded, as far as the records say; empty if it can."""
    if record.kind == record.Kind.REFUND:
        return _("it is a refund itself")
    if not record.is_refundable:
        return _("it cost nothing that could be given back")
    if links.was_refunded(record):
        return _("it was refunded before")
    return ""


def _carry_out(
    model_admin: admin.ModelAdmin[SpendRecord],
    request: HttpRequest,
    records: Sequence[SpendRecord],
    answers: dict[str, Any],
) -> None:
    """Refund the records one by one, and tell what became of them."""
    links, done = links_of(records), list[Decimal]()

    def work(record: SpendRecord) -> str:
        problem = why_not(record, links)
        if problem:
            return problem
        receipt = service.refund(
            record.charge_id,
            answers.get("amount"),
            reason=answers["reason"],
            by=str(request.user.get_username()),
        )
        done.append(-receipt.cost)
        said = _("Refunded %(amount)s as %(refund)s. Reason: %(reason)s")
        told = {"amount": words.usd(-receipt.cost), "refund": receipt.charge_id, "reason": answers["reason"]}
        model_admin.log_change(request, record, said % told)
        return ""

    problems = one_by_one(records, lambda record: record.charge_id, work)
    if done:
        said = ngettext(
            "%(count)s record was refunded: %(sum)s.", "%(count)s records were refunded: %(sum)s in all.", len(done)
        )
        told = {"count": len(done), "sum": words.usd(sum(done, Decimal(0)))}
        model_admin.message_user(request, said % told, messages.SUCCESS)
    if problems:
        said = ngettext("%(count)s record was not refunded:", "%(count)s records were not refunded:", len(problems))
        tell_problems(model_admin, request, said % {"count": len(problems)}, problems)


def _asked(records: Sequence[SpendRecord], form: forms.Form) -> confirmation.Confirmation:
    links = links_of(records)
    possible = [record for record in records if not why_not(record, links)]
    return confirmation.Confirmation(
        action=refund.__name__,
        title=_("Refund"),
        lead=_(
            "A refund books a record with a negative cost, now: it makes room in the current periods, whenever the "
            "charge was. Of an expired hold only what is left of it is refunded."
        ),
        caption=_("What will happen"),
        headers=[_("Charge id"), _("Booked at"), _("User"), _("Project"), _("Cost"), _("Then")],
        rows=[
            (
                words.named(record.charge_id),
                words.instant(record.at, seconds=True),
                words.named(links.name_of(record) or record.user_id or _("anonymous")),
                words.named(record.project_id) if record.project_id else words.NOTHING,
                words.usd(record.cost_usd),
                _not(why_not(record, links)) or _("is refunded"),
            )
            for record in records
        ],
        footer=["", "", "", _("Sum"), words.usd(sum((record.cost_usd for record in possible), Decimal(0))), ""],
        form=form,
        button=_("Refund"),
    )


def _not(problem: str) -> str:
    return _("is not refunded: %(problem)s") % {"problem": problem} if problem else ""
