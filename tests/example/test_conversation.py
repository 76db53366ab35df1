from __future__ import annotations

from decimal import Decimal

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session

from example_project.chat.conversation import Exchange, exchanges, messages, remember
from example_project.chat.pretender import ANSWERS, answer

pytestmark = pytest.mark.django_db


@pytest.fixture
def session() -> SessionStore:
    made = SessionStore()
    made.create()
    return made


def read(session: SessionStore) -> list[Exchange]:
    return exchanges(SessionStore(session.session_key), "support")


def test_what_another_tab_said_meanwhile_is_kept(session):
    assert read(session) == exchanges(session, "support") == []
    remember(SessionStore(session.session_key), "support", "theirs", "yes", Decimal("0.01"))
    remember(session, "support", "ours", "no", Decimal("0.000000001"))
    assert read(session) == [Exchange("theirs", "yes", "0.01"), Exchange("ours", "no", "0.000000001")]
    assert read(session)[1].cost_usd == Decimal("0.000000001")


def test_who_has_logged_out_meanwhile_is_not_logged_in_again(session):
    exchanges(session, "support")
    SessionStore(session.session_key).flush()
    remember(session, "support", "late", "answer", Decimal("0.01"))
    assert not Session.objects.exists()


def test_only_the_last_exchanges_are_kept(session):
    for number in range(12):
        remember(session, "support", str(number), "", Decimal(0))
    assert [item.question for item in read(session)] == [str(number) for number in range(2, 12)]


def test_a_model_gets_instructions_the_last_exchanges_and_the_question(session):
    for number in range(5):
        remember(session, "support", f"question {number}", f"answer {number}", Decimal(0))
    first, *rest = messages(SessionStore(session.session_key), "support", "and now?")
    assert first["role"] == "system"
    assert "a project named support" in first["content"]
    assert rest == [
        {"role": role, "content": f"{word} {number}"}
        for number in (2, 3, 4)
        for role, word in (("user", "question"), ("assistant", "answer"))
    ] + [{"role": "user", "content": "and now?"}]


def test_the_make_believe_model_answers_the_last_question_and_echoes_no_book():
    said = answer([{"role": "user", "content": f"tell\nme {'more ' * 50}"}])
    assert said.startswith("I am a make-believe model, so I can say little about “tell me more more")
    assert "m…”. But" in said


def test_the_make_believe_model_does_not_repeat_itself():
    question = {"role": "user", "content": "?"}
    told = {answer([question] * count) for count in range(1, len(ANSWERS) + 1)}
    assert len(told) == len(ANSWERS)
