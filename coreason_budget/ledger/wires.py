"""
The connections of a process's threads to one server, and the promise that a command is answered or refused in time.

A driver's time-outs bound single steps: each address of a name, each Sentinel, each reply of a handshake; looking a
name up has none. So all that is slow, everything but a command on a connection that stands, is done on a thread of its
own and waited for only so long. One that is given up ends alone, with its connection.
"""

from __future__ import annotations

import select
import socket
import threading
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from ..exceptions import BudgetUnavailableError
from .pools import close_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis import ConnectionPool

__all__ = ["Wires", "in_time", "packed"]

T = TypeVar("T")

Poll: Any = getattr(select, "poll", None)
POLLIN: int = getattr(select, "POLLIN", 0)


class Wires:
    """Sends commands, each on a connection of its own. Who finds none free waits for one, as long as there is time."""

    def __init__(self, pool: ConnectionPool, timeout: float) -> None:
        self._pool = pool
        self._timeout = timeout
        self._idle: deque[Any] = deque()
        self._free = threading.Semaphore(pool.max_connections)
        self._closed = False

    def execute(self, args: Sequence[Any]) -> Any:
        """Send a command and return the reply. Raise what the driver raises, or TimeoutError."""
        is_free = self._free.acquire(blocking=False)
        if is_free and (wire := self._take()) is not None:
            return self._converse(wire, args)
        return in_time(lambda: self._execute_slowly(args, is_free=is_free), self._timeout)

    def close(self) -> None:
        """Close all connections; those in use once their commands have ended."""
        self._closed = True
        self._forget_idle()
        close_pool(self._pool)

    def _execute_slowly(self, args: Sequence[Any], *, is_free: bool) -> Any:
        if not is_free and not self._free.acquire(timeout=self._timeout):
            raise BudgetUnavailableError(
                f"All {self._pool.max_connections} connections to Redis were in use for {self._timeout:g} s."
            )
        try:
            wire = self._take() or self._connect()
        except BaseException:
            self._free.release()
            raise
        return self._converse(wire, args)

    def _converse(self, wire: Any, args: Sequence[Any]) -> Any:
        is_sound = False
        try:
            wire.send_packed_command([packed(args)])
            reply = wire.read_response()
            is_sound = True
        except ReadOnlyError:  # its name or Sentinel may lead to another server by now
            raise
        except ResponseError:
            is_sound = True
            raise
        finally:
            self._give_back(wire, is_sound=is_sound)
        return reply

    def _connect(self) -> Any:
        try:
            return self._pool.get_connection()
        except TypeError:  # redis-py before 5.3 wants the name of a command
            return self._pool.get_connection("_")

    def _take(self) -> Any:
        """Return a connection that stands, None if there is none."""
        while True:
            try:
                wire = self._idle.pop()
            except IndexError:
                return None
            with suppress(RedisError, OSError, ValueError):  # ValueError: another thread has just closed its socket
                if _is_quiet(wire):
                    return wire
            self._drop(wire)

    def _give_back(self, wire: Any, *, is_sound: bool) -> None:
        try:
            if is_sound and not self._closed and not _wants_to_move(wire):
                self._idle.append(wire)
            else:
                self._drop(wire)
                self._forget_idle()  # what broke one has most likely broken all
        finally:
            self._free.release()

    def _forget_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self._drop(self._idle.pop())

    def _drop(self, wire: Any) -> None:
        wire.disconnect()
        self._pool.release(wire)


def packed(args: Sequence[Any]) -> bytes:
    """Return a command as it goes over the wire; the driver's own packing takes three times as long."""
    if bytes not in map(type, args):
        text = "".join([f"${len(text)}\r\n{text}\r\n" for text in map(str, args)])
        if text.isascii():  # then lengths in characters are lengths in bytes
            return f"*{len(args)}\r\n{text}".encode()
    return _packed_one_by_one(args)


def _packed_one_by_one(args: Sequence[Any]) -> bytes:
    values = [arg if isinstance(arg, bytes) else str(arg).encode() for arg in args]
    return b"*%d\r\n" % len(values) + b"".join(b"$%d\r\n%b\r\n" % (len(value), value) for value in values)


def _is_quiet(wire: Any) -> bool:
    """Tell whether there is nothing to read, as it should be: neither an end nor a forgotten reply."""
    sock = getattr(wire, "_sock", None)
    unread = getattr(getattr(getattr(wire, "_parser", None), "_buffer", None), "unread_bytes", None)
    if type(sock) is not socket.socket or unread is None or Poll is None:  # TLS, another parser, a fake
        return not wire.can_read()
    poll = Poll()  # the driver tries to read and catches an exception, which takes several times as long
    poll.register(sock, POLLIN)
    return not unread() and not poll.poll(0)


def in_time(work: Callable[[], T], seconds: float) -> T:
    """Do work on a thread of its own and return its result. Raise TimeoutError if it takes longer; it goes on alone."""
    future: Future[T] = Future()

    def do() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  # it is the waiter's
            future.set_exception(error)

    try:
        threading.Thread(target=do, daemon=True, name="coreason-budget-connect").start()
    except RuntimeError:  # an interpreter that ends starts no threads
        do()
    return future.result(seconds)


def _wants_to_move(wire: Any) -> bool:
    """Tell whether the server announced that it is going away (redis-py from 7 on)."""
    ask = getattr(wire, "should_reconnect", None)
    return bool(ask is not None and ask())
