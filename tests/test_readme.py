"""What the README shows is run as it stands there."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget import service
from coreason_budget.models import SpendRecord
from coreason_budget.refusals.references import read_reference

from .conftest import fake_backend
from .litellms import WARNS
from .serving import environment, serving

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from .servers import RealServer
    from .upstream import Upstream

TOLD = ("Reference", "Cost-USD", "Remaining-USD", "Reset")
README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
QUICK_START = README.split("\n## ")[1]

pytestmark = WARNS


def blocks(language: str, text: str = README) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def block_with(text: str) -> str:
    """Return the one Python block of the README that has a text in it."""
    (found,) = [code for code in blocks("python") if text in code]
    return found


@pytest.mark.django_db(transaction=True)
def test_the_documented_lifecycle_runs_as_the_readme_shows_it(real_server: RealServer) -> None:
    with real_server.client() as client:
        client.flushall()
    names: dict[str, Any] = {}
    exec(block_with("budget = BudgetManager(config)").replace("redis://localhost:6379", real_server.url), names)

    async def main() -> list[str]:
        answers = [await names["ask"]("user_123")]
        await names["budget"].record_spend(user_id="user_123", cost="9.9916")
        answers.append(await names["ask"]("user_123"))
        await names["budget"].close()
        return answers

    first, second = asyncio.run(main())
    assert first == "That cost $0.0084"
    assert re.fullmatch(r"Daily limit reached, try again in \d+ seconds", second)
    assert SpendRecord.objects.filter(user_id="user_123").total_usd() == 10


@pytest.mark.django_db(transaction=True)
def test_the_limit_of_the_readme_is_a_row(settings: Any) -> None:
    names: dict[str, Any] = {}
    exec(block_with("ProjectLimit.objects.create"), names)
    assert [str(limit) for limit in names["ProjectLimit"].objects.all()] == ["project search: 200 USD / month"]


@pytest.mark.django_db(transaction=True)
def test_the_calls_of_litellm_are_booked(monkeypatch: Any, settings: Any, upstream: Upstream, capsys: Any) -> None:
    settings.CACHES = {**settings.CACHES, "default": fake_backend().alias}
    monkeypatch.setenv("OPENAI_API_KEY", "-")
    monkeypatch.setenv("OPENAI_BASE_URL", upstream.openai_url)
    messages = [{"role": "user", "content": "What is six times seven?"}]
    exec(block_with("integrations.litellm"), {"messages": messages, "user": SimpleNamespace(pk="ann")})
    assert capsys.readouterr().out == "Six times seven is forty-two."
    assert service.flush(10)
    assert [record.output_tokens for record in SpendRecord.objects.filter(user_id="ann")] == [7, 7]


@pytest.mark.django_db(transaction=True)
def test_the_calls_of_openai_are_booked(monkeypatch: Any, settings: Any, upstream: Upstream) -> None:
    settings.CACHES = {**settings.CACHES, "default": fake_backend().alias}
    monkeypatch.setenv("OPENAI_API_KEY", "-")
    monkeypatch.setenv("OPENAI_BASE_URL", upstream.openai_url)
    messages = [{"role": "user", "content": "What is six times seven?"}]
    names: dict[str, Any] = {"messages": messages, "user": SimpleNamespace(pk="ann")}
    exec(block_with("integrations.openai"), names)
    assert names["answer"].choices[0].message.content == "Six times seven is forty-two."
    names["client"].close()
    assert service.flush(10)
    assert [record.output_tokens for record in SpendRecord.objects.filter(user_id="ann")] == [7]


# A new project, into which the first section's blocks are pasted.


class Project:
    """A project made by ``django-admin startproject``; the environment names its Redis."""

    def __init__(self, folder: Path, server: RealServer) -> None:
        self.folder = folder
        self.environment = environment(COREASON_BUDGET_REDIS_URL=server.url)
        self.run("-m", "django", "startproject", "mysite", ".")

    def run(self, *arguments: str) -> str:
        """Run Python in the project's folder and return what it prints."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def paste(self, block: str) -> None:
        """Put a block into the file that its first line names: at its end, if that line says so, else it is new."""
        found = re.match(r"# (\S+\.py)(, at its end)?\n", block)
        assert found is not None
        file = self.folder / found[1]
        assert file.exists() is bool(found[2])
        with file.open("a", encoding="utf-8") as opened:
            opened.write(f"\n{block}")


@pytest.fixture
def server(new_server: Callable[..., RealServer]) -> RealServer:
    return new_server()


@pytest.fixture
def project(tmp_path: Path, server: RealServer) -> Project:
    return Project(tmp_path, server)


def test_the_quick_start_takes_less_than_forty_lines() -> None:
    pasted = [*blocks("python", QUICK_START), *blocks("sh", QUICK_START)]
    assert len(pasted) == 4
    assert sum(block.count("\n") for block in pasted) < 40


def test_a_new_project_works_as_the_quick_start_says(project: Project, server: RealServer) -> None:
    for block in blocks("python", QUICK_START):
        project.paste(block)
    [commands] = blocks("sh", QUICK_START)
    migrate, check, serve = (line.removeprefix("python ").split() for line in commands.splitlines())
    assert "Applying coreason_budget.0001_initial... OK" in project.run(*migrate)
    assert project.run(*check) == "System check identified no issues (0 silenced).\n"

    arguments = [*serve, "--noreload", "{port}"]
    with serving(arguments, project.folder, project.environment) as site, site.client() as client:
        *passed, refused = [client.get("/ask/") for _ in range(4)]
        page = client.get("/ask/", headers={"Accept": "text/html"})
        server.kill()
        unchecked = client.get("/ask/")

    assert [answer.status_code for answer in passed] == [200, 200, 200]
    assert [answer.json() for answer in passed] == [{"answer": "42"}] * 3
    assert [answer.headers["X-Budget-Cost-USD"] for answer in passed] == ["0.000225"] * 3
    assert [answer.headers["X-Budget-Remaining-USD"] for answer in passed] == ["0.000775", "0.00055", "0.000325"]
    assert {answer.headers["X-Budget-Reset"] for answer in passed} == {refused.json()["resets_at"]}
    assert any(shape(as_curl_shows(refused)) == shape(block) for block in blocks("text"))
    assert int(refused.headers["Retry-After"]) == refused.json()["retry_after"]
    assert (page.status_code, page.headers["Content-Type"]) == (429, "text/html; charset=utf-8")
    assert any(as_curl_shows(unchecked) == block for block in blocks("text"))


def as_curl_shows(answer: httpx.Response) -> str:
    """Return what the README shows of an answer: its status, the headers that tell of the budget, its body."""
    names = ("Content-Type", "Retry-After", *(f"X-Budget-{name}" for name in TOLD))
    headers = [f"{name}: {answer.headers[name]}" for name in names if name in answer.headers]
    body = json.dumps(answer.json(), indent=2)
    return "\n".join([f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}", *headers, "", body, ""])


def shape(text: str) -> str:
    """Leave out what changes: dates, how long it is to the next one, and references."""
    text = re.sub(r"\d{4}-\d\d-\d\dT00:00:00", "<midnight>", text)
    text = re.sub(r"\b\w{3}-\w{3}-\w{3}\b", _hidden, text)
    return re.sub(r"(Retry-After: |\"retry_after\": )\d+", r"\1<seconds>", text)


def _hidden(found: re.Match[str]) -> str:
    return found[0] if read_reference(found[0]) is None else "<reference>"
