"""What the demo shows at its end: who spent what of which limit, who was refused, and whether the sums agree."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from coreason_budget import service
from coreason_budget.models import SpendRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from coreason_budget.results import AccountStatus

    from .calls import Outcome
    from .roster import Roster

__all__ = ["Sums", "calls_table", "compare", "read_accounts", "spend_table", "table"]

BAR: Final = 20
DAY: Final = timedelta(days=1)
SCOPES: Final = ("user", "project", "global")


@dataclass(frozen=True, slots=True)
class Sums:
    """The spend of one account today in USD, as Redis counts it and as the records in the database add up."""

    account: AccountStatus
    in_database: Decimal

    @property
    def agree(self) -> bool:
        """Whether both are the same, to the nano-dollar."""
        return self.account.spent == self.in_database


def read_accounts(roster: Roster) -> list[AccountStatus]:
    """Return today's accounts of the demo's users and projects and of the site, in the order of reporting."""
    seen: dict[tuple[str, str], AccountStatus] = {}
    nobody = next(iter(roster.users))
    for user_id, project_id in [*((user, None) for user in roster.users), *((nobody, p) for p in roster.projects)]:
        for item in service.status(user_id, project_id):
            if item.period == "day":
                seen[item.scope, item.subject] = item
    return sorted(seen.values(), key=lambda item: SCOPES.index(item.scope))


def compare(accounts: Iterable[AccountStatus]) -> list[Sums]:
    """Add up the records of each account's window in the database."""
    return [Sums(account, _recorded(account)) for account in accounts]


def spend_table(accounts: Iterable[AccountStatus], roster: Roster) -> list[str]:
    """Return the lines of the table of limits and spend."""
    rows = [
        (item.scope, _name(item, roster), _usd(item.limit), _usd(item.spent), _usd(item.remaining), *_share(item))
        for item in accounts
    ]
    return table(("scope", "who", "limit", "spent", "left", "used", ""), rows, right=(2, 3, 4, 5))


def calls_table(outcomes: Sequence[Outcome], roster: Roster) -> list[str]:
    """Return the lines of the table of calls: let through, and refused by which budget."""
    counted = Counter((outcome.call.user_id, outcome.refused_by) for outcome in outcomes)
    rows = [(name, *_counts(counted, [user_id])) for user_id, name in roster.users.items()]
    rows.append(("together", *_counts(counted, roster.users)))
    header = ("user", "calls", "let through", "refused", *(f"by {scope}" for scope in SCOPES))
    return table(header, rows, right=range(1, len(header)))


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> list[str]:
    """Return aligned lines of plain text; columns in ``right`` end flush."""
    flush = set(right)
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    rule = ["-" * width for width in widths]
    return [
        "  ".join(
            cell.rjust(width) if column in flush else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [header, rule, *rows]
    ]


def _recorded(account: AccountStatus) -> Decimal:
    records = SpendRecord.objects.filter(at__gte=account.resets_at - DAY, at__lt=account.resets_at)
    if account.scope == "user":
        records = records.filter(user_id=account.subject)
    elif account.scope == "project":
        records = records.filter(project_id=account.subject)
    return records.total_usd()


def _counts(counted: Counter[tuple[str, str | None]], users: Iterable[str]) -> list[str]:
    passed, *refused = [sum(counted[user, why] for user in users) for why in (None, *SCOPES)]
    return [str(number) for number in (passed + sum(refused), passed, sum(refused), *refused)]


def _name(item: AccountStatus, roster: Roster) -> str:
    return roster.users.get(item.subject, item.subject) if item.scope == "user" else item.subject or "everybody"


def _usd(amount: Decimal | None) -> str:
    return "-" if amount is None else f"${amount:,.6f}"


def _share(item: AccountStatus) -> tuple[str, str]:
    """Return the used share of a limit in percent, rounded down, and as a bar."""
    if item.limit is None:
        return "", "no limit"
    if not item.limit:
        return "", "blocked"
    percent = int(item.spent * 100 / item.limit)
    filled = min(BAR, percent * BAR // 100)
    return f"{percent} %", f"[{'#' * filled}{'.' * (BAR - filled)}]"
