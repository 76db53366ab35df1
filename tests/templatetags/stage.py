"""Accounts to show, and how what is shown is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.template import Context, Template
from django.test.html import parse_html

from coreason_budget import AccountStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
DAYS = {"day": 1, "week": 7, "month": 30}


def account(
    limit: str | None,
    spent: str = "0",
    held: str = "0",
    *,
    scope: str = "user",
    period: str = "day",
    subject: str = "7",
) -> AccountStatus:
    whole = None if limit is None else Decimal(limit)
    left = None if whole is None else max(Decimal(0), whole - Decimal(spent) - Decimal(held))
    resets_at = MIDNIGHT + timedelta(days=DAYS[period])
    return AccountStatus(scope, subject, period, whole, Decimal(spent), Decimal(held), left, resets_at)


def rendered(source: str, **context: Any) -> str:
    """Render a template without any request."""
    return Template("{% load coreason_budget %}" + source).render(Context(context))


def words(html: str) -> str:
    """Return the text that people read, without tags, its white space run together."""
    return " ".join(" ".join(_texts(parse_html(html))).split())


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    else:
        for child in node.children:
            yield from _texts(child)


def bar(*accounts: AccountStatus, arguments: str = "") -> str:
    return rendered("{% budget_bar " + arguments + " statuses=statuses %}", statuses=list(accounts))


def left(*accounts: AccountStatus, arguments: str = "") -> str:
    return rendered(
        "{% budget_remaining " + arguments + " statuses=statuses as left %}{{ left }}", statuses=list(accounts)
    )
