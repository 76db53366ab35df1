"""A ledger, sites and people, and clients that call the upstream."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.http.conftest import (
    ann,
    clock,
    commands,
    ledger,
    native_site,
    quiet_loops,
    runner,
    store,
    warnings_of_the_app,
)

from .desk import Desk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Driver
    from tests.http.site import Ledger
    from tests.upstream import Upstream

__all__ = [
    "ann",
    "clock",
    "commands",
    "ledger",
    "native_site",
    "quiet_loops",
    "runner",
    "store",
    "warnings_of_the_app",
]


@pytest.fixture
def desk(driver: Driver, ledger: Ledger, upstream: Upstream, transactional_db: None) -> Iterator[Desk]:
    """Call the SDKs on a budget, sync and async, with the upstream as the provider."""
    ledger.configure(daily_user_limit_usd="100", daily_project_limit_usd="100", daily_global_limit_usd="100")
    with contextlib.closing(Desk(driver, ledger, upstream)) as made:
        yield made
