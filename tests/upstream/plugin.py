"""The fixture ``upstream``: a provider of LLMs on loopback, fresh for every test, on a server that the run shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .server import UpstreamServer
    from .stage import Upstream


@pytest.fixture(scope="session")
def upstream_server() -> Iterator[UpstreamServer]:
    """The server of the whole run. Use ``upstream``."""
    from .server import UpstreamServer

    with UpstreamServer() as server:
        yield server


@pytest.fixture
def upstream(upstream_server: UpstreamServer) -> Iterator[Upstream]:
    """A provider for this test alone: ``upstream.will(Answer(...))``, then ``upstream.exchange()``."""
    with upstream_server.upstream() as made:
        yield made
