"""What is said after a limit was saved: to whoever saved it, and in the admin's history."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _

from . import words

if TYPE_CHECKING:
    from django.forms import ModelForm
    from django.utils.safestring import SafeString

    from ..models import BudgetLimit

__all__ = ["changed_values", "value_of", "what_holds"]


def what_holds(limit: BudgetLimit) -> SafeString:
    """Return what a saved limit means from now on."""
    effective = limit.effective_usd()
    if effective is None:
        said = _("{whose} may spend without limit {per} from now on.")
    elif effective:
        said = _("{whose} may spend {limit} {per} from now on.")
    else:
        said = _("{whose} is blocked from now on: every call is refused.")
    held = format_html(
        said, whose=words.named(words.whose(limit)), limit=words.limit(effective), per=words.per(limit.period)
    )
    if limit.boost_until is None or limit.boost_until <= timezone.now():
        return held
    after = _("The boost ends {end}; then it is: {limit}.")
    return format_html(
        "{} {}", held, format_html(after, end=words.instant(limit.boost_until), limit=words.limit(limit.amount_usd))
    )


def changed_values(form: ModelForm[BudgetLimit]) -> str:
    """Return what a form changed, with old and new values; empty if that is nothing."""
    names = [name for name in form.changed_data if name != "unlimited"]  # which is told as the amount
    return "; ".join(
        _("%(field)s: %(before)s → %(after)s")
        % {
            "field": form.fields[name].label,
            "before": value_of(name, form.initial.get(name)),
            "after": value_of(name, form.cleaned_data.get(name)),
        }
        for name in names
    )


def value_of(name: str, value: Any) -> str:
    """Return the value of a limit's field in words."""
    return words.limit(value) if name == "amount_usd" or isinstance(value, Decimal) else words.value(value)
