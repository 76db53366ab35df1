"""A month of calls on the budgets of the demo's users and projects: the same every time, down to the last digit."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from random import Random
from typing import TYPE_CHECKING, Final

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User

from coreason_budget import BudgetExceededError, service
from coreason_budget.models import GlobalLimit, ModelPrice, ProjectLimit, UserLimit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .clock import Clock

__all__ = ["ADMIN", "CHATTING", "NOW", "PASSWORD", "play"]

ADMIN: Final = "admin"
CHATTING: Final = "alice"  # has room for two answers more
PASSWORD: Final = "of the pictures"  # noqa: S105 - the site ends with the command
NOW: Final = datetime(2030, 11, 14, 14, 20, tzinfo=UTC)  # a Thursday. Ahead: a server forgets what is past for it
DAYS: Final = 30
FIRST_HOUR, LAST_HOUR = 7, 19
SATURDAY: Final = 5


@dataclass(frozen=True, slots=True)
class Caller:
    """How often somebody asks, or is asked for, beside the others, and the limit in USD a day; None: no limit."""

    share: int
    limit: str | None


@dataclass(frozen=True, slots=True)
class Model:
    """How often a model is asked, and what a million tokens of it cost in USD."""

    share: int
    input: str
    output: str


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks what, when, and how many tokens that takes."""

    at: datetime
    user: str
    project: str
    model: str
    usage: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Change:
    """When an admin sets whose limit to how much (USD), and why."""

    at: datetime
    user: str
    limit: str
    reason: str


USERS: Final = {
    CHATTING: Caller(5, "2.00"),
    "bob": Caller(4, "2.00"),
    "carol": Caller(3, "0.45"),
    "dave": Caller(2, "0.75"),
    "erin": Caller(6, None),
}
PROJECTS: Final = {"support": Caller(5, "1.50"), "research": Caller(3, "0.80"), "sales": Caller(2, None)}
SITE: Final = {"day": "2.50", "week": "12.00", "month": "40.00"}
MODELS: Final = {
    "gpt-4o": Model(4, "2.50", "10.00"),
    "gpt-4o-mini": Model(5, "0.15", "0.60"),
    "claude-sonnet-4-5": Model(3, "3.00", "15.00"),
}
CHANGES: Final = (
    Change(NOW - timedelta(days=2), "dave", "0", "A key of his was found in a public repository."),
    Change(NOW - timedelta(hours=1), CHATTING, "0.21", "Room for two more answers"),
)
SIZES: Final = ((24_000, 120_000), (1_200, 8_000))  # tokens of a prompt and of an answer: usual, and most
HELD: Final = (("bob", "research", "0.035"), ("erin", "sales", "0.06"), ("erin", "support", "0.024"))


def play(clock: Clock) -> None:
    """Enroll everybody and spend for a month, on the ledger itself. The clock stops in mid-afternoon."""
    clock.now = NOW - timedelta(days=DAYS)
    users = _enroll()
    _set_limits(users)
    changes = list(CHANGES)
    for number, call in enumerate(_calls(), start=1):
        clock.now = call.at
        while changes and changes[0].at < call.at:
            _carry_out(changes.pop(0), users)
        _send(call, users[call.user], f"call-{number:05}")
    for minutes, (name, project, amount) in zip((3, 2, 1), HELD, strict=True):
        clock.now = NOW - timedelta(minutes=minutes, seconds=9 * minutes)
        service.reserve(users[name].pk, project, amount=amount)
    clock.now = NOW
    service.flush()


def _enroll() -> dict[str, User]:
    password = make_password(PASSWORD)
    User.objects.create(username=ADMIN, password=password, is_staff=True, is_superuser=True)
    return {name: User.objects.create(username=name, password=password) for name in USERS}


def _set_limits(users: Mapping[str, User]) -> None:
    for name, caller in USERS.items():
        UserLimit.objects.create(user=users[name], amount_usd=caller.limit)
    for name, caller in PROJECTS.items():
        ProjectLimit.objects.create(project_id=name, amount_usd=caller.limit)
    for period, amount in SITE.items():
        GlobalLimit.objects.create(period=period, amount_usd=amount)
    for name, model in MODELS.items():
        ModelPrice.objects.create(model=name, input_usd_per_million=model.input, output_usd_per_million=model.output)


def _carry_out(change: Change, users: Mapping[str, User]) -> None:
    limit = UserLimit.objects.get(user=users[change.user])
    limit.amount_usd, limit.reason = change.limit, change.reason
    limit.save()


def _calls() -> Iterator[Call]:
    random = Random(7)  # noqa: S311 - no secrets
    midnight = datetime.combine(NOW.date(), time(), UTC)
    for day in (midnight - timedelta(days=past) for past in reversed(range(DAYS))):
        many = random.randint(22, 32) if day.weekday() < SATURDAY else random.randint(3, 7)
        seconds = sorted(random.randrange(FIRST_HOUR * 3600, LAST_HOUR * 3600) for _ in range(many))
        for at in (day + timedelta(seconds=each) for each in seconds):
            call = Call(at, _one_of(USERS, random), _one_of(PROJECTS, random), _one_of(MODELS, random), _usage(random))
            if at < NOW - timedelta(minutes=5):
                yield call


def _one_of(them: Mapping[str, Caller] | Mapping[str, Model], random: Random) -> str:
    return random.choices(list(them), [each.share for each in them.values()])[0]


def _usage(random: Random) -> dict[str, int]:
    """Return the tokens of a call: most are short, a few are long."""
    prompt, answer = (min(most, round(middle * random.lognormvariate(0, 1))) for middle, most in SIZES)
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def _send(call: Call, user: User, charge_id: str) -> None:
    """Make a call if its budgets allow it; the response is made up, its price is not."""
    tokens = call.usage
    most = service.pricing().calculate(call.model, tokens["prompt_tokens"], tokens["completion_tokens"])
    with suppress(BudgetExceededError), service.reservation(user.pk, call.project, amount=most) as hold:
        hold.charge({"model": call.model, "usage": tokens}, charge_id=charge_id, final=True)
