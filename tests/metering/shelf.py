"""What Redis keeps of learned holds, in plain Python: the model that ``charge.lua`` is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coreason_budget.ledger.observations import Observation
    from coreason_budget.metering.learned import Learner, LearnKey

__all__ = ["Shelf", "exceeding"]

LEAST: Final = -6_000_000
MOST: Final = 10_000_000
OF_ALL: Final = 1_000
OF_ROW: Final = 500


class Shelf:
    """Fields by slot, as the server has them."""

    def __init__(self) -> None:
        self.fields: dict[str, dict[str, str]] = {}

    def take(self, observed: Observation | None) -> None:
        """Do what the charge that carries it does."""
        assert observed is not None
        row, column, step, is_all = observed.text.split(" ")
        kept = self.fields.setdefault(observed.slot, {})
        level = max(LEAST, min(MOST, int(kept.get("level", 0)) + int(step)))
        touched = {
            "level": str(level),
            "all": counted(kept.get("all", ""), column, OF_ALL),
            row: counted(kept.get(row, ""), column, OF_ROW),
        }
        kept.update(touched)
        told = kept if is_all == "1" else touched
        observed.learn([part for pair in told.items() for part in pair])


def counted(text: str, column: str, cap: int) -> str:
    """Return a row of counts with one more."""
    counts = {name: int(count) for name, count in (cell.split("=") for cell in text.split(" ")[1:])}
    counts[column] = counts.get(column, 0) + 1
    if sum(counts.values()) > cap:
        counts = {name: count // 2 for name, count in counts.items() if count > 1}
    return " ".join([str(sum(counts.values())), *(f"{name}={count}" for name, count in counts.items())])


def exceeding(learner: Learner, key: LearnKey, calls: Iterable[tuple[int, int]]) -> tuple[int, int, int]:
    """Return how many calls (tokens in, tokens out) came out longer than was held for; tokens held for, tokens out."""
    shelf, exceeded, held, used = Shelf(), 0, 0, 0
    for input_tokens, output_tokens in calls:
        expected = learner.output_tokens(key, input_tokens)
        exceeded += output_tokens > expected
        held += expected
        used += output_tokens
        shelf.take(learner.observation(key, input_tokens, output_tokens, expected=expected))
    return exceeded, held, used
