"""A server that reads its data after a start: unavailable until it has, and exact afterwards."""

from __future__ import annotations

import secrets
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from coreason_budget.exceptions import BudgetUnavailableError
from coreason_budget.models import SpendRecord

from ..waiting import until
from .conftest import booked, standing, within

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreason_budget.manager import BudgetManager

    from ..conftest import Driver
    from ..servers import RealServer

pytestmark = pytest.mark.django_db(transaction=True)


def answer(server: RealServer, command: bytes) -> bytes:
    """Send a command and return what comes back, empty if nobody answers."""
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(command + b"\r\n")
            return connection.recv(64)
    except OSError:
        return b""


def is_loading(server: RealServer) -> bool:
    return answer(server, b"PING").startswith(b"-LOADING")


def test_a_server_that_is_loading_is_unavailable_and_what_is_charged_meanwhile_counts(
    new_server: Callable[..., RealServer],
    use_server: Callable[[RealServer], None],
    new_manager: Callable[..., BudgetManager],
    driver: Driver,
) -> None:
    server = new_server(options={"loading-process-events-interval-bytes": "1024"})
    use_server(server)
    manager = new_manager(timeout=2)  # it answers, only slowly
    driver(manager, "charge", "ann", "1")
    hold = driver(manager, "reserve", "ann", amount="2")
    assert manager.flush(5)
    with server.client() as client:
        client.mset({f"cache:{number}": secrets.token_hex(60) for number in range(1500)})  # nothing to compress
    server.save()
    server.stop()
    server.options["key-load-delay"] = "10000"  # microseconds: it takes until it is told to go on
    start = threading.Thread(target=server.start)
    start.start()
    until(lambda: is_loading(server))

    try:
        with within(4), pytest.raises(BudgetUnavailableError, match="BusyLoadingError"):
            driver(manager, "reserve", "ann", amount="2")
        with within(4):
            assert driver(hold, "charge", cost="0.5", charge_id="while loading").counted is False
        assert is_loading(server)
    finally:
        assert answer(server, b"CONFIG SET key-load-delay 0") == b"+OK\r\n"
        start.join()

    assert manager.flush(5)
    manager.guard.housekeeper.tick()
    assert standing(driver, manager) == (1_500_000_000, 0)  # the hold is lost with the run that kept it
    assert booked() == 1_500_000_000
    assert SpendRecord.objects.filter(charge_id="while loading", journal_id=0).count() == 1
