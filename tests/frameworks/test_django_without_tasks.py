"""A Django that is older than its tasks."""

from __future__ import annotations

import sys
from importlib import import_module

import django
import pytest


def test_it_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "django.tasks", None)
    monkeypatch.delitem(sys.modules, "coreason_budget.integrations.tasks", raising=False)

    with pytest.raises(ImportError) as refused:
        import_module("coreason_budget.integrations.tasks")

    assert str(refused.value) == (
        "coreason_budget.integrations.tasks needs django.tasks, which comes with Django 6.0; this is Django "
        f"{django.__version__}. Upgrade it, or use Celery with coreason_budget.integrations.celery."
    )
