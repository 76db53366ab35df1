"""What the actions on limits change, limit by limit, and how it is said. Who may, and when, is in limit_actions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .. import service
from ..periods import Period, window_at
from . import words
from .fields import UsdField

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from django.utils.functional import _StrPromise

    from ..models import BudgetLimit

__all__ = ["BlockNow", "BoostForm", "BoostToday", "LimitChange", "ReasonForm", "RemoveOverride", "Terms"]


class ReasonForm(forms.Form):
    """Asks for what the history says."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=500,
        required=False,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text=gettext_lazy("Goes into the history and becomes the reason of the limit."),
    )


class RemovalForm(ReasonForm):
    """Asks for what only the history can keep."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["reason"].help_text = _("Goes into the history.")


class BoostForm(ReasonForm):
    """Asks how much may be spent for the rest of the day."""

    field_order = ("amount", "reason")
    amount = UsdField(
        label=gettext_lazy("Boosted limit (USD)"),
        help_text=gettext_lazy("Counts instead of the limit until the boost ends, so it must be more."),
    )


@dataclass(frozen=True, slots=True)
class Terms:
    """What a limit allows, in USD: its amount (None is unlimited), and its boost until that ends."""

    amount: Decimal | None
    boost: Decimal | None
    until: datetime | None

    @classmethod
    def of(cls, limit: BudgetLimit) -> Self:
        """Return the terms of a limit as it stands."""
        return cls(limit.amount_usd, limit.boost_usd, limit.boost_until)

    def text(self) -> str:
        """Return the terms in words."""
        if self.boost is None or self.until is None:
            return words.limit(self.amount)
        return _("%(limit)s, boosted to %(boost)s until %(end)s") % {
            "limit": words.limit(self.amount),
            "boost": words.limit(self.boost),
            "end": words.moment(self.until),
        }


class LimitChange(ABC):
    """One kind of change of limits."""

    name: ClassVar[str]
    title: ClassVar[_StrPromise]
    button: ClassVar[_StrPromise]
    form: ClassVar[type[ReasonForm]]
    is_removal: ClassVar[bool] = False

    @abstractmethod
    def lead(self) -> str:
        """Return the sentence above the list of limits."""

    @abstractmethod
    def concerns(self, limit: BudgetLimit) -> bool:
        """Tell whether there is anything to change of a limit."""

    @abstractmethod
    def foresee(self, limit: BudgetLimit) -> str:
        """Return what a limit will be, as far as it is known before the form is filled in."""

    @abstractmethod
    def objection(self, limit: BudgetLimit, answers: Mapping[str, Any]) -> str:
        """Return why a limit cannot be changed like this, empty if it can."""

    @abstractmethod
    def apply(self, limit: BudgetLimit, answers: Mapping[str, Any]) -> None:
        """Change a limit, unsaved."""

    def outcome(self, limit: BudgetLimit) -> str:
        """Return what holds in words, once a limit is changed."""
        return Terms.of(limit).text()

    def keep(self, limit: BudgetLimit, reason: str) -> None:
        """Save a changed limit, so that its signals push it to every process."""
        limit.reason = reason or limit.reason
        limit.save(update_fields=["amount_usd", "boost_usd", "boost_until", "reason", "updated_at"])

    @abstractmethod
    def told(self, count: int) -> str:
        """Return the message after so many limits were changed."""


class BlockNow(LimitChange):
    """The kill switch: 0, and no boost."""

    name = "block_now"
    title = gettext_lazy("Block now")
    button = gettext_lazy("Block")
    form = ReasonForm

    def lead(self) -> str:
        """See LimitChange."""
        return _("These limits become 0 and their boosts end. From then on every call that they concern is refused.")

    def concerns(self, limit: BudgetLimit) -> bool:
        """See LimitChange."""
        return limit.amount_usd != 0 or limit.boost_usd is not None

    def foresee(self, limit: BudgetLimit) -> str:
        """See LimitChange."""
        return Terms(Decimal(0), None, None).text()

    def objection(self, limit: BudgetLimit, answers: Mapping[str, Any]) -> str:
        """See LimitChange."""
        return ""

    def apply(self, limit: BudgetLimit, answers: Mapping[str, Any]) -> None:
        """See LimitChange."""
        limit.amount_usd, limit.boost_usd, limit.boost_until = Decimal(0), None, None

    def told(self, count: int) -> str:
        """See LimitChange."""
        if not count:
            return _("They were blocked already. Nothing was changed.")
        return ngettext(
            "%(count)s limit is blocked: from now on every call that it concerns is refused.",
            "%(count)s limits are blocked: from now on every call that they concern is refused.",
            count,
        ) % {"count": count}


class BoostToday(LimitChange):
    """More until the end of the day, then the limit is back by itself."""

    name = "boost_today"
    title = gettext_lazy("Boost for today")
    button = gettext_lazy("Boost")
    form = BoostForm

    def __init__(self) -> None:
        self._until = window_at(Period.DAY, timezone.now(), service.manager().config.time_zone).end

    def lead(self) -> str:
        """See LimitChange."""
        return _("These limits are raised until %(end)s, when today ends in the budget's time zone (%(zone)s).") % {
            "end": words.moment(self._until),
            "zone": service.manager().config.time_zone.key,
        }

    def concerns(self, limit: BudgetLimit) -> bool:
        """See LimitChange."""
        return limit.amount_usd is not None

    def foresee(self, limit: BudgetLimit) -> str:
        """See LimitChange."""
        return _("boosted until %(end)s, then %(limit)s again") % {
            "end": words.moment(self._until),
            "limit": words.limit(limit.amount_usd),
        }

    def objection(self, limit: BudgetLimit, answers: Mapping[str, Any]) -> str:
        """See LimitChange."""
        boost: Decimal = answers["amount"]
        if limit.amount_usd is None:
            return ""
        if boost <= limit.amount_usd:
            return _("a boost of %(boost)s is no more than the limit of %(limit)s") % {
                "boost": words.usd(boost),
                "limit": words.usd(limit.amount_usd),
            }
        terms = Terms.of(limit)
        if limit.is_boosted() and (boost < (terms.boost or 0) or self._until < (terms.until or self._until)):
            return _("a boost runs already (%(terms)s); change that in its form") % {"terms": terms.text()}
        return ""

    def apply(self, limit: BudgetLimit, answers: Mapping[str, Any]) -> None:
        """See LimitChange."""
        limit.boost_usd, limit.boost_until = answers["amount"], self._until

    def told(self, count: int) -> str:
        """See LimitChange."""
        if not count:
            return _("They are unlimited. Nothing was changed.")
        return ngettext(
            "%(count)s limit is boosted until %(end)s.", "%(count)s limits are boosted until %(end)s.", count
        ) % {"count": count, "end": words.moment(self._until)}


class RemoveOverride(LimitChange):
    """No limit of its own any more: what the settings say."""

    name = "remove_override"
    title = gettext_lazy("Remove override")
    button = gettext_lazy("Remove")
    form = RemovalForm
    is_removal = True

    def __init__(self) -> None:
        self._applies: dict[str, None] = {}

    def lead(self) -> str:
        """See LimitChange."""
        return _(
            "These limits are removed. From then on the defaults of the settings apply. What is spent and held stays "
            "counted."
        )

    def concerns(self, limit: BudgetLimit) -> bool:
        """See LimitChange."""
        return True

    def foresee(self, limit: BudgetLimit) -> str:
        """See LimitChange."""
        return _("%(limit)s, the default of the settings") % {"limit": words.limit(_default(limit))}

    def objection(self, limit: BudgetLimit, answers: Mapping[str, Any]) -> str:
        """See LimitChange."""
        return ""

    def apply(self, limit: BudgetLimit, answers: Mapping[str, Any]) -> None:
        """See LimitChange."""
        self._applies[f"{words.limit(_default(limit))} {words.per(limit.period)}"] = None

    def outcome(self, limit: BudgetLimit) -> str:
        """See LimitChange."""
        return self.foresee(limit)

    def keep(self, limit: BudgetLimit, reason: str) -> None:
        """See LimitChange."""
        limit.delete()

    def told(self, count: int) -> str:
        """See LimitChange."""
        if not count:
            return _("What was chosen is gone. Nothing was changed.")
        return ngettext(
            "%(count)s limit was removed. From now on the default applies: %(defaults)s.",
            "%(count)s limits were removed. From now on the defaults apply: %(defaults)s.",
            count,
        ) % {"count": count, "defaults": ", ".join(self._applies)}


def _default(limit: BudgetLimit) -> Decimal | None:
    return service.manager().config.limit_for(limit.scope.value, limit.period)
