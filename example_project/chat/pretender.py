"""A make-believe model: it says what the budget does behind the page, at the price of a real one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["PRICED_AS", "answer"]

PRICED_AS: Final = "gpt-4"  # a dear one, so that an answer is a visible part of a small budget
LONGEST_ECHO: Final = 60

ANSWERS: Final = Path(__file__).with_name("answers.txt").read_text("utf-8").strip().split("\n\n")


def answer(messages: Sequence[Mapping[str, str]]) -> str:
    """Return the answer to a conversation."""
    asked = [message["content"] for message in messages if message["role"] == "user"]
    question = " ".join(asked[-1].split())
    if len(question) > LONGEST_ECHO:
        question = f"{question[: LONGEST_ECHO - 1].rstrip()}…"
    return ANSWERS[(len(asked) - 1) % len(ANSWERS)].replace("\n", " ").replace("{question}", question)
