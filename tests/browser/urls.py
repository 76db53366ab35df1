"""The pages of the example site, and one whose budget cannot be checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.urls import path

from chat_site.urls import urlpatterns as of_the_example
from coreason_budget import BudgetUnavailableError, budgeted

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@budgeted
def unavailable(request: HttpRequest) -> HttpResponse:
    """Find that nobody answers."""
    raise BudgetUnavailableError("Nobody answers.")


urlpatterns = [path("unavailable/", unavailable), *of_the_example]
