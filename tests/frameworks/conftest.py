"""The sites, people and ledger of the tests of views, for frameworks on top of Django."""

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
