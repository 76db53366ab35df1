"""The example's chat in this process: its pages, a visitor, and budgets of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from ..conftest import fake_backend
from .places import EXAMPLE

if TYPE_CHECKING:
    from pytest_django import Settings


@pytest.fixture
def chat(settings: Settings, transactional_db: None) -> None:
    """Serve the chat, with a make-believe model that speaks at once and 10 USD a day for everybody."""
    settings.ROOT_URLCONF = "tests.example.urls"
    settings.LOGIN_URL, settings.LOGIN_REDIRECT_URL, settings.LOGOUT_REDIRECT_URL = "login", "home", "login"
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [EXAMPLE / "chat" / "templates"]}]
    settings.MIDDLEWARE = [
        "example_project.chat_site.policy.content_security_policy",
        *settings.MIDDLEWARE,
    ]
    settings.CHAT_MODEL, settings.CHAT_PIECE_DELAY = None, 0
    settings.CACHES = {**settings.CACHES, "default": fake_backend().alias}


@pytest.fixture
def alice(chat: None) -> User:
    """A visitor."""
    return User.objects.create_user("alice", password="secret")


@pytest.fixture
def browser(alice: User) -> Client:
    """Alice's browser, logged in."""
    client = Client(headers={"Accept": "text/html"})
    client.force_login(alice)
    return client


@pytest.fixture
def script(browser: Client) -> AsyncClient:
    """What Alice's browser sends when a script does it."""
    client = AsyncClient(headers={"Accept": "application/x-ndjson, application/problem+json"})
    client.cookies = browser.cookies
    return client
