"""Two people who change one row: what one of them saw of it, and what somebody else has made of it since."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from django import forms
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.core.exceptions import ValidationError
from django.db import connections, router
from django.utils.html import format_html
from django.utils.translation import gettext as _

from . import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.contrib.admin import ModelAdmin
    from django.db.models import Model, QuerySet
    from django.forms.boundfield import BoundField
    from django.http import HttpRequest, QueryDict
    from django.utils.safestring import SafeString

    RowForm = forms.ModelForm[Any]
    RowAdmin = ModelAdmin[Any]
else:
    RowForm = forms.ModelForm
    RowAdmin = object

__all__ = ["SEEN", "ConflictForm", "OneAtATimeMixin", "fingerprint", "locked"]

#: The name of the hidden field with what was seen.
SEEN: Final = "seen"


class _SeenField(forms.CharField):
    """What the form showed when it was opened. Nobody changes it, so it is no change."""

    widget = forms.HiddenInput

    def has_changed(self, initial: Any, data: Any) -> bool:
        """See Field."""
        return False


class ConflictForm(RowForm):
    """
    The form of a row that somebody else may change while it is open.

    Fields that were left as they were follow the row as it is now. If there are others too, nothing is saved: the form
    says what the other has set, and keeps what was entered. A form that is sent without what it showed is not checked.
    """

    seen = _SeenField(required=False)

    #: Fields that mean something only together: who changes one of them has entered all.
    together: ClassVar[tuple[tuple[str, ...], ...]] = ()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._set_by_other: dict[str, tuple[Any, Any]] = {}
        self._entered: set[str] = set()
        if self.instance.pk is None:
            return
        now = self._values()
        self.initial[SEEN] = json.dumps(now, default=str)
        if self.is_bound:
            self._follow(now, self._read_seen())

    def said(self, name: str, value: Any) -> str:
        """Return the value of a field in words."""
        return words.value(value)

    def clean(self) -> dict[str, Any]:
        """Refuse to overwrite what somebody else has set meanwhile, and say what that is."""
        cleaned = super().clean() or self.cleaned_data
        if self._set_by_other and self._entered:
            self.add_error(None, ValidationError(self._told(), code="conflict"))
            for name in self._entered.intersection(self._set_by_other):
                self.add_error(
                    name, _("It is %(value)s now.") % {"value": self.said(name, self._set_by_other[name][1])}
                )
        return cleaned

    def _values(self) -> dict[str, Any]:
        return {name: getattr(self.instance, name) for name in self._row_fields()}

    def _row_fields(self) -> list[str]:
        return [field.name for field in self.instance._meta.concrete_fields if field.name in self.fields]

    def _read_seen(self) -> dict[str, Any]:
        """Return the values that the form showed; none of those that it was sent without."""
        sent = self.data.get(self.add_prefix(SEEN)) or "{}"
        try:
            told = json.loads(sent)
            return {
                name: self.instance._meta.get_field(name).to_python(told[name])
                for name in self._row_fields()
                if name in told
            }
        except (ValueError, TypeError, ValidationError):  # no form of ours sends that
            return {}

    def _follow(self, now: Mapping[str, Any], seen: Mapping[str, Any]) -> None:
        self._set_by_other = {name: (seen[name], now[name]) for name in seen if seen[name] != now[name]}
        if not self._set_by_other:
            return
        before = self._shown({**now, **seen})
        changed = {name for name in before if self._was_changed(name, before[name])}
        self._entered = changed.union(*(group for group in self.together if changed.intersection(group)))
        data = cast("QueryDict", self.data).copy()
        self.data = data
        data[self.add_prefix(SEEN)] = self.initial[SEEN]
        for name, value in self._shown(now).items():
            if name not in self._entered:
                _fill_in(data, self[name], value)

    def _shown(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the fields of the form show for values of the row: instants to the second."""
        return {
            name: value.replace(microsecond=0) if isinstance(value, datetime) else value
            for name, value in values.items()
        }

    def _was_changed(self, name: str, before: Any) -> bool:
        bound = self[name]
        return bool(bound.field.has_changed(before, bound.data))

    def _told(self) -> SafeString:
        changes = "; ".join(
            _("%(field)s: %(before)s → %(after)s")
            % {"field": self.fields[name].label, "before": self.said(name, before), "after": self.said(name, after)}
            for name, (before, after) in self._set_by_other.items()
        )
        said = _(
            "{who} has changed this while you had it open: {changes}. Nothing was saved. What you entered is still "
            "here, all else is as it is now. Save again if it shall be so."
        )
        return format_html(said, who=_who_changed(self.instance), changes=changes)


class OneAtATimeMixin(RowAdmin):
    """Saves a row as it stood when its form was checked: whoever else saves it waits until that is done."""

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return a row; one that is being saved stays as it is until then."""
        row = super().get_object(request, object_id, from_field)
        if row is None or request.method != "POST":
            return row
        rows = self.model._default_manager.filter(pk=row.pk)
        # By itself, because the query of the admin may join other rows, which nobody need wait for.
        return super().get_object(request, object_id, from_field) if locked(rows).first() is not None else None


def _fill_in(data: QueryDict, bound: BoundField, value: Any) -> None:
    """Write a value into the data of a form as a browser would send it."""
    shown = bound.field.prepare_value(value)
    widget = bound.field.widget
    if isinstance(widget, forms.MultiWidget):
        for place, (part, piece) in enumerate(zip(widget.widgets, widget.decompress(shown) or (), strict=True)):
            data[f"{bound.html_name}_{place}"] = part.format_value(piece) or ""
    elif isinstance(widget, forms.CheckboxInput):
        data[bound.html_name] = "on" if shown else ""
    else:
        formatted = widget.format_value(shown)
        data[bound.html_name] = (formatted[0] if isinstance(formatted, list) else formatted) or ""


def locked(queryset: QuerySet[Any]) -> QuerySet[Any]:
    """Return rows that nobody changes until the transaction ends; where there is none, rows as they are."""
    if not connections[router.db_for_write(queryset.model)].in_atomic_block:
        return queryset
    return queryset.select_for_update()


def fingerprint(row: Model, names: Sequence[str]) -> str:
    """Return a short text that is another one as soon as one of these fields has another value."""
    values = json.dumps([getattr(row, name) for name in names], default=str)
    return hashlib.sha256(values.encode()).hexdigest()[:16]


def _who_changed(row: Any) -> SafeString | str:
    """Return who saved a row last, as far as the admin's history knows."""
    entries = LogEntry.objects.filter(content_type=get_content_type_for_model(row), object_id=str(row.pk))
    # The history is written after the row: an older entry is of an older change.
    entry = entries.filter(action_time__gte=row.updated_at).select_related("user").order_by("action_time").last()
    return words.named(str(entry.user.get_username())) if entry is not None else _("Somebody")
