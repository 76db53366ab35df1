"""
Sets the scene of the browser tests and looks behind it, on the example site's data, in a process of its own.

It reads lines of JSON, each the name of a function and its argument, and answers each with a line.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any, Final

import django

PASSWORD: Final = "a password of the stage"


def set_up(cast: dict[str, dict[str, Any]]) -> None:
    """
    Make users: ``{"ann": {"limit": "0.05", "is_staff": True, "permissions": ["view_userlimit"]}}``.

    Limits are USD a day; all have one password.
    """
    from django.contrib.auth.hashers import make_password
    from django.contrib.auth.models import Permission, User

    from coreason_budget.models import UserLimit

    password = make_password(PASSWORD)
    for name, about in cast.items():
        limit, permissions = about.pop("limit", None), about.pop("permissions", [])
        user = User.objects.create(username=name, password=password, **about)
        if limit is not None:
            UserLimit.objects.create(user=user, amount_usd=limit)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))


def change_limit(limits: dict[str, str]) -> None:
    """Change the limits of users to these, in USD a day: ``{"ann": "2"}``."""
    from coreason_budget.models import UserLimit

    for name, amount in limits.items():
        UserLimit.objects.filter(user__username=name).update(amount_usd=amount)


def default_limit(_: None) -> str:
    """Return what a user without a limit may spend a day, as the admin says it."""
    from coreason_budget import service

    return f"${service.manager().config.limit_for('user', 'day'):.2f}"


def ask_for(models: list[str]) -> None:
    """Have calls of models asked for, of which nobody knows a price."""
    from functools import partial

    from coreason_budget import UnknownModelError, service
    from coreason_budget.refusals.recorder import flush_all

    budget = service.manager()
    for model in models:
        with suppress(UnknownModelError):
            budget.reckon(partial(budget.pricing.calculate, model, 1, 1))
    flush_all(10)


def limit_project(limits: dict[str, str]) -> None:
    """Give projects limits in USD a day: ``{"support": "5"}``."""
    from coreason_budget.models import ProjectLimit

    for project, amount in limits.items():
        ProjectLimit.objects.create(project_id=project, amount_usd=amount)


def limit_site(limits: dict[str, str]) -> None:
    """Give the site limits in USD: ``{"week": "1000"}``."""
    from coreason_budget.models import GlobalLimit

    for period, amount in limits.items():
        GlobalLimit.objects.create(period=period, amount_usd=amount)


def price(models: dict[str, str]) -> None:
    """Give models prices in USD per million tokens, the same for prompts and answers: ``{"gpt": "2.5"}``."""
    from coreason_budget.models import ModelPrice

    for model, usd in models.items():
        ModelPrice.objects.create(model=model, input_usd_per_million=usd, output_usd_per_million=usd)


def charge(spends: list[dict[str, str]]) -> None:
    """Book costs: ``[{"user": "ann", "cost": "0.01", "project": "support", "charge_id": "first"}]``."""
    from django.contrib.auth.models import User

    from coreason_budget import service

    for spend in spends:
        user = User.objects.get(username=spend.pop("user"))
        service.charge(user.pk, spend.pop("cost"), spend.pop("project", None), **spend)


def hold(holds: list[dict[str, str]]) -> None:
    """Hold amounts for ten minutes: ``[{"user": "ann", "amount": "0.01", "project": "support"}]``."""
    from django.contrib.auth.models import User

    from coreason_budget import service

    for each in holds:
        user = User.objects.get(username=each["user"])
        service.reserve(user.pk, each.get("project"), amount=each["amount"], ttl=600)


def refuse(calls: list[dict[str, str]]) -> list[str]:
    """Have calls refused, return references: ``[{"user": "ann", "amount": "5", "project": "help", "path": "/"}]``."""
    from django.contrib.auth.models import User

    from coreason_budget import BudgetExceededError, service
    from coreason_budget.refusals.places import Place, placed

    references = []
    for call in calls:
        user = User.objects.get(username=call["user"])
        try:
            with placed(Place(lambda: "chat.views.ask", call.get("path", "/"))):
                service.check(user.pk, call.get("project"), call["amount"])
        except BudgetExceededError as error:
            references.append(error.reference)
    service.manager().guard.refusals.flush(10)
    return references


def pages(_: None) -> dict[str, str]:
    """Return the address of every page of the app in the admin by its name; of those about a row, for its newest."""
    from django.contrib import admin
    from django.urls import reverse

    found = {}
    for model, model_admin in admin.site._registry.items():
        newest = model._default_manager.order_by("-pk").first()
        for pattern in model_admin.urls if model._meta.app_label == "coreason_budget" else ():
            arguments = [newest.pk] if newest and "object_id" in pattern.pattern.converters else []
            if pattern.name is not None and (arguments or "object_id" not in pattern.pattern.converters):
                name = pattern.name.removeprefix("coreason_budget_")
                found[name] = reverse(f"admin:{pattern.name}", args=arguments)
    return found


def actions(_: None) -> list[str]:
    """Return the names of what the lists of the app offer to do."""
    from django.contrib import admin

    admins = [each for model, each in admin.site._registry.items() if model._meta.app_label == "coreason_budget"]
    return sorted({action.__name__ for each in admins for action in each.actions or () if callable(action)})


def spent_today(_: None) -> str:
    """Return what all records of today sum up to (USD)."""
    from django.utils import timezone

    from coreason_budget.models import SpendRecord

    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    return f"{SpendRecord.objects.filter(at__gte=midnight).total_usd():f}"


def tell(username: str) -> dict[str, Any]:
    """Return what is known of a user: what was spent and is held today (USD), and the records."""
    from django.contrib.auth.models import User

    from coreason_budget import service
    from coreason_budget.models import SpendRecord

    user = User.objects.get(username=username)
    [today] = [item for item in service.status(user.pk) if (item.scope, item.period) == ("user", "day")]
    records = SpendRecord.objects.filter(user_id=user.pk).order_by("pk")
    return {
        "pk": user.pk,
        "limit": None if today.limit is None else f"{today.limit.normalize():f}",
        "spent": f"{today.spent.normalize():f}",
        "held": f"{today.held.normalize():f}",
        "records": [{"kind": item.kind, "cost": f"{item.cost_usd.normalize():f}"} for item in records],
    }


def main() -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)
    for line in sys.stdin:
        scene, about = json.loads(line)
        sys.stdout.write(f"{json.dumps(globals()[scene](about))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    django.setup()
    main()
