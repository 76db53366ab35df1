"""``LimitForm``: a limit as people enter it. What it leaves open is never taken for “unlimited”."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import service
from . import words
from .conflicts import ConflictForm
from .limit_words import value_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from django.core.exceptions import ValidationError
    from django.db.models import QuerySet

    from ..models import BudgetLimit

__all__ = ["LimitForm"]


class LimitForm(ConflictForm):
    """The form of every kind of limit, also as a row of an inline."""

    unlimited = forms.BooleanField(
        label=gettext_lazy("Unlimited"),
        required=False,
        help_text=gettext_lazy("No limit at all in this period."),
    )
    together: ClassVar = (("amount_usd", "unlimited"), ("boost_usd", "boost_until"))

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.instance.pk is not None and self.instance.amount_usd is None:
            self.initial.setdefault("unlimited", True)
        for field, text in self._help_texts().items():
            if field in self.fields:
                self.fields[field].help_text = text
        until = getattr(self.fields.get("boost_until"), "widget", None)
        for part, label in zip(getattr(until, "widgets", ()), (_("Date"), _("Time")), strict=False):
            part.attrs["aria-label"] = label  # not every Django labels the two inputs of an instant

    def said(self, name: str, value: Any) -> str:
        """See ConflictForm."""
        return value_of(name, value)

    def clean(self) -> dict[str, Any]:
        """Want either an amount or the tick."""
        cleaned = super().clean() or self.cleaned_data
        self._clean_amount(cleaned.get("amount_usd"), unlimited=bool(cleaned.get("unlimited")))
        return cleaned

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # which first says whether amount and end belong together
        self._clean_boost(self.cleaned_data.get("boost_usd"), self.cleaned_data.get("boost_until"))

    def _shown(self, values: Mapping[str, Any]) -> dict[str, Any]:
        shown = super()._shown(values)
        return {**shown, "unlimited": values["amount_usd"] is None} if "amount_usd" in shown else shown

    def _clean_amount(self, usd: object, *, unlimited: bool) -> None:
        if "amount_usd" not in self.fields or "amount_usd" in self.errors:
            return
        if usd is None and not unlimited:
            self.add_error("amount_usd", _("Enter an amount, 0 to block every call, or tick “unlimited”."))
        if usd is not None and unlimited:
            typed = self["amount_usd"].value()
            self.add_error(
                "unlimited", _("Either an amount or “unlimited”, not both: “%(value)s” was entered.") % {"value": typed}
            )

    def _clean_boost(self, usd: object, until: datetime | None) -> None:
        """Want an end that lies ahead, of a boost that is new."""
        is_new = {"boost_usd", "boost_until"}.intersection(self.changed_data)
        if is_new and usd is not None and until is not None and until <= timezone.now():
            self.add_error(
                "boost_until", _("%(end)s has passed. A boost must end later than now.") % {"end": words.moment(until)}
            )

    def _update_errors(self, errors: ValidationError) -> None:
        """Say in words, and with a link, which limit is there already."""
        for error in chain.from_iterable(getattr(errors, "error_dict", {}).values()):
            twin = self._twin() if error.code in {"unique", "unique_together"} else None
            if twin is not None:
                error.message, error.params = _said_of(twin), None
        super()._update_errors(errors)  # type: ignore[misc]

    def _twin(self) -> BudgetLimit | None:
        """Return the limit that this subject has in this period already."""
        own = {name: getattr(self.instance, name) for name in self.instance._meta.total_unique_constraints[0].fields}
        limits: QuerySet[BudgetLimit] = type(self.instance)._default_manager.filter(**own)
        return limits.first()

    def _help_texts(self) -> dict[str, str]:
        zone = service.manager().config.time_zone.key
        return {
            "amount_usd": _("USD, to nine decimals. 0 blocks every call."),
            "period": _("Days, weeks (from Monday) and months of the time zone %(zone)s.") % {"zone": zone},
            "boost_usd": _("USD. Counts instead of the limit until the boost ends; then the limit is back."),
            "boost_until": _("Time zone: %(zone)s.") % {"zone": timezone.get_current_timezone_name()},
            "reason": _("Why this limit is as it is, for those who come after you."),
        }


def _said_of(twin: BudgetLimit) -> str:
    said = _("There is a limit of {whose} {per} already: {limit}.")
    text = format_html(
        said, whose=words.named(words.whose(twin)), per=words.per(twin.period), limit=words.limit(twin.amount_usd)
    )
    meta = twin._meta
    try:
        url = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[twin.pk])
    except NoReverseMatch:  # an admin site without limits of their own
        return text
    return format_html('{} <a href="{}">{}</a>', text, url, _("Change that one."))
