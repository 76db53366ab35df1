"""
The chat: one page, and two ways to get an answer, both on a budget.

``stream`` is an asynchronous view whose answer comes in pieces. ``ChatPage.post`` is a plain one, for browsers without
JavaScript. Both hold the most that the answer can cost before they ask the model; the call itself books what it did
cost.
"""

from __future__ import annotations

import json
from contextlib import aclosing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django.views.generic import TemplateView

from coreason_budget import budgeted

from . import conversation
from .assistant import ModelError, Reply, estimate, is_make_believe, model_name
from .roster import PROJECTS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from decimal import Decimal

    from coreason_budget.http import RequestBudget

    from .assistant import Message

    class BudgetRequest(HttpRequest):
        """A request as BudgetMiddleware leaves it."""

        budget: RequestBudget


__all__ = ["ChatPage", "budget", "stream"]

LONGEST_QUESTION = 1000


def the_most_it_costs(request: HttpRequest, project: str) -> Decimal:
    """Return what to hold for a message, in USD: its tokens, and those of the longest answer."""
    return estimate(_messages(request, project))


@login_required
@require_POST
@budgeted(project="project", estimate=the_most_it_costs)
async def stream(request: BudgetRequest, project: str) -> StreamingHttpResponse:
    """Answer with lines of JSON, as the model speaks: its text in pieces, then the cost or a problem."""
    messages = await sync_to_async(_messages)(request, project)
    return StreamingHttpResponse(
        _lines(request, project, messages),
        content_type="application/x-ndjson",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _lines(request: BudgetRequest, project: str, messages: list[Message]) -> AsyncGenerator[str, None]:
    reply = Reply(messages)
    try:
        async with aclosing(reply.stream()) as pieces:
            async for text in pieces:
                yield _line(text=text)
    except ModelError as error:
        yield _line(problem=str(error))
    finally:  # also when the reader goes away
        await sync_to_async(_remember)(request, project, reply)
    if reply.text:
        yield _line(cost=f"{request.budget.cost:f}")


class ChatPage(LoginRequiredMixin, TemplateView):
    """The page of a project: what was said lately, and a form for the next message."""

    template_name = "chat/chat.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add what the page shows."""
        return super().get_context_data(
            **kwargs,
            exchanges=conversation.exchanges(self.request.session, kwargs["project"]),
            projects=PROJECTS,
            model=model_name(),
            is_make_believe=is_make_believe(),
            longest_question=LONGEST_QUESTION,
        )

    @method_decorator(budgeted(project="project", estimate=the_most_it_costs))
    def post(self, request: BudgetRequest, project: str) -> HttpResponse:
        """Answer a message that was sent as a plain form, and show the page again."""
        reply = Reply(_messages(request, project))
        try:
            reply.complete()
        except ModelError as error:
            context = self.get_context_data(project=project, problem=error, question=request.POST["question"])
            return self.render_to_response(context, status=HTTPStatus.BAD_GATEWAY)
        _remember(request, project, reply)
        return redirect("chat", project)


@login_required
@require_GET
@never_cache
def budget(request: HttpRequest, project: str) -> HttpResponse:
    """Show how the visitor's budget stands now, as the part of the page that shows it."""
    return render(request, "chat/_budget.html", {"project": project})


def _messages(request: HttpRequest, project: str) -> list[Message]:
    """Return what the model is asked. Raise BadRequest (Django answers 400) if there is no question or a book of it."""
    question = request.POST.get("question", "").strip()
    if not 0 < len(question) <= LONGEST_QUESTION:
        raise BadRequest(_("A message has from 1 to %(most)d characters.") % {"most": LONGEST_QUESTION})
    return conversation.messages(request.session, project, question)


def _remember(request: BudgetRequest, project: str, reply: Reply) -> None:
    if reply.text:
        question = request.POST["question"].strip()
        conversation.remember(request.session, project, question, reply.text, request.budget.cost)


def _line(**event: str) -> str:
    return f"{json.dumps(event)}\n"
