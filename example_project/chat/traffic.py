"""How long the prompts and answers of LLM traffic are: read from a trace of a real service, or made from a seed."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import cycle, islice
from random import Random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Tokens", "TraceError", "generate", "read_trace"]

COLUMNS: Final = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
LONGEST_ANSWER: Final = 1024


@dataclass(frozen=True, slots=True)
class Tokens:
    """The size of one call."""

    prompt: int
    answer: int


class TraceError(ValueError):
    """A trace that cannot be used; the message names the file and the line."""


def read_trace(path: Path, count: int) -> list[Tokens]:
    """
    Return the sizes of the first ``count`` calls of a CSV file, from its start again if it has fewer.

    Its columns are TIMESTAMP, ContextTokens and GeneratedTokens, as in the Azure LLM inference traces.
    Raise TraceError for a file that cannot be read or is something else.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            sizes = list(islice(_rows(csv.DictReader(file), path), count))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path} cannot be read as a CSV file: {error}") from error
    if not sizes:
        raise TraceError(f"{path} has no calls in it.")
    return list(islice(cycle(sizes), count))


def generate(seed: int, count: int) -> list[Tokens]:
    """Return sizes like those of a chat service: most are short, a few are long. The same seed, the same sizes."""
    random = Random(seed)  # noqa: S311 - traffic to look at, no secrets
    return [Tokens(_size(random, 900, 14_000), _size(random, 150, LONGEST_ANSWER)) for _ in range(count)]


def _rows(reader: csv.DictReader[str], path: Path) -> Iterator[Tokens]:
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise TraceError(f"{path} has no column {', '.join(missing)}; a trace has {', '.join(COLUMNS)}.")
    for row in reader:
        yield Tokens(*(_count(row, name, f"{path}, line {reader.line_num}") for name in COLUMNS[1:]))


def _count(row: Mapping[str, str | None], name: str, where: str) -> int:
    text = (row[name] or "").strip()
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise TraceError(f"{where}: {name} must be a whole number from 1, not {text!r}.")


def _size(random: Random, middle: int, most: int) -> int:
    return max(1, min(most, round(middle * random.lognormvariate(0, 1))))
