"""The pages of the example, as its own urls.py has them; here its apps are known by longer names."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("", include("example_project.chat.urls")), path("admin/", admin.site.urls)]
