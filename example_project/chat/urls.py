"""The pages of the chat, and logging in and out."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.templatetags.static import static
from django.urls import path, register_converter, reverse_lazy
from django.utils.functional import lazy
from django.views.generic import RedirectView

from . import views
from .roster import PROJECTS


class ProjectConverter:
    """One of the projects; anything else is no address of this site."""

    regex = "|".join(PROJECTS)

    def to_python(self, value: str) -> str:
        """Return the project's id."""
        return value

    def to_url(self, value: str) -> str:
        """Return the project's id."""
        return value


register_converter(ProjectConverter, "project")
FIRST = next(iter(PROJECTS))

urlpatterns = [
    path("", RedirectView.as_view(url=reverse_lazy("chat", args=[FIRST])), name="home"),
    path("<project:project>/", views.ChatPage.as_view(), name="chat"),
    path("<project:project>/stream/", views.stream, name="stream"),
    path("<project:project>/budget/", views.budget, name="budget"),
    path("login/", LoginView.as_view(template_name="chat/login.html", redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("favicon.ico", RedirectView.as_view(url=lazy(static, str)("chat/icon.svg"))),
]
