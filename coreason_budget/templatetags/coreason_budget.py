"""``{% load coreason_budget %}``: what the caller has left, as a bar and as text, and filters for amounts and times."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.template import Library, TemplateSyntaxError
from django.utils.html import format_html
from django.utils.timezone import is_aware
from django.utils.translation import pgettext

from ..exceptions import BudgetUnavailableError
from ..http import budget_of
from ..periods import Period
from ..results import AccountStatus
from ..scopes import Scope
from .amounts import Rounding, plain, usd
from .bars import Bar, State, bar_of
from .times import moment, wait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.template import Context
    from django.template.base import Node, Parser, Token

    from ..http import RequestBudget

__all__ = ["Remaining", "register"]

Name = TypeVar("Name", bound=StrEnum)

register = Library()

#: Stands for "ask the ledger"; None says that the view asked and the ledger did not answer.
_OF_REQUEST: Final[Any] = object()


@register.inclusion_tag("coreason_budget/budget_bar.html", takes_context=True)
def budget_bar(
    context: Context,
    scope: str = Scope.USER,
    period: str | None = None,
    *,
    statuses: Any = _OF_REQUEST,
    label: Any = None,
) -> dict[str, Bar]:
    """
    Draw what is used of a limit: ``{% budget_bar %}``, ``{% budget_bar "project" "month" label=project.name %}``.

    Without a period it is the one that stops the caller first. Several tags on a page ask the ledger once; with
    ``statuses=`` (from ``await request.budget.astatus()``, None if that failed) they do not ask at all.
    """
    return {"bar": _bar("budget_bar", context, scope, period, statuses, label)}


class Remaining(str):
    """What is left, as text rounded down; ``usd`` is exact, None if there is no limit or nothing is known."""

    __slots__ = ("state", "usd")

    usd: Decimal | None
    state: State

    @classmethod
    def of(cls, bar: Bar) -> Remaining:
        """Return what is left of the account of a bar."""
        amount = bar.account.remaining if bar.account else None
        nothing = pgettext("budget", "unknown") if bar.state is State.UNKNOWN else pgettext("budget", "unlimited")
        remaining = cls(nothing if amount is None else usd(amount, "down"))
        remaining.state, remaining.usd = bar.state, amount
        return remaining


@register.tag
def budget_remaining(parser: Parser, token: Token) -> Node:
    """
    Say what is left: ``{% budget_remaining %}``, ``{% budget_remaining "project" as left %}``.

    It takes the arguments of ``budget_bar`` but no label. In place it is a ``<data>`` element with the exact amount; as
    a variable it is plain text, with ``left.usd`` (Decimal or None) and ``left.state``.
    """
    is_variable = token.split_contents()[-2:-1] == ["as"]
    form = _as_variable if is_variable else _in_place
    node: Node = form.tags["budget_remaining"](parser, token)
    return node


_as_variable, _in_place = Library(), Library()


@_as_variable.simple_tag(name="budget_remaining", takes_context=True)
def _remaining(
    context: Context, scope: str = Scope.USER, period: str | None = None, *, statuses: Any = _OF_REQUEST
) -> Remaining:
    return Remaining.of(_bar("budget_remaining", context, scope, period, statuses))


@_in_place.simple_tag(name="budget_remaining", takes_context=True)
def _remaining_element(
    context: Context, scope: str = Scope.USER, period: str | None = None, *, statuses: Any = _OF_REQUEST
) -> str:
    remaining = _remaining(context, scope, period, statuses=statuses)
    if remaining.usd is None or not context.autoescape:
        return remaining
    html = '<data class="budget-remaining" value="{}" title="{}">{}</data>'
    return format_html(html, plain(remaining.usd), usd(remaining.usd), remaining)


# filters -------------------------------------------------------------------------------------------------------------


@register.filter(name="usd")
def _usd(amount: object, rounding: Rounding = "exact") -> str:
    """Write an amount as people read it, nothing for what is none: filters do not end a page."""
    return usd(amount, rounding) if isinstance(amount, Decimal) and amount.is_finite() else ""


@register.filter(name="plain")
def _plain(amount: object) -> str:
    """Write an amount for machines, nothing for what is none."""
    return plain(amount) if isinstance(amount, Decimal) and amount.is_finite() else ""


@register.filter(name="moment")
def _moment(instant: object) -> str:
    """Write an instant with its time zone, nothing for what is none."""
    return moment(instant) if isinstance(instant, datetime) and is_aware(instant) else ""


@register.filter(name="wait")
def _wait(seconds: object) -> str:
    """Write a number of seconds as people say it, nothing for what is none."""
    return wait(seconds) if isinstance(seconds, int) else ""


# what they share -----------------------------------------------------------------------------------------------------


def _bar(tag: str, context: Context, scope: str, period: str | None, statuses: Any, label: Any = None) -> Bar:
    known_scope = _one_of(Scope, scope, f"{tag}: scope")
    known_period = None if period is None else _one_of(Period, period, f"{tag}: period")
    accounts = _accounts_of(tag, context) if statuses is _OF_REQUEST else _checked(tag, statuses)
    return bar_of(known_scope, known_period, accounts, label if label is None else str(label))


def _accounts_of(tag: str, context: Context) -> Sequence[AccountStatus] | None:
    """Return the caller's accounts, asked for once in the rendering of a page; None if they cannot be known."""
    request = getattr(context, "request", None) or context.get("request")
    if request is None:
        raise ImproperlyConfigured(
            f"{{% {tag} %}} needs the request: render the page with render(request, ...), or add the context processor "
            "'django.template.context_processors.request' to TEMPLATES."
        )
    budget = budget_of(request)
    # The state of the outermost template, which those that it includes share.
    page: dict[Any, Any] = context.render_context.dicts[:2][-1]
    key = (__name__, budget)
    if key not in page:
        page[key] = _asked(tag, budget)
    accounts: Sequence[AccountStatus] | None = page[key]
    return accounts


def _asked(tag: str, budget: RequestBudget) -> Sequence[AccountStatus] | None:
    try:
        return budget.status()
    except BudgetUnavailableError:
        return None  # the page goes on; the guard has logged it
    except SynchronousOnlyOperation as error:
        raise ImproperlyConfigured(
            f"{{% {tag} %}} cannot load the user in an async view: pass statuses=statuses, from "
            "await request.budget.astatus()."
        ) from error


def _checked(tag: str, statuses: Any) -> Sequence[AccountStatus] | None:
    if statuses is None:
        return None
    if isinstance(statuses, (list, tuple)) and all(isinstance(status, AccountStatus) for status in statuses):
        return statuses
    raise TemplateSyntaxError(
        f"{tag}: statuses must be what await request.budget.astatus() returns, or None, not {statuses!r:.80}; is the "
        "variable in the context?"
    )


def _one_of(kind: type[Name], value: str, what: str) -> Name:
    if value in tuple(kind):
        return kind(value)
    known = ", ".join(repr(name.value) for name in kind)
    raise TemplateSyntaxError(f"{what} must be one of {known}, not {value!r:.80}.")
