"""A make-believe model: it says what the budget does behind the page, word by word, at the price of a real one."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

__all__ = ["PRICED_AS", "spoken", "words"]

PRICED_AS: Final = "gpt-4"  # a dear one, so that an answer is a visible part of a small budget
LONGEST_ECHO: Final = 60

ANSWERS: Final = Path(__file__).with_name("answers.txt").read_text("utf-8").strip().split("\n\n")


def words(messages: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the answer to a conversation in pieces: words, with the space that follows them."""
    asked = [message["content"] for message in messages if message["role"] == "user"]
    question = " ".join(asked[-1].split())
    if len(question) > LONGEST_ECHO:
        question = f"{question[: LONGEST_ECHO - 1].rstrip()}…"
    answer = ANSWERS[(len(asked) - 1) % len(ANSWERS)].replace("\n", " ").replace("{question}", question)
    return re.findall(r"\S+\s*", answer)


async def spoken(messages: Sequence[Mapping[str, str]], delay: float) -> AsyncIterator[str]:
    """Yield the answer to a conversation, with a delay (seconds) before each word."""
    for word in words(messages):
        await asyncio.sleep(delay)
        yield word
