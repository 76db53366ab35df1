"""The sites, people and ledger of the tests of views, for frameworks on top of Django."""

from __future__ import annotations

from typing import Any

import pytest

from tests.http.conftest import (  # noqa: F401 - fixtures
    ann,
    async_site,
    ben,
    clock,
    commands,
    ledger,
    native_site,
    plain_site,
    quiet_loops,
    rest_site,
    runner,
    site,
    store,
    warnings_of_the_app,
)

from .operations import AsyncBearer, Bearer


@pytest.fixture(params=[Bearer, AsyncBearer])
def bearer(request: pytest.FixtureRequest) -> Any:
    return request.param()
