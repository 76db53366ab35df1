"""An adapter as a child process that takes its turns when it is told to."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from .environments import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .wire import CountingProxy, Traffic

__all__ = ["ESTIMATE", "Player"]

PEERS: Final = Path(__file__).parent
#: How long a turn may take, in seconds, the import of the peer included.
PATIENCE: Final = 300.0
#: What a call is estimated at and what it costs then, in USD.
ESTIMATE: Final = "0.0002"
COST: Final = "0.0001"


class Player:
    """
    A running adapter: ``module`` names it, ``python`` runs it, ``store`` is the URL of what it counts in.

    Raise UnavailableError if it cannot be started, fails or does not answer.
    """

    def __init__(self, module: str, python: str, store: str, *, paths: Sequence[Path] = ()) -> None:
        self._exits = contextlib.ExitStack()
        self._folder = Path(self._exits.enter_context(tempfile.TemporaryDirectory()))
        self.ways: list[str] = []
        self.variants: dict[str, str] = {}
        with contextlib.ExitStack() as exits:
            exits.push(self._exits)
            self._process = self._started([python, "-P", "-m", f"adapters.{module}"], _environment(store, paths))
            self._exits.callback(self._end)
            said = self._answer()
            exits.pop_all()
        self.version: str = said["version"]
        self.client: str = said["client"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._exits.close()

    def open(self, user: str, limit: str) -> None:
        """Call for this user from now on, who has a limit in USD of its own."""
        said = self._do("open", user=user, limit=limit)
        self.ways, self.variants = said["ways"], said["variants"]

    def turn(self, way: str, calls: int) -> tuple[float, float]:
        """Return the µs that a bare question to the store takes, and asking and booking together; medians of calls."""
        said = self._do("turn", way=way, calls=calls, estimate=ESTIMATE, cost=COST)
        return float(said["ping"]), float(said["call"])

    def watched(self, way: str, proxy: CountingProxy) -> tuple[Traffic, Traffic, Traffic]:
        """Call once and return what went over the wire to ask, to book, and afterwards in the background."""
        proxy.take()
        self._do("watched", way=way, estimate=ESTIMATE, cost=COST)
        asked = proxy.take()
        self._do("go on")
        booked = proxy.take()
        self._do("go on")
        return asked, booked, proxy.take()

    def crowd(self, way: str, callers: int, amount: str) -> tuple[int, list[str]]:
        """Return how many of these callers were let through at once, and what failed for other reasons than money."""
        said = self._do("crowd", way=way, callers=callers, amount=amount)
        return int(said["called"]), list(said["failures"])

    def _started(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
        with (self._folder / "errors").open("wb") as errors:
            try:
                return subprocess.Popen(  # noqa: S603 - this package's adapters
                    command,
                    cwd=self._folder,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                )
            except OSError as error:
                raise UnavailableError(f"its Python cannot be run: {error}") from error

    def _do(self, what: str, **arguments: object) -> dict[str, Any]:
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        try:
            self._process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._failed("ended") from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(PATIENCE):
                raise self._failed(f"did not answer within {PATIENCE:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise self._failed("ended")
        return dict(json.loads(line))

    def _failed(self, how: str) -> UnavailableError:
        said = (self._folder / "errors").read_text("utf-8", "replace").strip().splitlines()
        return UnavailableError(f"its process {how}: {said[-1] if said else 'it said nothing'}")

    def _end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _environment(store: str, paths: Sequence[Path]) -> dict[str, str]:
    """Return the variables of an adapter: none of the project's own, and no price list from the network."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "SYSTEMROOT", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "PEER_STORE": store,
        "PYTHONPATH": os.pathsep.join(str(path) for path in (PEERS, *paths)),
    }
