"""django-openrouter's hold: a row in the request log under a lock of the profile's row, corrected after the call."""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from .turns import STORE, Adapter, Way, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def _configure() -> None:
    store = urlsplit(STORE)
    settings.configure(
        SECRET_KEY="only for benchmarks",  # noqa: S106 - there is nothing to protect
        USE_TZ=True,
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django_openrouter",
        ],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "HOST": store.hostname,
                "PORT": store.port,
                "USER": store.username,
                "NAME": store.path.strip("/"),
                "CONN_MAX_AGE": None,
            }
        },
    )
    django.setup()
    call_command("migrate", verbosity=0)


class Peer(Adapter):
    """Its hold of a profile; there is no user, no project and no site beside that."""

    distribution = "django-openrouter"
    client = "psycopg"

    def __init__(self) -> None:
        _configure()
        from django_openrouter.exceptions import BudgetExceeded

        self.refusals = (BudgetExceeded,)

    def open(self, user: str, limit: str, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> dict[str, Way]:
        """Return the one way of a new profile; its async client holds in a thread, by the same function."""
        del run
        from django_openrouter.log_backends import dispatch_log, make_record, set_active_reservation
        from django_openrouter.models import OpenRouterModel, UsageProfile
        from django_openrouter.rules import reserve_request

        model, _ = OpenRouterModel.objects.get_or_create(model_id="benchmark", name="benchmark")
        profile = UsageProfile.objects.create(name=user, model=model, budget_usd_per_day=Decimal(limit))

        def ping() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")

        def call(estimate: str, cost: str, during: Callable[[], None]) -> None:
            if threading.current_thread() is threading.main_thread():
                hold(estimate, cost, during)
                return
            with closing(connection):  # as Django does for a thread that ends with its request
                hold(estimate, cost, during)

        def hold(estimate: str, cost: str, during: Callable[[], None]) -> None:
            row = reserve_request(profile, model, estimated_cost=Decimal(estimate))
            set_active_reservation(row.pk, budgeted=True)
            during()
            dispatch_log(
                make_record(
                    profile=profile,
                    model=model,
                    status_code=200,
                    error_message=None,
                    prompt_tokens=0,
                    completion_tokens=1,
                    cost_usd=Decimal(cost),
                    latency_ms=0,
                )
            )

        return {"sync": Way(ping, call)}


if __name__ == "__main__":
    logging.basicConfig()
    serve(Peer())
