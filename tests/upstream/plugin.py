"""The fixture ``upstream``: a provider of LLMs on loopback, fresh for every test, on a server that the run shares."""

from __future__ import annotations

import inspect
import sys
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


@pytest.fixture
def litellm_clients() -> Iterator[None]:
    """Close the clients that litellm keeps for later calls: their connections would be open when the run ends."""
    yield
    cache = sys.modules["litellm"].in_memory_llm_clients_cache
    for client in list(cache.cache_dict.values()):
        close = getattr(client, "close", None)
        if close is not None and not inspect.iscoroutinefunction(close):
            close()
    cache.flush_cache()
