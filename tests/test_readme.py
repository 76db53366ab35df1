"""What the README shows is run as it stands there."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget.models import SpendRecord

if TYPE_CHECKING:
    from .servers import RealServer

README = Path(__file__).parent.parent / "README.md"

# pydantic warns of litellm's own types when they are first used.
pytestmark = pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning")


def block_with(text: str) -> str:
    """Return the one Python block of the README that has a text in it."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (found,) = [code for code in blocks if text in code]
    return str(found)


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
