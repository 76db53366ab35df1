"""Who pays for the calls that the running code makes: the decorated view, run or task that it belongs to, or asks."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..exceptions import MissingUserError
from ..scopes import ANONYMOUS, clean_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..ledger.steps import Operation
    from .purse import Purse

__all__ = ["Payer", "asking", "payer", "payer_here", "payer_of", "paying"]

_payer: ContextVar[Payer | None] = ContextVar("coreason_budget_payer", default=None)
_asking: ContextVar[Callable[[], Operation[tuple[str, str | None]]] | None] = ContextVar(
    "coreason_budget_asking", default=None
)


@dataclass(frozen=True, slots=True)
class Payer:
    """
    A user and, if any, a project. ``purse`` is the hold that their calls draw on, None if each makes its own.

    ``view`` is what the calls are made for (the name of a view or a task): such calls tend to cost the same.
    """

    user_id: str
    project_id: str | None = None
    purse: Purse | None = None
    view: str = ""

    @property
    def accounts(self) -> tuple[str, str | None]:
        """The user's and the project's id, as the operations of the budget take them."""
        return self.user_id, self.project_id


def payer() -> Payer | None:
    """Return who pays for calls here: of a decorated view, a run or a task. None outside of them: nobody is asked."""
    return _payer.get()


@contextmanager
def paying(who: Payer | None) -> Iterator[None]:
    """Have calls in the block paid by somebody, also those of tasks and threads that get a copy of its context."""
    before = _payer.get()
    _payer.set(who)
    try:
        yield
    finally:
        _payer.set(before)  # by value: the block may end in another context, where no token is valid


@contextmanager
def asking(who: Callable[[], Operation[tuple[str, str | None]]]) -> Iterator[None]:
    """Have calls in the block that nobody else pays for paid by whoever is asking; ``who`` finds user and project."""
    before = _asking.get()
    _asking.set(who)
    try:
        yield
    finally:
        _asking.set(before)  # by value, as above


def payer_here() -> Operation[Payer | None]:
    """
    Return who pays for calls here: of a decorated view, a run or a task, else whoever is asking in the request.

    None outside of all these, and in a request if the middleware is not installed.
    """
    here, who = payer(), _asking.get()
    if here is not None or who is None:
        return here
    return Payer(*(yield from who()))


def payer_of(
    budget_user: Any = None, budget_project: Any = None, *, remedy: str = "pass budget_user=... (an id, or ANONYMOUS)"
) -> Operation[Payer]:
    """
    Return who pays for a call: who is named, else who pays for calls here. ``remedy`` says how to name somebody.

    Whoever names the same accounts draws on the same hold. A project alone is one of the user who pays here.
    Raise MissingUserError if nobody is named or known, TypeError or ValueError for ids that cannot be.
    """
    here = payer() if budget_user is not None else (yield from payer_here())
    if budget_user is None and here is None:
        raise MissingUserError(
            f"Nobody is known who pays for this call: {remedy}, or make it inside budgeted_run() or in a view "
            "(decorated with @budgeted, or with BudgetMiddleware). What a streamed answer does after a view has "
            "returned is known in decorated views alone. Threads that you start yourself know nobody: run them with "
            "contextvars.copy_context().run, or name who pays."
        )
    if budget_user is None and budget_project is None and here is not None:
        return here
    user_id = here.user_id if budget_user is None and here is not None else clean_id(budget_user, "budget_user")
    project_id = None if budget_project is None else _project(budget_project)
    if here is not None and budget_project is None and user_id == here.user_id:
        project_id = here.project_id
    if here is not None and here.accounts == (user_id, project_id):
        return here
    return Payer(user_id, project_id, view=here.view if here is not None else "")


def _project(value: Any) -> str:
    if value is ANONYMOUS:
        raise ValueError("budget_project must not be ANONYMOUS; leave it out for a call without a project.")
    return clean_id(value, "budget_project")
