"""``path("budget/", include("coreason_budget.urls"))``: what users may ask of their own budget."""

from __future__ import annotations

from typing import Final

from django.urls import path

from .views import own_status

app_name: Final = "coreason_budget"
urlpatterns: Final = [path("status/", own_status, name="status")]
