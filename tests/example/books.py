"""What the books say after a chat: the records, and how the visitor's accounts stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from coreason_budget import service
from coreason_budget.models import SpendRecord

if TYPE_CHECKING:
    from decimal import Decimal

    from django.contrib.auth.models import User


@dataclass(frozen=True, slots=True)
class Booked:
    """One charge: who, for which project, which model, its cost in USD, and its tokens."""

    user: str
    project: str
    model: str
    cost: Decimal
    prompt: int
    answer: int

    @property
    def price(self) -> Decimal:
        """What these tokens cost, in USD."""
        return service.pricing().calculate(self.model, self.prompt, self.answer)


def booked() -> list[Booked]:
    """Return all charges, the oldest first."""
    assert service.flush(10)
    return [
        Booked(row.user_id, row.project_id, row.model, row.cost_usd, row.input_tokens or 0, row.output_tokens or 0)
        for row in SpendRecord.objects.order_by("journal_id")
    ]


def accounts(user: User) -> dict[str, tuple[Decimal, Decimal]]:
    """Return what is spent and what is held, in USD, of the user, of the project support and of the site."""
    return {item.scope: (item.spent, item.held) for item in service.status(user.pk, "support")}
