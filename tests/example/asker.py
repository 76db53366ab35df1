"""
A process that asks a model as the chat does: reads one call a line from its input and writes what became of it.

litellm leaves an event loop open in its process, which the test run would take for an error of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from django.conf import settings

settings.configure(CHAT_MODEL="gpt-4o-mini", USE_I18N=False, COREASON_BUDGET={"LOG_PATH": ""})

from example_project.chat.assistant import ModelError, Reply  # noqa: E402


async def stream(reply: Reply, pieces: int | None) -> list[str]:
    said = []
    answer = reply.stream()
    async for piece in answer:
        said.append(piece)
        if len(said) == pieces:
            break
    await answer.aclose()
    return said


def ask(runner: asyncio.Runner, how: str, messages: list[dict[str, str]], pieces: int | None = None) -> dict[str, Any]:
    reply = Reply(messages)
    told: dict[str, Any] = {"error": None, "said": None}
    try:
        told["said"] = reply.complete() if how == "complete" else runner.run(stream(reply, pieces))
    except ModelError as error:
        told["error"] = str(error)
    return {**told, "text": reply.text, "response": reply.response}


if __name__ == "__main__":
    with asyncio.Runner() as runner:  # one loop for all calls, as a server has
        for line in sys.stdin:
            told = ask(runner, **json.loads(line))
            sys.stdout.write(json.dumps(told, default=lambda usage: usage.model_dump()) + "\n")
            sys.stdout.flush()
