"""The app's configuration for Django."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CoreasonBudgetConfig(AppConfig):
    """Connects receivers and checks. It makes no query and opens no connection."""

    name = "coreason_budget"
    verbose_name = _("LLM budgets")
    default_auto_field = "django.db.models.BigAutoField"
