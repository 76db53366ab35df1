"""The pages of the example site: Django's admin, where limits, prices and spend records are."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
