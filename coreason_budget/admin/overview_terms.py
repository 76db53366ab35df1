"""``Terms``: what the overview is about: days of the budget's calendar, and a user, project or model if named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Q
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..history import History
from ..periods import Period, window_named
from ..scopes import MAX_ID_LENGTH
from .record_filters import FROM, UNTIL, day_ranges
from .user_choice import users_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from zoneinfo import ZoneInfo

__all__ = ["BY", "Terms", "TermsForm", "ranges"]

BY: Final = "by"
SHOWN_DAYS: Final = 30
MOST_DAYS: Final = 5 * 366
_FIRST_DAY, _LAST_DAY = date(2000, 1, 1), date(2199, 12, 31)

Column = Literal["model", "project_id"]


@dataclass(frozen=True, slots=True)
class Terms:
    """The first and the last day, both included, exact names, empty for all, and what the chart is stacked ``by``."""

    first: date
    last: date
    by: Column = "model"
    user: str = ""
    project: str = ""
    model: str = ""

    @classmethod
    def of_days_until(cls, today: date) -> Terms:
        """Return the terms of an overview that nobody has asked for anything."""
        return cls(today - timedelta(days=SHOWN_DAYS - 1), today)

    def spent(self) -> History:
        """Return what whoever is named has spent, on any day. A user's name is looked up: one query."""
        names = Q()
        if self.user:
            names &= Q(user_id__in=dict.fromkeys((self.user, *users_named(self.user))))
        if self.project:
            names &= Q(project_id=self.project)
        if self.model:
            names &= Q(model=self.model)
        return History(names)

    def of_days(self, spent: History, zone: ZoneInfo) -> History:
        """Return what of it was booked on these days."""
        start, end = (window_named(Period.DAY, day.isoformat(), zone) for day in (self.first, self.last))
        return spent.filter(at__gte=start.start, at__lt=end.end)

    def link(self, **changed: Any) -> str:
        """Return the query string of the overview with other terms."""
        terms = replace(self, **changed)
        pairs = {
            FROM: terms.first.isoformat(),
            UNTIL: terms.last.isoformat(),
            "user": terms.user,
            "project": terms.project,
            "model": terms.model,
            BY: "project" if terms.by == "project_id" else "model",
        }
        return f"?{urlencode({name: value for name, value in pairs.items() if value})}"

    def link_to_records(self) -> str:
        """Return the query string of the list of these records, empty where that cannot be asked for them."""
        names = [name for name in (self.user, self.project) if name]
        if self.model or len(names) > 1:
            return ""
        days = {FROM: self.first.isoformat(), UNTIL: self.last.isoformat()}
        return f"?{urlencode(days | {'q': names[0]} if names else days)}"


def ranges(terms: Terms, today: date) -> Iterator[tuple[str, str, bool]]:
    """Yield the ranges that are asked for most: label, query string, and whether it is the one that is shown."""
    usual = Terms.of_days_until(today)
    for label, first, last in ((_("Past 30 days"), usual.first, usual.last), *day_ranges(today)):
        if first is not None and last is not None:
            yield str(label), terms.link(first=first, last=last), (first, last) == (terms.first, terms.last)


class TermsForm(forms.Form):
    """Reads the terms from an address. What is not given is as in ``Terms.of_days_until``."""

    user = forms.CharField(label=gettext_lazy("User"), max_length=MAX_ID_LENGTH, required=False)
    project = forms.CharField(label=gettext_lazy("Project"), max_length=MAX_ID_LENGTH, required=False)
    model = forms.CharField(label=gettext_lazy("Model"), max_length=MAX_ID_LENGTH, required=False)
    by = forms.ChoiceField(choices=[("model", "model"), ("project", "project")], required=False)

    def __init__(self, data: Mapping[str, Any], today: date) -> None:
        days = {FROM: _day_field(_("From")), UNTIL: _day_field(_("to"))}  # the first of them is a word of Python's
        usual = Terms.of_days_until(today)
        shown = {FROM: data.get(FROM) or usual.first.isoformat(), UNTIL: data.get(UNTIL) or usual.last.isoformat()}
        super().__init__({**{name: data[name] for name in data}, **shown}, auto_id="budget-%s")
        self.fields = {**days, **self.fields}

    def clean(self) -> dict[str, Any]:
        """Refuse days that are the wrong way round or too many."""
        cleaned = super().clean() or {}
        first, last = cleaned.get(FROM), cleaned.get(UNTIL)
        if first and last and first > last:
            self.add_error(UNTIL, _("The last day is before the first."))
        elif first and last and (last - first).days >= MOST_DAYS:
            self.add_error(UNTIL, _("At most %(days)s days are shown at a time.") % {"days": MOST_DAYS})
        return cleaned

    @property
    def terms(self) -> Terms:
        """What was asked for, of a form that is valid."""
        asked = self.cleaned_data
        return Terms(
            asked[FROM],
            asked[UNTIL],
            "project_id" if asked[BY] == "project" else "model",
            asked["user"],
            asked["project"],
            asked["model"],
        )

    @property
    def shown(self) -> Sequence[forms.BoundField]:
        """The fields that are filled in; what the chart is stacked by is a link."""
        return [self[name] for name in self.fields if name != BY]


def _day_field(label: str) -> forms.DateField:
    return forms.DateField(
        label=label,
        input_formats=["%Y-%m-%d"],
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        validators=[MinValueValidator(_FIRST_DAY), MaxValueValidator(_LAST_DAY)],
    )
