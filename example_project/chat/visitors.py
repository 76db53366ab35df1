"""Opens the doors for a visitor after the demo's traffic: log-ins, and room in budgets that the traffic used up."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import TYPE_CHECKING, Final

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User

from coreason_budget import service
from coreason_budget.models import GlobalLimit, ProjectLimit, UserLimit

from .assistant import MAX_TOKENS, is_make_believe, model_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coreason_budget.results import AccountStatus

    from .roster import Roster

__all__ = ["Room", "give_passwords", "make_room", "room", "welcome"]

ADMIN: Final = "admin"
MESSAGES: Final = 6  # how many a user's room is for: enough to see the bar move, few enough to be refused soon
PROMPT_TOKENS: Final = 250  # a usual question with what was said before
LETTERS: Final = "abcdefghijkmnpqrstuvwxyz23456789"  # none that is easily taken for another
STEP: Final = Decimal("0.001")


@dataclass(frozen=True, slots=True)
class Room:
    """What visitors may spend on top of the traffic, in USD: each user, and each project and the site."""

    user: Decimal
    shared: Decimal


def room() -> Room:
    """Return the room for some messages to the chat's model. Raise UnknownModelError if it has no known price."""
    message = service.pricing().estimate(model_name(), input_tokens=PROMPT_TOKENS, max_output_tokens=MAX_TOKENS)
    user = (message * MESSAGES).quantize(STEP, ROUND_UP)
    return Room(user=user, shared=user * 10)


def make_room(accounts: Iterable[AccountStatus], extra: Room) -> None:
    """
    Raise the limits of today's accounts to what was spent and the room on top of it, rounded up.

    Who is blocked stays blocked, and who has no limit gets none.
    """
    for account in accounts:
        if account.limit:
            amount = account.spent + (extra.user if account.scope == "user" else extra.shared)
            _set_limit(account, amount.quantize(STEP, ROUND_UP))


def give_passwords(roster: Roster) -> tuple[str, str]:
    """Let the users of the demo and the admin log in. Return the users' password and the admin's, both new."""
    shared, own = _password(), _password()
    User.objects.filter(pk__in=roster.users).update(password=make_password(shared))
    User.objects.update_or_create(
        username=ADMIN, defaults={"password": make_password(own), "is_staff": True, "is_superuser": True}
    )
    return shared, own


def welcome(address: str, passwords: tuple[str, str], extra: Room) -> list[str]:
    """Return the lines that tell a visitor where the site is, who may log in, and what there is to see."""
    users, admin = passwords
    return [
        "The site is open.",
        "",
        f"  Chat   {address}        log in as alice, bob, carol, dave or erin, password {users}",
        f"  Admin  {address}admin/  log in as {ADMIN}, password {admin}",
        "",
        f"The limits are raised for you: alice, bob and carol have some ${extra.user} left each, projects and the site",
        f"${extra.shared}. dave is blocked as before, and erin has no limit of her own.",
        f"{_who_answers()}",
        "",
        "Log in as alice and chat until her budget is used up. Then log in as admin in a private window, raise her",
        "limit there, and chat on.",
        "",
        "Ctrl-C ends it.",
    ]


def _who_answers() -> str:
    if not is_make_believe():
        return f"{model_name()} answers, and its provider bills you for it."
    return (
        f"A make-believe model answers, at the price of {model_name()}. With OPENAI_API_KEY, ANTHROPIC_API_KEY,\n"
        "GEMINI_API_KEY or EXAMPLE_MODEL in the environment it is a real one."
    )


def _set_limit(account: AccountStatus, amount: Decimal) -> None:
    defaults = {"amount_usd": amount, "reason": "The demo's traffic, and room for a visitor"}
    match account.scope:
        case "user":
            UserLimit.objects.update_or_create(user_id=account.subject, period=account.period, defaults=defaults)
        case "project":
            ProjectLimit.objects.update_or_create(project_id=account.subject, period=account.period, defaults=defaults)
        case _:
            GlobalLimit.objects.update_or_create(period=account.period, defaults=defaults)


def _password() -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(10))
