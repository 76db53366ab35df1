"""Serves the site from this process, until Ctrl-C."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import uvicorn
from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PORTS", "address_of", "listen", "serve"]

PORTS: Final = range(8000, 8020)  # where the site may be if nobody says where
UNFINISHED: Final = 3  # seconds that answers under way have when the site ends


def listen(host: str, ports: Sequence[int]) -> socket.socket:
    """
    Return a socket that listens on the first of these ports that is free.

    It is taken before there is anything to serve, so that nobody else can have it meanwhile; who connects waits.
    Raise OSError, whose message names the remedy, if it cannot be had.
    """
    for port in ports:
        try:
            return _listener(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise OSError(f"The site cannot be at {host}, port {port}: {error.strerror}.") from error
    taken = f"Port {ports[0]} is" if len(ports) == 1 else f"The ports {ports[0]} to {ports[-1]} are"
    raise OSError(f"{taken} taken. Name another: --port {ports[-1] + 1}, or --port 0 for any that is free.")


def address_of(listener: socket.socket) -> str:
    """Return the address of the site as a browser on this machine takes it."""
    host, port = listener.getsockname()[:2]
    address = ip_address(host)
    if address.is_unspecified:
        return f"http://localhost:{port}/"
    return f"http://[{host}]:{port}/" if address.version == 6 else f"http://{host}:{port}/"  # noqa: PLR2004


def serve(application: str, listener: socket.socket) -> None:
    """Serve an ASGI application (module:name) until Ctrl-C or SIGTERM."""
    if not ip_address(listener.getsockname()[0]).is_loopback:
        settings.ALLOWED_HOSTS.append("*")  # others may know this machine by any name
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        lifespan="off",  # Django has none
        ws="none",
        timeout_graceful_shutdown=UNFINISHED,
    )
    with suppress(KeyboardInterrupt):  # uvicorn has ended when it passes the signal on
        uvicorn.Server(config).run(sockets=[listener])


def _listener(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    return socket.create_server((str(address[0]), port), family=family)
