from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User

from coreason_budget import UnknownModelError, service
from coreason_budget.models import GlobalLimit, ProjectLimit, UserLimit
from example_project.chat import report, visitors
from example_project.chat.roster import Roster
from example_project.chat.visitors import Room

if TYPE_CHECKING:
    from coreason_budget import AccountStatus

ROOM = Room(user=Decimal("0.1"), shared=Decimal(1))


@pytest.fixture
def roster(chat: None) -> Roster:
    return Roster.enroll()


def remaining(roster: Roster) -> dict[str, Decimal | None]:
    def name(item: AccountStatus) -> str:
        return roster.users.get(item.subject, item.subject)

    return {name(item): item.remaining for item in report.read_accounts(roster)}


def test_the_room_is_for_some_messages_of_the_model_that_answers(chat, settings):
    dear = visitors.room()
    settings.CHAT_MODEL = "gpt-4o-mini"
    cheap = visitors.room()
    assert dear == Room(Decimal("0.117"), Decimal("1.170"))  # six times 250 tokens at $30 and 200 at $60 a million
    assert cheap == Room(Decimal("0.001"), Decimal("0.010"))


def test_a_model_without_a_known_price_is_an_error_before_anybody_asks_it(chat, settings):
    settings.CHAT_MODEL = "no-such-model"
    with pytest.raises(UnknownModelError, match="no-such-model"):
        visitors.room()


def test_accounts_that_the_traffic_used_up_have_room_again(roster):
    alice, bob, _, dave, erin = roster.users
    UserLimit.objects.create(user_id=alice, amount_usd="0.002")
    UserLimit.objects.create(user_id=dave, amount_usd=0)
    UserLimit.objects.create(user_id=erin, amount_usd=None)
    ProjectLimit.objects.create(project_id="support", amount_usd="0.002")
    GlobalLimit.objects.create(amount_usd="0.002")
    service.charge(alice, "0.0015", "support")
    visitors.make_room(report.read_accounts(roster), ROOM)
    left = remaining(roster)
    assert left["alice"] == Decimal("0.1005")  # the limit is a whole number of tenths of a cent
    assert left["support"] == left[""] == Decimal("1.0005")
    assert left["dave"] == 0
    assert left["erin"] is None
    assert UserLimit.objects.get(user_id=alice).amount_usd == Decimal("0.102")
    assert left["bob"] == Decimal("0.1")
    assert UserLimit.objects.get(user_id=bob).reason == "The demo's traffic, and room for a visitor"


def test_users_and_admin_log_in_with_new_passwords_each_time(roster):
    first = visitors.give_passwords(roster)
    users, admin = visitors.give_passwords(roster)
    assert len({*first, users, admin}) == 4
    assert all(authenticate(username=name, password=users) for name in roster.users.values())
    assert authenticate(username="alice", password=first[0]) is None
    boss = authenticate(username="admin", password=admin)
    assert isinstance(boss, User)
    assert boss.is_staff
    assert boss.is_superuser
    assert not User.objects.filter(is_staff=True).exclude(username="admin").exists()


def test_visitors_are_told_where_to_go_and_who_answers(chat, settings):
    told = "\n".join(visitors.welcome("http://127.0.0.1:8000/", ("letmein", "topsecret"), ROOM))
    assert "http://127.0.0.1:8000/ " in told
    assert "password letmein" in told
    assert "http://127.0.0.1:8000/admin/  log in as admin, password topsecret" in told
    assert "$0.1 left each" in told
    assert "A make-believe model answers, at the price of gpt-4." in told
    settings.CHAT_MODEL = "gpt-4o-mini"
    told = "\n".join(visitors.welcome("http://127.0.0.1:8000/", ("letmein", "topsecret"), ROOM))
    assert "gpt-4o-mini answers, and its provider bills you for it." in told
