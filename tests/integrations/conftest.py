"""A ledger, sites and people for calls through the integrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.http.conftest import ann, clock, ledger, native_site, runner, store, warnings_of_the_app

from .bench import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Driver
    from tests.http.site import Ledger
    from tests.upstream import Upstream

__all__ = ["ann", "clock", "ledger", "native_site", "runner", "store", "warnings_of_the_app"]


@pytest.fixture
def bench(driver: Driver, ledger: Ledger, upstream: Upstream, transactional_db: None) -> Iterator[Bench]:
    """Call litellm on a budget, sync and async, with the upstream as the provider."""
    ledger.configure(daily_user_limit_usd="100", daily_project_limit_usd="100", daily_global_limit_usd="100")
    made = Bench(driver, ledger, upstream)
    yield made
    made.end()
