"""What was said lately to the visitor of a project. It is kept in the session."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django.contrib.sessions.backends.base import UpdateError

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase

    from .assistant import Message

__all__ = ["Exchange", "exchanges", "messages", "remember"]

SHOWN: Final = 10
SENT_ALONG: Final = 3
INSTRUCTIONS: Final = "You help in a project named {project}. Answer in plain text, in at most 100 words."


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question, what came as its answer, and its cost in USD as text: sessions keep no decimals."""

    question: str
    answer: str
    cost: str

    @property
    def cost_usd(self) -> Decimal:
        """The cost in USD."""
        return Decimal(self.cost)


def exchanges(session: SessionBase, project: str) -> list[Exchange]:
    """Return what was said lately, the oldest first."""
    return [Exchange(**item) for item in session.get(_key(project), [])]


def messages(session: SessionBase, project: str, question: str) -> list[Message]:
    """Return a question as a model takes it: after its instructions and the last exchanges."""
    said: list[Message] = []
    for exchange in exchanges(session, project)[-SENT_ALONG:]:
        said += [
            {"role": "user", "content": exchange.question},
            {"role": "assistant", "content": exchange.answer},
        ]
    instructions = {"role": "system", "content": INSTRUCTIONS.format(project=project)}
    return [instructions, *said, {"role": "user", "content": question}]


def remember(session: SessionBase, project: str, question: str, answer: str, cost: Decimal) -> None:
    """
    Add an exchange to a session as it is by now.

    The one in the request is as old as the request: meanwhile other tabs may have written to it, or have logged out.
    """
    current: Any = type(session)(session.session_key)
    exchange = Exchange(question, answer, f"{cost:f}")
    said = [*exchanges(current, project), exchange][-SHOWN:]
    if current.session_key is None:
        return
    current[_key(project)] = [asdict(item) for item in said]
    try:
        current.save()
    except UpdateError:  # logged out just now
        return


def _key(project: str) -> str:
    return f"chat:{project}"
