"""
A process that asks a model as the chat does: reads one call a line from its input and writes what became of it.

litellm leaves an event loop open in its process, which the test run would take for an error of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextvars import copy_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from fakeredis import FakeRedisConnection


async def stream(reply: Any, pieces: int | None) -> list[str]:
    said = []
    answer = reply.stream()
    async for piece in answer:
        said.append(piece)
        if len(said) == pieces:
            break
    await answer.aclose()
    return said


def ask(runner: asyncio.Runner, how: str, messages: list[dict[str, str]], pieces: int | None = None) -> dict[str, Any]:
    from coreason_budget import budgeted_run, service
    from coreason_budget.models import SpendRecord
    from example_project.chat.assistant import ModelError, Reply

    reply = Reply(messages)
    told: dict[str, Any] = {"error": None, "said": None}
    SpendRecord.objects.all().delete()
    with budgeted_run("alice"):
        try:
            if how == "complete":
                told["said"] = reply.complete()
            else:
                told["said"] = runner.run(stream(reply, pieces), context=copy_context())  # where the run is known
        except ModelError as error:
            told["error"] = str(error)
    service.flush(10)
    booked = [[row.model, row.input_tokens, row.output_tokens] for row in SpendRecord.objects.all()]
    return {**told, "text": reply.text, "booked": booked}


def main() -> None:
    with TemporaryDirectory() as folder, asyncio.Runner() as runner:  # one loop for all calls, as a server has
        database = {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(folder) / "db.sqlite3"}
        options = {"CONNECTION_POOL_KWARGS": {"connection_class": FakeRedisConnection}}
        cache = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://asker.invalid/0", "OPTIONS": options}
        settings.configure(
            CHAT_MODEL="gpt-4o-mini",
            USE_I18N=False,
            USE_TZ=True,
            INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "coreason_budget"],
            DATABASES={"default": database},
            CACHES={"default": cache},
            COREASON_BUDGET={"LOG_PATH": ""},
        )
        django.setup()
        call_command("migrate", verbosity=0)
        for line in sys.stdin:
            sys.stdout.write(json.dumps(ask(runner, **json.loads(line))) + "\n")
            sys.stdout.flush()
        from coreason_budget import service

        service.reset()


if __name__ == "__main__":
    main()
