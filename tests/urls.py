"""URLs of the test suite: the admin. Tests that need views of their own name another ROOT_URLCONF."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
