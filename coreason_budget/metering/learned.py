"""
Holds that learn: how long the answers of a model in a view are, so that calls without a maximum hold what they cost.

A call asks ``output_tokens`` for the length to hold for, and its charge carries an ``observation`` of what came of it.
The counts are kept in Redis, for all processes, and come back with the charge's own reply: nothing here waits for
anything. Whatever the traffic, the share of exceeding calls is controlled: each that exceeds makes the next holds
longer.

    learner, key = learner_of(manager), LearnKey("gpt-4o", "chat:answer")
    expected = learner.output_tokens(key, input_tokens)              # price this with PricingEngine.estimate
    ...
    observed = learner.observation(key, input_tokens, output_tokens, expected=expected)
    spend = replace(spend, observed=observed)                        # of the charge that settles the call

``input_tokens`` is what the call was estimated with, both times. Only calls without a maximum teach: an answer that was
cut short does not tell how long it would have been. A call of several choices asks and tells for one of them.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from ..ledger.observations import Observation
from .lengths import ROWS, LengthCounts, column_of, length_to_hold, row_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..conf import BudgetConfig
    from ..manager import BudgetManager

__all__ = ["LearnKey", "Learner", "learner_of"]

#: Places in Redis for what was learned, a bound whatever views and models there are; two in one place learn together.
SLOTS: Final = 16_384
MAX_KEYS: Final = 1_024

STEP: Final = 0.5  # how much one exceeding call raises the logarithm of the dearness
FIRST: Final = 4  # the dearness begins so many times above what is to be expected in the end
AIM: Final = 0.85  # of the share that may exceed: the rest is for chance
MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class LearnKey:
    """What kind of call it is: calls of one model in one view are alike."""

    model: str
    view: str = ""

    @property
    def slot(self) -> str:
        """Return the place of what is learned of such calls."""
        digest = blake2b(f"{self.model}\0{self.view}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return f"{int.from_bytes(digest) % SLOTS:04x}"


@dataclass(frozen=True, slots=True)
class _Known:
    """What this process has been told of one kind of call. ``level`` is in millionths."""

    level: int
    all_rows: LengthCounts
    rows: Mapping[int, LengthCounts] = field(default_factory=dict)


class Learner:
    """
    What this process knows of the lengths of answers. Safe to share between threads; it does no input or output.

    Without LEARN_HOLDS, and before the first call of a kind, ESTIMATE_OUTPUT_TOKENS is held for.
    """

    def __init__(self, config: BudgetConfig) -> None:
        self._learns = config.learn_holds
        self._first_guess = config.estimate_output_tokens
        self._share = AIM * config.learned_exceed_share
        self._known: OrderedDict[LearnKey, _Known] = OrderedDict()
        self._lock = Lock()

    def output_tokens(self, key: LearnKey, input_tokens: int) -> int:
        """Return how long an answer to hold for, in tokens, where the call sets no maximum."""
        known = self._recall(key)
        if known is None:
            return self._first_guess
        dearness = FIRST / self._share * math.exp(known.level / MILLION)
        return length_to_hold(known.rows.get(row_of(input_tokens)), known.all_rows, dearness)

    def observation(self, key: LearnKey, input_tokens: int, output_tokens: int, *, expected: int) -> Observation | None:
        """
        Return what the charge of a call is to carry, None without LEARN_HOLDS.

        ``expected`` is what output_tokens() answered before the call.
        """
        if not self._learns:
            return None
        step = round(MILLION * STEP * ((output_tokens > expected) - self._share))
        wants_all = "1" if self._recall(key) is None else "0"
        text = f"{row_of(input_tokens)} {column_of(output_tokens)} {step} {wants_all}"
        return Observation(key.slot, text, partial(self.learn, key))

    def learn(self, key: LearnKey, fields: Sequence[str]) -> None:
        """Take up what Redis knows of such calls, names and values in turn. What cannot be read is left out."""
        named = dict(zip(fields[::2], fields[1::2], strict=False))
        with suppress(KeyError, ValueError):
            all_rows = LengthCounts.parse(named.pop("all")).with_guess(column_of(self._first_guess))
            level = int(named.pop("level"))
            with self._lock:
                before = self._known.get(key)
                rows = {} if before is None else before.rows
                self._known[key] = _Known(level, all_rows, {**rows, **_parsed(named)})
                self._known.move_to_end(key)
                if len(self._known) > MAX_KEYS:
                    self._known.popitem(last=False)

    def _recall(self, key: LearnKey) -> _Known | None:
        if not self._learns:
            return None
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
            return known


def _parsed(named: Mapping[str, str]) -> dict[int, LengthCounts]:
    rows = {}
    for name, text in named.items():
        with suppress(ValueError):
            if 0 <= int(name) < len(ROWS):
                rows[int(name)] = LengthCounts.parse(text)
    return rows


_learners: WeakKeyDictionary[BudgetManager, Learner] = WeakKeyDictionary()
_learners_lock = Lock()


def learner_of(manager: BudgetManager) -> Learner:
    """Return the one learner of a manager."""
    with _learners_lock:
        learner = _learners.get(manager)
        if learner is None:
            learner = _learners[manager] = Learner(manager.config)
        return learner
