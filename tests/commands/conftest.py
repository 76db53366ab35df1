"""A budget for commands to work on, at noon of a day to come, and none that answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coreason_budget import BudgetConfig, BudgetManager, service

from ..conftest import django_redis_alias
from ..contract.tools import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django import Settings

    from ..conftest import Backend


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def budget(backend: Backend, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[BudgetManager]:
    """Return the project's manager, at noon of a day to come."""
    manager = BudgetManager(
        BudgetConfig(daily_user_limit_usd="1", daily_project_limit_usd="3", daily_global_limit_usd="100"), clock=clock
    )
    monkeypatch.setattr(service, "_manager", manager)
    yield manager
    manager.close_sync()


@pytest.fixture
def unreachable(settings: Settings) -> None:
    """Have nobody listen where Redis should be."""
    settings.CACHES = {**settings.CACHES, "default": django_redis_alias("redis://127.0.0.1:1/0")}
