"""
The ledger's Lua scripts as values: building keys and arguments, and reading replies. Pure; no input or output here.

Amounts are nano-USD, instants are milliseconds since the epoch, as in the scripts. Each Lua file states its contract.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from ..periods import PERIODS, Period, from_ms, neighbours, to_ms

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from ..conf import BudgetConfig
    from ..scopes import Subject

__all__ = [
    "AccountView",
    "Booking",
    "Call",
    "Charge",
    "Deposit",
    "Keys",
    "PeriodView",
    "Script",
    "Snapshot",
    "Terms",
    "parse_accounts",
    "parse_answer",
    "parts_of",
    "script",
    "text_of",
]

_JSON: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_quoted: Final = json.encoder.encode_basestring
PERIOD_OF_CODE: Final = {period.code: period for period in PERIODS}
UNLIMITED: Final = "u"


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script with the hash that EVALSHA names it by."""

    name: str
    source: str
    sha: str


@cache
def script(name: str) -> Script:
    """Return one of the ledger's scripts, read once from the package."""
    folder = files(__package__) / "lua"
    source = _with_what_it_uses(
        _replying((folder / f"{name}.lua").read_text("utf-8")),
        (folder / "prelude.lua").read_text("utf-8").split("\n\n"),
    )
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def _replying(source: str) -> str:
    """Return a script that replies with one text, a line for each part: the driver reads a list part by part."""
    return f"local function parts()\n{source}\nend\n\nreturn table.concat(parts(), '\\n')\n"


def parts_of(reply: str | bytes) -> list[str]:
    """Return the parts of a script's reply."""
    return text_of(reply).split("\n")


def text_of(value: str | bytes | None) -> str:
    """Return what a command answered as text, empty for nothing."""
    return value.decode() if isinstance(value, bytes) else value or ""


def _with_what_it_uses(source: str, prelude: Sequence[str]) -> str:
    """Return a script after those blocks of the prelude that it uses; a block uses only blocks before it."""
    for block in reversed(prelude):
        names = re.findall(r"^local (?:function )?(\w+)", block, re.MULTILINE)
        if any(re.search(rf"\b{name}\b", source) for name in names):
            source = f"{block}\n\n{source}"
    return source


