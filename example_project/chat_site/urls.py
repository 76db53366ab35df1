"""The pages of the example site: the chat, and Django's admin, where limits, prices and spend records are."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("", include("chat.urls")), path("admin/", admin.site.urls)]
