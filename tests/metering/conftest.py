"""The managers and drivers of the contract tests, and calls whose provider is a function of the test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.conftest import budget, clock, make
from tests.contract.tools import held, spent

from .caller import Caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreason_budget import BudgetManager
    from tests.conftest import Backend, Driver

__all__ = ["budget", "clock", "make"]


@pytest.fixture(params=["fake", "real"])
def backend(request: pytest.FixtureRequest, settings: Any) -> Backend:
    """Run on the in-memory server and on Valkey: nothing here speaks to the server in words of its own."""
    from tests.conftest import fake_backend, server_backend

    made = fake_backend() if request.param == "fake" else server_backend("real", request.getfixturevalue("real_server"))
    settings.CACHES = {**settings.CACHES, "default": made.alias}
    return made


@pytest.fixture
def caller(driver: Driver, budget: BudgetManager) -> Caller:
    return Caller(driver, budget)


@pytest.fixture
def figures(driver: Driver, budget: BudgetManager) -> Callable[[], tuple[str, str]]:
    """Return what ann has spent and holds, in USD."""

    def of() -> tuple[str, str]:
        budget.flush(10)
        return spent(driver, budget, "ann"), held(driver, budget, "ann")

    return of
