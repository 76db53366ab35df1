"""People of the admin on an empty ledger, and a count of how often Redis is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from coreason_budget import service
from coreason_budget.ledger.connection import Connections
from coreason_budget.ledger.steps import Command
from coreason_budget.models import SpendRecord
from coreason_budget.testing import isolated_budgets_fixture  # noqa: F401

from .pages import Page

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Staff:
    """Somebody who is logged in to the admin."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.client = Client()
        self.client.force_login(user)

    def get(self, name: str, *args: object, status: int = 200, **query: str) -> Page:
        """Open a page: ``get("userlimit_change", limit.pk)``."""
        response = self.client.get(reverse(f"admin:coreason_budget_{name}", args=args), query)
        assert response.status_code == status, response.content.decode()[:2000]
        return Page(response)

    def post(self, name: str, *args: object, follow: bool = True, query: str = "", **data: Any) -> Any:
        """Send a form, and return the answer."""
        return self.client.post(reverse(f"admin:coreason_budget_{name}", args=args) + query, data, follow=follow)

    def act(self, model: str, action: str, objects: list[Any], **data: Any) -> Page:
        """Run an action of a list on objects; with ``confirmed="yes"`` as its page of confirmation sends it."""
        data |= {"action": action, "_selected_action": [str(each.pk) for each in objects]}
        if not {"confirmed", "origin"} & set(data):
            data["index"] = "0"
        response = self.post(f"{model}_changelist", **data)
        assert response.status_code == 200, response.content.decode()[:2000]
        return Page(response)


@pytest.fixture
def ledger(db: None, isolated_budgets: None) -> None:
    """Begin with an empty ledger in memory. Modules use it for all their tests."""


@pytest.fixture
def staff() -> Callable[..., Staff]:
    """Make somebody with these permissions of this app: ``staff("view_userlimit")``."""

    def make(*permissions: str, name: str = "staff") -> Staff:
        user = User.objects.create_user(name, is_staff=True)
        found = Permission.objects.filter(codename__in=permissions)
        assert len(found) == len(permissions)
        user.user_permissions.add(*found)
        return Staff(user)

    return make


@pytest.fixture
def boss() -> Staff:
    """Return somebody who may do everything."""
    return Staff(User.objects.create_superuser("boss"))


@pytest.fixture
def ann() -> User:
    """Return a user with an address."""
    return User.objects.create_user("ann", "ann@example.org")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the commands that are sent to Redis."""
    seen: list[str] = []
    perform = Command.perform

    def watched(self: Command, context: Any) -> Any:
        seen.append(str(self.args[0]))
        return perform(self, context)

    monkeypatch.setattr(Command, "perform", watched)
    return seen


@pytest.fixture
def redis_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every command fail, as it does when nobody listens."""

    def refused(self: Command, context: Any) -> Any:
        raise ConnectionRefusedError("nobody listens")

    monkeypatch.setattr(Connections, "execute", refused)


def booked(**values: Any) -> SpendRecord:
    """Charge, and return the record: ``booked(user_id=ann.pk, cost="0.5", charge_id="c1")``."""
    receipt = service.charge(**{"user_id": "nobody", "cost": "0.25", **values})
    return SpendRecord.objects.get(charge_id=receipt.charge_id)
