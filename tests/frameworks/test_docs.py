"""What docs/frameworks.md shows: its command is run as it stands there, and every name that it imports exists."""

from __future__ import annotations

import ast
import re
from functools import partial
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
import pytest
from django.core.management import CommandError, call_command

from coreason_budget.models import SpendRecord
from coreason_budget.pricing.litellm_prices import load_litellm

if TYPE_CHECKING:
    from tests.http.site import Ledger

# pydantic warns of litellm's own types when they are first used.
pytestmark = pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning")

TEXT = (Path(__file__).parents[2] / "docs" / "frameworks.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.django_db(transaction=True)
def test_the_command_runs_on_the_budget_of_its_user(ledger: Ledger, ann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    litellm = load_litellm()  # without a network
    [block] = [code for code in BLOCKS if "class Command" in code]
    names: dict[str, Any] = {}
    exec(block, names)
    answer = partial(litellm.completion, mock_response="A summary.")  # litellm answers by itself, at the usual price
    monkeypatch.setattr(litellm, "completion", answer)
    said = StringIO()

    call_command(names["Command"](), str(ann.pk), "one", "two", "--project", "search", stdout=said)

    assert said.getvalue() == "A summary.\nA summary.\n"
    assert SpendRecord.objects.filter(user_id=ann.pk, project_id="search").count() == 2
    assert ledger.of(ann) == ledger.of(ann, "search", scope="project") == ("0.00045", "0")

    ledger.configure(daily_user_limit_usd="0.01")
    with pytest.raises(CommandError, match=r"The budget of user .* is used up: limit 0\.01 USD"):
        call_command(names["Command"](), str(ann.pk), "three", stdout=said)
    assert ledger.of(ann)[1] == "0"


def imports() -> list[tuple[str, str]]:
    """Return the names that the page imports of this app, each with its module."""
    found = [node for code in BLOCKS for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    names = {(str(node.module), alias.name) for node in found for alias in node.names}
    return sorted(name for name in names if name[0].startswith("coreason_budget"))


@pytest.mark.parametrize(("module", "name"), imports())
def test_every_name_that_is_imported_exists(module: str, name: str) -> None:
    if module.endswith(".tasks") and django.VERSION < (6, 0):
        pytest.skip("this Django has no tasks")
    assert hasattr(import_module(module), name)
