"""A real PostgreSQL as a child process, which a test may stop, kill and start again, and look at as its superuser."""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import psycopg

from ..programs import find_program
from ..servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The role that Django logs in as: it may create databases and is nobody special, so that limits hold for it.
ROLE: Final = "app"

_POLL: Final = 0.01
_READY_WITHIN: Final = 20.0
#: Becomes PostgreSQL. Beside it waits who sees standard input end when the run does, even if that was killed, and then
#: stops the server and removes its directory, $0; a line of input says that others have done it.
_START: Final = """
( {
    read -r _ && exit
    kill -QUIT $$
    for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 $$ || break; sleep 0.2; done
    rm -rf "$0"
} <&3 3<&- 2>/dev/null & ) 3<&0
exec "$@" </dev/null
"""
_OPTIONS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",  # a machine that crashes is no fault that is tested; a server that is killed still has its commits
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "16MB",
    "deadlock_timeout": "200ms",
}


class PostgresServer:
    """
    A server on a free port of 127.0.0.1 that keeps its data in a directory of its own and trusts everybody.

    It ends with the process that started it, however that ends.

    ``options`` are settings of the server, such as ``{"max_connections": "10"}``. PostgreSQL refuses to be run by
    root; then it is run as the user that Debian's package made for it.
    """

    def __init__(self, *, options: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.options = {**_OPTIONS, "port": str(self.port), **(options or {})}
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.discard()

    def __repr__(self) -> str:
        return f"<PostgreSQL on port {self.port}, {'running' if self.is_running else 'down'}>"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def home(self) -> Path:
        """Its directory. Raise RuntimeError if it was not started."""
        if self._home is None:
            raise RuntimeError(f"{self!r} was not started.")
        return self._home

    def start(self) -> Self:
        """Start with the data that is in the directory, made at first need, and wait until the server answers."""
        if self._home is None:
            self._initialise()
        server = [_program("postgres"), "-D", self._data(), *_settings(self.options)]
        with self._log().open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _START, str(self.home), *server],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # what is typed at the terminal is not for it
                **_unprivileged(),
            )
        self._await_ready()
        return self

    def stop(self) -> None:
        """End the server in good order, but at once (SIGINT): it terminates its connections and wait for it."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End the server and all its processes without a warning (SIGKILL)."""
        children = self._children()
        self._end(signal.SIGKILL)
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def discard(self) -> None:
        """Kill the server if it runs and remove its directory. A forked child has no say in it."""
        if os.getpid() != self._owner:
            return
        self.kill()
        atexit.unregister(self.discard)
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    @contextlib.contextmanager
    def admin(self, database: str = "postgres") -> Iterator[psycopg.Connection[Any]]:
        """Connect as the superuser, in autocommit."""
        with contextlib.closing(
            psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", dbname=database, autocommit=True)
        ) as connection:
            yield connection

    def _initialise(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="coreason-budget-postgres-"))
        atexit.register(self.discard)
        if "user" in _unprivileged():
            shutil.chown(self._home, **_unprivileged())
        _run("initdb", "-D", self._data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        _run("postgres", "--single", "-D", self._data(), "postgres", said=f"CREATE ROLE {ROLE} LOGIN CREATEDB\n")

    def _data(self) -> str:
        return str(self.home / "data")

    def _log(self) -> Path:
        return self.home / "log"

    def _children(self) -> list[int]:
        if self._process is None or not self.is_running:
            return []
        pid = self._process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        process.wait(_READY_WITHIN)
        with contextlib.suppress(BrokenPipeError):
            process.communicate(b"stopped\n")

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN
        while True:
            try:
                with self.admin():
                    return
            except psycopg.OperationalError:
                if not self.is_running or time.monotonic() > deadline:
                    said = self._log().read_text(errors="replace")[-2000:]
                    self.kill()
                    raise RuntimeError(f"PostgreSQL did not start:\n{said}") from None
                time.sleep(_POLL)


def _run(program: str, *arguments: str, said: str = "") -> None:
    subprocess.run(
        [_program(program), *arguments], input=said.encode(), check=True, capture_output=True, **_unprivileged()
    )


def _program(name: str) -> str:
    """Return a program of the server's own version."""
    server = find_program("postgres")
    if server is None:
        raise RuntimeError("postgres is not installed")
    return str(Path(server).resolve().parent / name)


def _settings(options: Mapping[str, str]) -> list[str]:
    return [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]


def _unprivileged() -> dict[str, Any]:
    """Return as whom the server's programs are run: not as root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid}
