"""From holding the money to handing the answer over: one body for every provider, plain and streamed."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from ..log import logger
from .produced import Produced
from .steps import Invoke, Settle

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from ..ledger.steps import Operation
    from .calls import MeteredCall

__all__ = ["StreamedCall", "answered", "sent"]


def answered(call: MeteredCall, send: Callable[[int | None], Any]) -> Operation[Any]:
    """
    Hold the money for a call, make it and return its answer. The money is given back if it fails.

    If whoever waits for it is stopped meanwhile (cancelled, a client that has gone), it is booked: see interrupted().
    ``send`` makes it, with the longest answer (tokens) to ask for if that had to be lowered.
    Raise BudgetExceededError, BudgetUnavailableError, UnknownModelError, and what ``send`` raises.
    """
    lowered = yield from call.open()
    try:
        return (yield Invoke(partial(send, lowered)))
    except Exception:  # the provider's own, or the way to it: as far as anybody knows nothing was produced
        yield Settle(call.release())
        raise
    except GeneratorExit:  # the event loop was closed in mid-call: nothing can be awaited any more
        call.hand_over()
        raise
    except BaseException:
        yield Settle(call.interrupted())
        raise


def sent(
    call: MeteredCall, send: Callable[[int | None], Any], streamed: Callable[[Any, MeteredCall], Any | None]
) -> Operation[Any]:
    """
    Make a call on a budget and return its answer. See answered().

    ``streamed`` returns what its reader gets if the answer is a stream, whose chunks have a StreamedCall as keeper,
    None if it is not.
    """
    answer = yield from answered(call, send)
    stream = streamed(answer, call)
    if stream is not None:
        return stream
    produced = Produced(call.model)
    produced.read_whole(answer)
    yield Settle(call.settle(produced, answer))
    return answer


class StreamedCall:
    """The keeper of a streamed answer: books what was produced when it ends, however it ends, and once."""

    def __init__(self, call: MeteredCall, hides: Callable[[Any], bool] = lambda _: False) -> None:
        self.manager = call.manager
        self.produced = Produced(call.model)
        self._call = call
        self._hides = hides
        self._is_over = False

    def entered(self) -> AbstractContextManager[None]:
        """Nothing is different where the provider's chunks come from."""
        return nullcontext()

    def read(self, chunk: Any) -> bool:
        """Note what a chunk says; one that only we have asked for is kept from the reader."""
        self.produced.read(chunk)
        return not self._hides(chunk)

    @property
    def is_due(self) -> bool:
        """Whether what is held would not be held for much longer."""
        return not self._is_over and self._call.is_due

    def renew(self) -> Operation[None]:
        """Have it held for longer."""
        return self._call.renew()

    def end(self, *, is_good: bool) -> Operation[None]:
        """Book what was produced. See settle()."""
        if not self._is_over:
            self._is_over = True
            yield from self.settle(is_good=is_good)

    def settle(self, *, is_good: bool) -> Operation[None]:
        """Book what was produced. A stream that failed before its first chunk has produced nothing."""
        if is_good or self.produced.has_begun:
            yield from self._call.settle(self.produced)
        else:
            yield from self._call.release()

    def hand_over(self) -> None:
        """Have it booked by another thread, where nothing can be waited for."""
        self._post(self._book)

    def abandon(self) -> None:
        """Have it booked by another thread: nobody has read the stream to its end, or closed it."""
        self._post(self._book_abandoned)

    def _post(self, work: Callable[[], None]) -> None:
        if not self._is_over:
            self._is_over = True
            self.manager.ledger.database.post(work)

    def _book_abandoned(self) -> None:
        logger.warning(
            "A stream of {} was thrown away before its end; it is booked as far as it came. Read it to its end or "
            "close it.",
            self._call.model,
        )
        self._book()

    def _book(self) -> None:
        self.manager.drive(self.settle(is_good=True))
