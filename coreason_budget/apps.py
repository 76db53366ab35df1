"""The app's configuration for Django."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CoreasonBudgetConfig(AppConfig):
    """Connects receivers and registers checks. It makes no query and opens no connection."""

    name = "coreason_budget"
    verbose_name = _("LLM budgets")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks and connect what reacts to saved rows and to requests."""
        from . import checks, receivers
        from .alerts import mails

        checks.connect()
        receivers.connect()
        mails.connect()
