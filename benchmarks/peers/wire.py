"""A TCP proxy that counts, at the wire, the commands that a client sends and how often it waits for an answer."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["DIALECTS", "CountingProxy", "Traffic"]

HOST: Final = "127.0.0.1"
CHUNK: Final = 65_536
#: Codes in the place of a protocol version that ask PostgreSQL for encryption; what follows is a beginning again.
ENCRYPTION: Final = {80_877_103, 80_877_104}


@dataclass(frozen=True, slots=True)
class Traffic:
    """Commands that were sent, and round trips: how often a client sent something and then waited."""

    commands: int = 0
    trips: int = 0


class CountingProxy:
    """A proxy in front of a server on this machine. ``dialect`` is the language that is spoken, a key of DIALECTS."""

    def __init__(self, port: int, dialect: str) -> None:
        self._target = (HOST, port)
        self._reader = DIALECTS[dialect]
        self._lock = threading.Lock()
        self._commands = 0
        self._trips = 0
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True, name="counting-proxy").start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            sockets = [self._listener, *self._sockets]
        for each in sockets:
            _close(each)

    def take(self) -> Traffic:
        """Return what was counted since the last time."""
        with self._lock:
            taken = Traffic(self._commands, self._trips)
            self._commands = self._trips = 0
        return taken

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._sockets |= {client, server}
                _Connection(client, server, self._reader(), self._count)

    def _count(self, commands: int, trips: int) -> None:
        with self._lock:
            self._commands += commands
            self._trips += trips


class _Connection:
    """One client's connection, copied both ways."""

    def __init__(
        self, client: socket.socket, server: socket.socket, reader: _Reader, count: Callable[[int, int], None]
    ) -> None:
        self._client, self._server, self._reader, self._count = client, server, reader, count
        self._waiting = False
        for copy in (self._requests, self._answers):
            threading.Thread(target=copy, daemon=True, name="counting-proxy").start()

    def _requests(self) -> None:
        for chunk in _chunks(self._client, self._server):
            self._count(self._reader.read(chunk), 0 if self._waiting else 1)
            self._waiting = True
            self._server.sendall(chunk)

    def _answers(self) -> None:
        for chunk in _chunks(self._server, self._client):
            self._waiting = False
            self._client.sendall(chunk)


def _chunks(source: socket.socket, sink: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        while chunk := source.recv(CHUNK):
            yield chunk
    _close(sink)


def _close(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()


class _Reader:
    """Finds the commands in what a client sends, however it is cut into chunks."""

    def __init__(self) -> None:
        self._unread = b""

    def read(self, chunk: bytes) -> int:
        """Return how many commands are complete with this chunk."""
        self._unread += chunk
        commands = 0
        while message := self._message():
            length, is_command = message
            self._unread = self._unread[length:]
            commands += is_command
        return commands

    def _message(self) -> tuple[int, bool] | None:
        """Return the length of the first message and whether it is a command, or None if it is not complete."""
        raise NotImplementedError


class Resp(_Reader):
    """The language of Redis: an array of strings is a command."""

    def _message(self) -> tuple[int, bool] | None:
        head = re.match(rb"\*(\d+)\r\n", self._unread)
        if head is None:
            return None
        at = head.end()
        for _ in range(int(head[1])):
            size = re.compile(rb"\$(\d+)\r\n").match(self._unread, at)
            if size is None:
                return None
            at = size.end() + int(size[1]) + len(b"\r\n")
        return (at, True) if at <= len(self._unread) else None


class Postgres(_Reader):
    """The language of PostgreSQL: a query of text, or the execution of a prepared one, is a command."""

    def __init__(self) -> None:
        super().__init__()
        self._begun = False

    def _message(self) -> tuple[int, bool] | None:
        kind = 1 if self._begun else 0
        if len(self._unread) < kind + 8 - 4 * self._begun:
            return None
        length = kind + int.from_bytes(self._unread[kind : kind + 4], "big")
        if length > len(self._unread):
            return None
        if not self._begun:
            self._begun = int.from_bytes(self._unread[4:8], "big") not in ENCRYPTION
            return length, False
        return length, self._unread[:1] in b"QE"


DIALECTS: Final[dict[str, type[_Reader]]] = {"redis": Resp, "postgres": Postgres}
