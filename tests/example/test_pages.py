from __future__ import annotations

import re

import pytest
from django.test import Client

from coreason_budget.models import ProjectLimit, UserLimit
from example_project.chat import assistant
from example_project.chat_site.policy import POLICY

from ..litellms import WARNS
from .books import accounts, booked

pytestmark = WARNS

SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script>", re.DOTALL)
INLINE = re.compile(r"<style\b|\sstyle\s*=|\son[a-z]+\s*=\s*[\"']|javascript:", re.IGNORECASE)


def text_of(response) -> str:
    text: str = response.content.decode()
    return text


@pytest.mark.parametrize("address", ["/support/", "/support/budget/", "/"])
def test_nobody_chats_without_logging_in(chat, address):
    response = Client().get(address, follow=True)
    assert response.redirect_chain[-1][0].startswith("/login/?next=/support/")
    assert '<label for="id_username">Username</label>' in text_of(response)


def test_logging_in_leads_to_the_first_project_and_logging_out_to_the_log_in(alice):
    client = Client()
    response = client.post("/login/", {"username": "alice", "password": "secret"}, follow=True)
    assert response.redirect_chain[-1] == ("/support/", 302)
    assert "Chat in the project support" in text_of(response)
    assert client.post("/logout/", follow=True).redirect_chain[-1] == ("/login/", 302)


def test_a_wrong_password_is_said_to_be_wrong(alice):
    response = Client().post("/login/", {"username": "alice", "password": "wrong"})
    assert re.search(r'<p class="notice" role="alert">Please enter a correct username and password', text_of(response))


def test_only_the_projects_of_the_demo_have_pages(browser):
    assert browser.get("/research/").status_code == 200
    assert browser.get("/treasury/").status_code == 404
    assert browser.post("/treasury/stream/", {"question": "?"}).status_code == 404


def test_a_message_sent_as_a_form_is_answered_on_the_page_and_charged(browser, alice):
    response = browser.post("/support/", {"question": "Who pays?"}, follow=True)
    assert response.redirect_chain == [("/support/", 302)]
    (record,) = booked()
    assert (record.user, record.project, record.model) == (str(alice.pk), "support", "gpt-4")
    assert record.cost == record.price
    assert record.cost > 0
    assert accounts(alice) == dict.fromkeys(("user", "project", "global"), (record.cost, 0))
    page = text_of(response)
    assert "I can say little about “Who pays?”." in page
    assert f"cost ${record.cost.normalize():f}" in page


def test_the_next_message_sends_along_what_was_said(browser, alice):
    browser.post("/support/", {"question": "Who pays?"})
    browser.post("/support/", {"question": "Who pays?"})
    first, second = booked()
    assert second.prompt > first.prompt + first.answer


def test_projects_are_conversations_and_budgets_apart(browser):
    browser.post("/support/", {"question": "Only here"})
    assert "Only here" in text_of(browser.get("/support/"))
    assert "Only here" not in text_of(browser.get("/sales/"))
    assert {record.project for record in booked()} == {"support"}


@pytest.mark.parametrize("question", ["", "   \n", "x" * 1001])
def test_a_message_that_is_none_or_a_book_is_refused_before_anything_is_held(browser, alice, question):
    for address in ("/support/", "/support/stream/"):
        assert browser.post(address, {"question": question}).status_code == 400
    assert accounts(alice)["user"] == (0, 0)


def test_an_answer_is_asked_for_by_post_only(browser):
    assert browser.get("/support/stream/").status_code == 405


def test_a_question_with_markup_in_it_is_shown_as_text(browser):
    page = text_of(browser.post("/support/", {"question": "<script>alert(1)</script>"}, follow=True))
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2  # in the question, and echoed in the answer


def test_a_browser_whose_budget_is_over_gets_a_page_that_says_so(browser, alice):
    UserLimit.objects.create(user=alice, amount_usd="0.001")
    response = browser.post("/support/", {"question": "Who pays?"})
    assert response.status_code == 429
    assert response["Content-Type"].startswith("text/html")
    assert "This request may cost more than your whole budget." in text_of(response)
    assert response["Content-Security-Policy"] == POLICY
    assert booked() == []


def test_the_budget_of_the_project_refuses_too(browser):
    ProjectLimit.objects.create(project_id="sales", amount_usd="0.001")
    assert browser.post("/sales/", {"question": "Who pays?"}).status_code == 429
    assert browser.post("/support/", {"question": "Who pays?"}).status_code == 302


def test_a_model_that_fails_is_said_on_the_page_and_costs_nothing(browser, alice, monkeypatch):
    def fail(_reply: assistant.Reply) -> str:
        raise assistant.ModelError("The model did not answer.")

    monkeypatch.setattr(assistant.Reply, "complete", fail)
    response = browser.post("/support/", {"question": "Who pays?"})
    assert response.status_code == 502
    assert '<p data-part="detail">The model did not answer.</p>' in text_of(response)
    assert ">Who pays?</textarea>" in text_of(response)
    assert accounts(alice)["user"] == (0, 0)


def test_the_bar_shows_what_a_message_cost(browser, alice):
    UserLimit.objects.create(user=alice, amount_usd="0.10")
    before = text_of(browser.get("/support/budget/"))
    browser.post("/support/", {"question": "Who pays?"})
    after = text_of(browser.get("/support/budget/"))
    assert 'data-budget-state="ok"' in before
    assert 'aria-valuenow="0"' in before
    assert f'aria-valuenow="{booked()[0].cost:f}"' in after


@pytest.mark.parametrize("address", ["/login/", "/support/", "/support/budget/", "/admin/login/", "/nowhere/"])
def test_every_page_has_a_strict_policy_and_nothing_inline(browser, address):
    client = Client() if "login" in address else browser
    response = client.get(address)
    assert response["Content-Security-Policy"] == POLICY
    page = text_of(response)
    assert not INLINE.search(page)
    assert all("src=" in attributes and not body.strip() for attributes, body in SCRIPT.findall(page))


def test_the_policy_lets_nothing_in_from_elsewhere():
    assert POLICY.split("; ") == [
        "default-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "object-src 'none'",
    ]
