"""What a call of litellm costs more on a budget: CPU of each call, and memory of each stream that is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from coreason_budget import service
from coreason_budget.integrations.litellm import acompletion, completion
from coreason_budget.pricing.litellm_prices import load_litellm

from .added import CALL, added_cpu, bytes_of_a_stream
from .measure import Contestant
from .server import WritesHeldBack
from .tables import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .stage import Options

__all__ = ["measure"]

MOCKED: Final[dict[str, Any]] = {**CALL, "mock_response": "Six times seven is forty-two."}
PAYER: Final = {"budget_user": "ann", "budget_project": "search"}


def measure(options: Options) -> Iterator[Row]:
    """Return what is added to litellm's own mocked answers, on three accounts, one period each."""
    litellm = load_litellm()
    writes = WritesHeldBack(service.manager())
    contestants = [
        Contestant("litellm.completion", lambda: litellm.completion(**MOCKED)),
        Contestant(
            "completion on a budget",
            lambda: completion(**MOCKED, **PAYER),
            "litellm.completion",
            before=writes.begin,
            after=writes.end,
        ),
        Contestant("litellm.acompletion", lambda: litellm.acompletion(**MOCKED), is_async=True),
        Contestant(
            "acompletion on a budget",
            lambda: acompletion(**MOCKED, **PAYER),
            "litellm.acompletion",
            is_async=True,
            before=writes.begin,
            after=writes.end,
        ),
    ]
    yield from added_cpu("wrappers", contestants, options)
    theirs = bytes_of_a_stream(lambda: litellm.completion(**MOCKED, stream=True))
    ours = bytes_of_a_stream(lambda: completion(**MOCKED, **PAYER, stream=True))
    yield Row("wrappers", "an open stream: memory added", (ours - theirs) / 1_024, "KiB")
