"""What litellm leaves behind in a process that calls it, kept from the tests: warnings, event loops, open sockets."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["WARNS", "litellms_loop", "swept"]

#: It makes pydantic warn when its classes are first used, and by how it looks at them.
WARNS = [
    pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_.*fields' attribute:DeprecationWarning"),
    # Its worker for logs and its clients belong to an event loop and are not ended with it.
    pytest.mark.filterwarnings("ignore:coroutine 'LoggingWorker:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.usefixtures("litellms_loop", "swept"),
]


@pytest.fixture
def litellms_loop() -> Iterator[None]:
    """litellm makes an event loop for threads that have none, and leaves it open; let it find one that is closed."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture(scope="module")
def swept() -> Iterator[None]:
    """Collect what litellm leaves open while its tests run, or tests of others find it."""
    yield
    litellm: Any = sys.modules.get("litellm")
    if litellm is not None:
        litellm.in_memory_llm_clients_cache.flush_cache()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    gc.freeze()  # litellm itself stays, and is large