@dataclass(frozen=True, slots=True)
class Call:
    """One run of a script: what EVALSHA is given."""

    script: Script
    keys: Sequence[str]
    args: Sequence[str | int]

    def command(self) -> tuple[str | int, ...]:
        """Return the command that runs the script by its hash."""
        return ("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.args)

    def command_with_source(self) -> tuple[str | int, ...]:
        """Return the command that runs the script and makes the server remember it."""
        return ("EVAL", self.script.source, len(self.keys), *self.keys, *self.args)


class Keys:
    """The names of all keys of one installation; one hash tag, so that they share a slot of a cluster."""

    def __init__(self, prefix: str) -> None:
        self.tag = f"{{{prefix}}}"
        self.journal = f"{self.tag}:journal"
        self.deadlines = f"{self.tag}:deadlines"
        self.accounts_prefix = f"{self.tag}:a:"
        self.refusals = f"{self.tag}:refusals"
        self.refusal_times = f"{self.tag}:refusals:at"
        self.refusal_counts = f"{self.tag}:refusals:days"
        self.unknown_models = f"{self.tag}:refusals:models"
        self.unknown_model_times = f"{self.tag}:refusals:models:at"

    def account(self, subject: Subject) -> str:
        """Return the key of a subject's account."""
        return f"{self.accounts_prefix}{subject.key}"

    def accounts(self, subjects: Iterable[Subject]) -> list[str]:
        """Return the keys of the accounts of subjects."""
        return [f"{self.accounts_prefix}{subject.key}" for subject in subjects]

    def hold(self, hold_id: str) -> str:
        """Return the key of a hold."""
        return f"{self.tag}:r:{hold_id}"

    def charge(self, charge_id: str) -> str:
        """Return the key under which a charge id is remembered."""
        return f"{self.tag}:c:{charge_id}"

    def learned(self, slot: str) -> str:
        """Return the key of what was learned of calls of a kind."""
        return f"{self.tag}:l:{slot}"

    def refusal_batch(self, nonce: str) -> str:
        """Return the key that marks refused calls as noted, for a while."""
        return f"{self.tag}:refusals:batch:{nonce}"


class Terms:
    """What all scripts are told, as one text: settings, and the windows around an instant. It is made once a day."""

    def __init__(self, zone: ZoneInfo, config: BudgetConfig) -> None:
        self.zone = zone
        fresh, memory = round(config.limits_ttl * 1000), round(config.charge_id_ttl * 1000)
        thresholds = "+".join(map(str, config.thresholds))
        self._settings = f"{fresh} {config.expired_holds} {config.journal_max_length} {memory} {thresholds}"
        self._cached = (0, 0, "")

    def text(self, now_ms: int) -> str:
        """Return the settings and the windows before, at and after an instant in ms, as the Lua prelude reads them."""
        start, end, text = self._cached
        if not start <= now_ms < end:
            start, end, text = self._cached = self._compute(now_ms)
        return text

    def _compute(self, now_ms: int) -> tuple[int, int, str]:
        text, start, end = self._settings, 0, 0
        for period in PERIODS:
            trio = neighbours(period, from_ms(now_ms), self.zone)
            bounds = [*(to_ms(window.start) for window in trio), to_ms(trio[-1].end)]
            text += f"|{period.code} {' '.join(window.id for window in trio)} {' '.join(map(str, bounds))}"
            if period is Period.DAY:
                start, end = bounds[1], bounds[2]
        return start, end, text


@dataclass(frozen=True, slots=True)
class Deposit:
    """
    The accounts of a call: whose they are, their keys, their default limits, and what the journal says of their hold.

    ``defaults`` are nano-USD, ``day,week,month`` for each account, joined by ``|``.
    """

    subjects: tuple[Subject, ...]
    keys: tuple[str, ...]
    defaults: str
    user_id: str
    project_id: str
    payload: str


def defaults_text(limits: Mapping[Period, int | None]) -> str:
    """Return default limits as ``day,week,month`` in nano-USD."""
    return ",".join("" if limits.get(period) is None else str(limits[period]) for period in PERIODS)


def overrides_args(overrides: Mapping[Period, int | None]) -> list[str]:
    """Return limit overrides for d, w, m: nano-USD, ``u`` for unlimited, empty for none."""
    return [_override(overrides, period) for period in PERIODS]


def _override(overrides: Mapping[Period, int | None], period: Period) -> str:
    if period not in overrides:
        return ""
    amount = overrides[period]
    return UNLIMITED if amount is None else str(amount)


@dataclass(frozen=True, slots=True)
class PeriodView:
    """One period of an account as a script showed it. ``limit`` None means unlimited."""

    period: Period
    window: str
    spent: int
    limit: int | None
    crossed: tuple[int, ...] = ()
    verified: bool = True


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as a script showed it. ``open`` is False if it must be rebuilt before anyone decides on it."""

    open: bool
    held: int
    periods: tuple[PeriodView, ...]

    @property
    def is_complete(self) -> bool:
        """Whether it is open and all that it shows was summed from the database."""
        return self.open and all(period.verified for period in self.periods)


def parse_accounts(texts: Iterable[str]) -> tuple[AccountView, ...]:
    """Read accounts as the Lua function ``show`` writes them."""
    return tuple(_parse_account(text) for text in texts)


def _parse_account(text: str) -> AccountView:
    is_open, held, held_before, freed, *periods = text.split(" ")
    return AccountView(
        open=is_open == "1",
        held=int(held) + int(held_before) - int(freed),
        periods=tuple(_parse_period(period) for period in periods),
    )


def _parse_period(text: str) -> PeriodView:
    code, window, spent, limit, crossed, verified = text.split(":")
    return PeriodView(
        period=PERIOD_OF_CODE[code],
        window=window,
        spent=int(spent),
        limit=None if limit == UNLIMITED else int(limit),
        crossed=tuple(int(percent) for percent in crossed.split("+") if percent),
        verified=verified == "1",
    )


@dataclass(frozen=True, slots=True)
class Charge:
    """What is booked on a journal entry: who, what, how much. It becomes one spend record."""

    charge_id: str
    cost: int
    user_id: str
    project_id: str
    model: str = ""
    kind: str = "charge"
    hold_id: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def payload(self) -> str:
        """Return what the journal keeps beside the id and the cost, as JSON."""
        text = f'{{"u":{_quoted(self.user_id)},"p":{_quoted(self.project_id)},"m":{_quoted(self.model)}'
        if self.input_tokens is not None:
            text += f',"i":{self.input_tokens:d}'
        if self.output_tokens is not None:
            text += f',"o":{self.output_tokens:d}'
        if self.metadata:
            text += f',"x":{_JSON.encode(dict(self.metadata))}'
        return text + "}"

    @classmethod
    def from_payload(cls, payload: str, *, charge_id: str, cost: int, kind: str, hold_id: str) -> Charge:
        """Read a charge back from the journal. Raise ValueError or KeyError if the payload is broken."""
        values = json.loads(payload)
        return cls(
            charge_id=charge_id,
            cost=cost,
            user_id=values["u"],
            project_id=values["p"],
            model=values["m"],
            kind=kind,
            hold_id=hold_id,
            input_tokens=values.get("i"),
            output_tokens=values.get("o"),
            metadata=values.get("x", {}),
        )


@dataclass(frozen=True, slots=True)
class Booking:
    """A charge with its place in the journal (None = written while the server did not answer) and its time in ms."""

    charge: Charge
    journal_id: str | None
    at: int


@dataclass(frozen=True, slots=True)
class Answer:
    """
    The first answer to a charge: where it was booked, what is left on the hold, how the accounts stood.

    It is plain if all of them were open and summed from the database, and none passed a threshold.
    """

    journal_id: str
    at: int
    left: int
    refund_journal_id: str
    refunded: int
    is_plain: bool
    shown: tuple[str, ...]

    @property
    def accounts(self) -> tuple[AccountView, ...]:
        """The accounts as the script showed them."""
        return parse_accounts(self.shown)


def parse_answer(text: str) -> Answer:
    """Read the answer of ``charge.lua``."""
    journal_id, at, left, refund_journal_id, refunded, plain, *accounts = text.split("|")
    return Answer(journal_id, int(at), int(left), refund_journal_id, int(refunded), plain == "1", tuple(accounts))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What ``rebuild_begin.lua`` saw: a point of the journal; per period the window, spent, and if it was verified."""

    point: str
    now: int
    incarnation: str
    verdicts: str
    version: str
    windows: Mapping[Period, str]
    spent: Mapping[Period, int]
    verified: frozenset[Period]

    @classmethod
    def parse(cls, reply: Sequence[str]) -> Snapshot:
        """Read the reply ``go``."""
        rest = reply[6:]
        triples = {period: rest[3 * i : 3 * i + 3] for i, period in enumerate(PERIODS)}
        return cls(
            point=reply[1],
            now=int(reply[2]),
            incarnation=reply[3],
            verdicts=reply[4],
            version=reply[5],
            windows={period: triple[0] for period, triple in triples.items()},
            spent={period: int(triple[1]) for period, triple in triples.items()},
            verified=frozenset(period for period, triple in triples.items() if triple[2] == "1"),
        )


def journal_number(journal_id: str) -> int:
    """
    Return a stream id ``ms-seq`` as a 64-bit integer that sorts the same way.

    41 bits of milliseconds (until 2039; 43 fit, until 2248) and 20 bits of sequence.
    """
    ms, _, sequence = journal_id.partition("-")
    return (int(ms) << 20) | min(int(sequence), (1 << 20) - 1)


def journal_text(number: int) -> str:
    """Return the stream id of a journal number."""
    return f"{number >> 20}-{number & ((1 << 20) - 1)}"


def parse_entry(journal_id: str, fields: Sequence[str] | Mapping[str, str]) -> Booking:
    """Read one entry of the journal. Raise ValueError or KeyError if it is broken."""
    values = fields if isinstance(fields, Mapping) else dict(zip(fields[::2], fields[1::2], strict=True))
    charge = Charge.from_payload(
        values["p"], charge_id=values["c"], cost=int(values["n"]), kind=values["k"], hold_id=values["h"]
    )
    if charge.kind == "refund":  # its payload is that of the charge it comes from, whose tokens count once
        charge = replace(charge, input_tokens=None, output_tokens=None)
    return Booking(charge, journal_id, int(values["t"]))
