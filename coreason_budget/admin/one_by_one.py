"""Actions that book something for each of their rows at once: what fails is told and undoes nothing of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib import messages
from django.utils.html import format_html, format_html_join

from ..exceptions import BudgetError, BudgetUnavailableError
from . import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.contrib import admin
    from django.http import HttpRequest

__all__ = ["EveryDatabase", "Problems", "one_by_one", "tell_problems"]

T = TypeVar("T")

#: What was not done, by its name, and why.
Problems = list[tuple[str, str]]


class EveryDatabase(frozenset[str]):
    """The aliases of all databases, whatever they are: for a view that is in no transaction of its request."""

    def __contains__(self, alias: object) -> bool:
        return True


def one_by_one(rows: Sequence[T], named: Callable[[T], str], work: Callable[[T], str]) -> Problems:
    """
    Do some work for each row, and return for which it was not done.

    ``work`` returns an objection, empty if it has done it, or raises BudgetError. The first BudgetUnavailableError ends
    it all: it will not be better for the others, and each would wait for it.
    """
    problems: Problems = []
    for number, row in enumerate(rows):
        try:
            problem = work(row)
        except BudgetUnavailableError as error:
            return [*problems, *((named(each), str(error)) for each in rows[number:])]
        except BudgetError as error:
            problem = str(error)
        if problem:
            problems.append((named(row), problem))
    return problems


def tell_problems(model_admin: admin.ModelAdmin[Any], request: HttpRequest, said: str, problems: Problems) -> None:
    """Show what was not done, below a line that says so."""
    lines = format_html_join("", "<br>{}: {}", ((words.named(name), why) for name, why in problems))
    model_admin.message_user(request, format_html("{}{}", said, lines), messages.WARNING)
