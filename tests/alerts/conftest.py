"""Mail as the tests of alerts send it, in the words of the Django that they run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import django
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_django import Settings

IN_MEMORY = "django.core.mail.backends.locmem.EmailBackend"


@pytest.fixture
def send_by(settings: Settings) -> Callable[[str], None]:
    """Send mails by a backend: ``send_by("package.module.Backend")``. Before Django 6.1 it was a setting of its own."""

    def use(backend: str) -> None:
        if django.VERSION < (6, 1):
            settings.EMAIL_BACKEND = backend
        else:
            settings.MAILERS = {"default": {"BACKEND": backend}}

    return use


@pytest.fixture(autouse=True)
def outbox(send_by: Callable[[str], None]) -> None:
    """Keep what is sent in ``mail.outbox``."""
    send_by(IN_MEMORY)
