"""Serves the site on a thread of its own, in the process that has set its clock."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

import uvicorn

from ..serving import address_of, listen

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["serving"]


@contextmanager
def serving(application: str) -> Iterator[str]:
    """Serve an ASGI application (module:name) on a free port of this machine, and yield its address."""
    with listen("127.0.0.1", [0]) as listener:
        config = uvicorn.Config(application, log_config=None, access_log=False, lifespan="off", ws="none")
        server = uvicorn.Server(config)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]}, name="site")
        thread.start()
        try:
            yield address_of(listener)
        finally:
            server.should_exit = True
            thread.join()
