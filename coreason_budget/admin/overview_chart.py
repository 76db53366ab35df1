"""``Chart``: amounts as stacked columns of SVG, in percents of a plot that has any size, and as the table behind it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import get_language_bidi

from ..money import to_usd
from . import words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.utils.safestring import SafeString

    from .overview_sums import Amounts, Stretch

__all__ = ["Chart", "Series", "chart"]

_LINES: Final = 4
_TICKS: Final = 6
_FILLED: Final = Decimal("0.76")  # of the room of a column; the rest keeps it from its neighbours
_CENT: Final = 10_000_000
_CHARACTER: Final = 7  # pixels of the widest digit in the size of the axis


@dataclass(frozen=True, slots=True)
class Series:
    """Those who share a colour: the number of that, their name, and what they spent in all of the chart (nano-USD)."""

    colour: int
    name: str
    nanos: int
    places: int

    @property
    def amount(self) -> SafeString:
        """What they spent, exactly."""
        return words.exact(to_usd(self.nanos), self.places)


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a column, in percents of the plot's height."""

    colour: int
    y: str
    height: str


@dataclass(frozen=True, slots=True)
class Column:
    """A stretch of time, in percents of the plot's width."""

    title: str
    x: str
    width: str
    room: tuple[str, str]  # where it begins and how wide it is, with what keeps it from its neighbours
    slices: Sequence[Slice]


@dataclass(frozen=True, slots=True)
class Chart:
    """What ``chart.html`` draws. There are no columns if nothing was spent."""

    name: str
    title: str
    caption: str
    series: Sequence[Series]
    columns: Sequence[Column]
    lines: Sequence[tuple[str, str, bool]]  # height in percent, amount, whether it is that of nothing
    ticks: Sequence[tuple[str, str]]  # place in percent, label
    heads: Sequence[str]
    rows: Sequence[tuple[str, Sequence[SafeString]]]
    total: Sequence[SafeString]

    @property
    def axis_width(self) -> int:
        """How many pixels the amounts beside the plot need."""
        return max((len(label) for _, label, _ in self.lines), default=0) * _CHARACTER + _CHARACTER

    @property
    def axis_edge(self) -> tuple[str, str]:
        """Where the amounts end, beside the plot, and which of their ends that is."""
        return ("0", "start") if get_language_bidi() else ("100%", "end")


def chart(stretches: Sequence[Stretch], amounts: Sequence[Amounts], names: Sequence[str], **texts: Any) -> Chart:
    """Return a chart of what was spent in each stretch. ``names`` are of the parts, then of the rest if any."""
    stacks = [_stack(each, len(names)) for each in amounts]
    sums = [sum(stack[place] for stack in stacks) for place in range(len(names))]
    total = sum(each.total for each in amounts)
    has_parts = len(names) > 1
    places = words.fine_places([nanos for stack in stacks for nanos in stack] + [each.total for each in amounts])

    def cells(parts: Sequence[int], whole: int) -> list[SafeString]:
        return [words.exact(to_usd(nanos), places) for nanos in ((*parts, whole) if has_parts else (whole,))]

    scale = _Scale.of(stacks)
    is_empty = not any(nanos for stack in stacks for nanos in stack)
    return Chart(
        series=[
            Series(place, name, nanos, places) for place, (name, nanos) in enumerate(zip(names, sums, strict=True))
        ],
        columns=[] if is_empty else list(_columns(stretches, stacks, amounts, scale)),
        lines=[] if is_empty else list(scale.lines()),
        ticks=list(_ticks([stretch.label for stretch in stretches])),
        heads=names if has_parts else [],
        rows=[
            (stretch.title, cells(stack, each.total))
            for stretch, stack, each in zip(stretches, stacks, amounts, strict=True)
        ],
        total=cells(sums, total),
        **texts,
    )


def _stack(amounts: Amounts, series: int) -> tuple[int, ...]:
    return amounts.parts if len(amounts.parts) == series else (*amounts.parts, amounts.rest)


@dataclass(frozen=True, slots=True)
class _Scale:
    """From the lowest to the highest amount (nano-USD) that the plot has room for, in steps that read well."""

    low: int
    high: int
    step: int

    @classmethod
    def of(cls, stacks: Sequence[Sequence[int]]) -> _Scale:
        high = max((sum(nanos for nanos in stack if nanos > 0) for stack in stacks), default=0)
        low = min((sum(nanos for nanos in stack if nanos < 0) for stack in stacks), default=0)
        step = _step(high - low)
        return cls(low // step * step, -(-high // step) * step, step)

    def lines(self) -> Iterator[tuple[str, str, bool]]:
        for nanos in range(self.low, self.high + 1, self.step):
            yield self.height(nanos), words.usd(to_usd(nanos)), nanos == 0

    def height(self, nanos: int) -> str:
        """Return how far below the upper edge an amount is, in percent."""
        return _percent(self.high - nanos, self.high - self.low)

    def slices(self, stack: Sequence[int]) -> Iterator[Slice]:
        """Put amounts upon each other, those below nothing downwards."""
        above = below = 0
        for colour, nanos in enumerate(stack):
            if nanos > 0:
                above += nanos
                yield Slice(colour, self.height(above), _percent(nanos, self.high - self.low))
            elif nanos < 0:
                yield Slice(colour, self.height(below), _percent(-nanos, self.high - self.low))
                below += nanos


def _step(reach: int) -> int:
    unit = 1
    while True:
        for factor in (1, 2, 5):
            if factor * unit * _LINES >= reach:
                return factor * unit
        unit *= 10


def _columns(
    stretches: Sequence[Stretch], stacks: Sequence[Sequence[int]], amounts: Sequence[Amounts], scale: _Scale
) -> Iterator[Column]:
    count = len(stretches)
    for place, (stretch, stack, each) in enumerate(zip(stretches, stacks, amounts, strict=True)):
        yield Column(
            title=f"{stretch.title}: {words.usd(to_usd(each.total))}",
            x=_percent((_seen(place, count) + (1 - _FILLED) / 2), count),
            width=_percent(_FILLED, count),
            room=(_percent(_seen(place, count), count), _percent(1, count)),
            slices=list(scale.slices(stack)),
        )


def _ticks(labels: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Name so many columns as a narrow screen has room for, the last one always."""
    count = len(labels)
    every = -(-count // _TICKS)
    for place in range(count - 1, -1, -every):
        yield _percent(_seen(place, count) + Decimal("0.5"), count), labels[place]


def _seen(place: int, count: int) -> int:
    """Return the place of a column from the left: where one reads from the right, time goes there too."""
    return count - 1 - place if get_language_bidi() else place


def _percent(part: int | Decimal, whole: int) -> str:
    return f"{Decimal(part) * 100 / whole:.3f}"
