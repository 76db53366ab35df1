"""Who takes part in the demo: its users and projects, what they ask for, and the limits they get."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from random import Random
from typing import TYPE_CHECKING, Final

from django.contrib.auth.models import User

from coreason_budget.models import GlobalLimit, ProjectLimit, UserLimit

from .calls import Call, price_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .traffic import Tokens

__all__ = ["PROJECTS", "USERS", "Roster", "deal", "set_limits"]

# Limits as a share of what is asked for, so that some run out however long the run is; None: no limit of its own.
USERS: Final[Mapping[str, Decimal | None]] = {
    "alice": Decimal("1.25"),
    "bob": Decimal("0.60"),
    "carol": Decimal("0.35"),
    "dave": Decimal(0),
    "erin": None,
}
PROJECTS: Final[Mapping[str, Decimal | None]] = {"support": Decimal("0.30"), "research": Decimal("0.90"), "sales": None}
SITE: Final = Decimal("0.40")
MODELS: Final = {"gpt-4o-mini": 6, "gpt-4o": 2, "claude-sonnet-4-5": 1}  # and how often each is asked
STEP: Final = Decimal("0.001")


@dataclass(frozen=True, slots=True)
class Roster:
    """The users of the demo: names by id, in the order of reporting."""

    users: Mapping[str, str]
    projects: Sequence[str] = tuple(PROJECTS)

    @classmethod
    def enroll(cls) -> Roster:
        """Return the users of the demo, and create those who are not there yet. So far none can log in."""
        made = [User.objects.get_or_create(username=name, defaults={"password": "!"})[0] for name in USERS]
        return cls({str(user.pk): user.get_username() for user in made})

    def has_limits(self) -> bool:
        """Return whether an earlier run has given them limits."""
        return UserLimit.objects.filter(user_id__in=self.users).exists()


def deal(roster: Roster, sizes: Iterable[Tokens], seed: int) -> list[Call]:
    """Give every call a user, a project and a model. The same seed, the same calls."""
    random = Random(seed)  # noqa: S311 - no secrets
    users, models, shares = list(roster.users), list(MODELS), list(MODELS.values())
    return [
        Call(random.choice(users), random.choice(roster.projects), random.choices(models, shares)[0], tokens)
        for tokens in sizes
    ]


def set_limits(roster: Roster, calls: Iterable[Call]) -> None:
    """Give users, projects and the site their limits for a day, measured by what these calls would cost."""
    wanted: defaultdict[str, Decimal] = defaultdict(Decimal)
    for call in calls:
        for who in ("site", f"user {call.user_id}", f"project {call.project_id}"):
            wanted[who] += price_of(call)
    for user_id, name in roster.users.items():
        amount = _limit(wanted[f"user {user_id}"], USERS[name])
        UserLimit.objects.update_or_create(user_id=user_id, period="day", defaults={"amount_usd": amount})
    for project_id in roster.projects:
        amount = _limit(wanted[f"project {project_id}"], PROJECTS[project_id])
        ProjectLimit.objects.update_or_create(project_id=project_id, period="day", defaults={"amount_usd": amount})
    GlobalLimit.objects.update_or_create(period="day", defaults={"amount_usd": _limit(wanted["site"], SITE)})


def _limit(wanted: Decimal, share: Decimal | None) -> Decimal | None:
    return None if share is None else (wanted * share).quantize(STEP, ROUND_UP)
