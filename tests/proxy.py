"""A TCP proxy in front of a Redis server that loses, delays and holds up what a test tells it to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import BufferedReader

_HOST: Final = "127.0.0.1"


class _Mode(Enum):
    FORWARD = auto()
    BLACK_HOLE = auto()


class _LostError(Exception):
    """The connection ends here, on purpose or not."""


@dataclass(eq=False)
class Rule:
    """What happens to the next requests that contain ``matching``. A test may wait for it and let go of it."""

    matching: bytes
    left: int | None
    executed: bool = False
    silent: bool = False
    lose: bool = False
    seconds: float | None = None
    hits: int = 0
    _hit: threading.Event = field(default_factory=threading.Event)
    _open: threading.Event = field(default_factory=threading.Event)

    def wait(self, timeout: float = 10) -> None:
        """Wait until the rule has met its first request. Raise TimeoutError if none comes."""
        if not self._hit.wait(timeout):
            raise TimeoutError(f"No request with {self.matching!r} came within {timeout} s.")

    def release(self) -> None:
        """Let requests go on that are held up, and those that would be."""
        self._open.set()


class TcpProxy:
    """
    A proxy that reads whole requests and whole replies, one at a time on each connection.

    Rules count down over all connections and are asked in the order in which they were made; the first that matches
    a request decides. ``requests`` holds every request that came in, as raw RESP. Push messages (pub/sub) are not
    understood, and a client learns of a server's end with its next request (or by ``close_connections``).
    """

    def __init__(self, port: int) -> None:
        self.target = (_HOST, port)
        self.requests: deque[bytes] = deque()
        self._rules: list[Rule] = []
        self._mode = _Mode.FORWARD
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._listener: socket.socket | None = None
        self.port = 0
        self._listen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"redis://{_HOST}:{self.port}/0"

    def seen(self, matching: bytes) -> int:
        """Return how many requests came in that contain these bytes."""
        return sum(matching in request for request in tuple(self.requests))

    def drop_replies(self, number: int = 1, *, matching: bytes = b"", silent: bool = False) -> Rule:
        """Let the server execute the next requests and lose its replies; the connection closes, or stays silent."""
        return self._add(Rule(matching, number, executed=True, silent=silent, lose=True))

    def drop_requests(self, number: int = 1, *, matching: bytes = b"", silent: bool = False) -> Rule:
        """Lose the next requests before the server sees them."""
        return self._add(Rule(matching, number, silent=silent, lose=True))

    def hold_requests(self, number: int | None = None, *, matching: bytes = b"") -> Rule:
        """Keep the next requests (None: all) from the server until the rule is released."""
        return self._add(Rule(matching, number))

    def hold_replies(self, number: int | None = None, *, matching: bytes = b"") -> Rule:
        """Let the server execute the next requests and keep its replies until the rule is released."""
        return self._add(Rule(matching, number, executed=True))

    def delay(self, seconds: float, number: int | None = None, *, matching: bytes = b"") -> Rule:
        """Pass the next requests (None: all) on after a while."""
        return self._add(Rule(matching, number, seconds=seconds))

    def black_hole(self) -> None:
        """Accept connections and answer nothing, on those that are open too, until ``restore``."""
        self._mode = _Mode.BLACK_HOLE

    def refuse(self) -> None:
        """Refuse new connections and close those that are open, until ``restore``."""
        self._stop_listening()
        self.close_connections()

    def restore(self) -> None:
        """Forward again: forget all rules and modes. Connections that were in a black hole are closed."""
        with self._lock:
            rules, self._rules = self._rules, []
        for rule in rules:
            rule.release()
        if self._mode is _Mode.BLACK_HOLE:
            self._mode = _Mode.FORWARD
            self.close_connections()
        if self._listener is None:
            self._listen()

    def close_connections(self) -> None:
        """Close every connection, as a server that restarts does. New ones are accepted."""
        with self._lock:
            sockets = tuple(self._sockets)
        for each in sockets:
            _shut(each)

    def close(self) -> None:
        """End everything and wait for the threads."""
        self._closing.set()
        self._stop_listening()
        with self._lock:
            rules, self._rules = self._rules, []
        for rule in rules:
            rule.release()
        self.close_connections()
        while self._threads:
            with contextlib.suppress(KeyError):
                self._threads.pop().join(10)

    def _add(self, rule: Rule) -> Rule:
        with self._lock:
            self._rules.append(rule)
        return rule

    def _listen(self) -> None:
        self._listener = socket.create_server((_HOST, self.port), reuse_port=False)
        self.port = self._listener.getsockname()[1]
        self._start(self._accept, self._listener)

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            _shut(listener)
            listener.close()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True, name=f"proxy-{self.port}")
        self._threads.add(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError, _LostError), contextlib.ExitStack() as stack:
            self._own(client, stack)
            requests = stack.enter_context(client.makefile("rb"))
            self._converse(client, requests, stack)

    def _converse(self, client: socket.socket, requests: BufferedReader, stack: contextlib.ExitStack) -> None:
        server: socket.socket | None = None
        replies: BufferedReader | None = None
        while True:
            request = read_message(requests)
            self.requests.append(request)
            rule = self._rule_for(request)
            if self._mode is _Mode.BLACK_HOLE:
                self._swallow(requests)
            if rule is not None and not rule.executed:
                self._apply(rule, requests)
            if server is None or replies is None:
                server = socket.create_connection(self.target)
                self._own(server, stack)
                replies = stack.enter_context(server.makefile("rb"))
            server.sendall(request)
            reply = read_message(replies)
            if rule is not None and rule.executed:
                rule._hit.set()
                self._apply(rule, requests)
            if self._mode is _Mode.BLACK_HOLE:
                self._swallow(requests)
            client.sendall(reply)

    def _own(self, each: socket.socket, stack: contextlib.ExitStack) -> None:
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._sockets.add(each)
        stack.callback(self._disown, each)
        if self._closing.is_set():
            raise _LostError

    def _disown(self, each: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(each)
        _shut(each)
        each.close()

    def _rule_for(self, request: bytes) -> Rule | None:
        with self._lock:
            for rule in self._rules:
                if rule.left != 0 and rule.matching in request:
                    rule.left = None if rule.left is None else rule.left - 1
                    rule.hits += 1
                    if not rule.executed:
                        rule._hit.set()
                    return rule
        return None

    def _apply(self, rule: Rule, requests: BufferedReader) -> None:
        if rule.lose:
            if rule.silent:
                self._swallow(requests)
            raise _LostError
        rule._open.wait(rule.seconds)

    def _swallow(self, requests: BufferedReader) -> None:
        while requests.read1():
            pass
        raise _LostError


def read_message(stream: BufferedReader) -> bytes:
    """Return one whole RESP message (a request, or a reply of RESP 2 or 3) as its raw bytes."""
    return b"".join(_message(stream))


def _message(stream: BufferedReader) -> Iterator[bytes]:
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise _LostError
    yield line
    kind, size = line[:1], line[1:-2]
    if kind in b"$=!" and int(size) >= 0:
        body = stream.read(int(size) + 2)
        if len(body) < int(size) + 2:
            raise _LostError
        yield body
    elif kind in b"*~>":
        for _ in range(int(size)):
            yield from _message(stream)
    elif kind in b"%|":
        for _ in range(2 * int(size)):
            yield from _message(stream)
        if kind == b"|":
            yield from _message(stream)


def _shut(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
