"""The recipe for Slack in ``docs/alerts.md``, as it is printed there."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from coreason_budget import BudgetExceededError, budget_exceeded, budget_threshold_reached, service

from ..conftest import fake_backend

DOCS = Path(__file__).parents[2] / "docs" / "alerts.md"

pytestmark = pytest.mark.django_db(transaction=True)


class Slack(BaseHTTPRequestHandler):
    heard: list[str] = []  # noqa: RUF012 - of the one server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.append(json.loads(body)["text"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_the_recipe_tells_slack(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CACHES = {**settings.CACHES, "default": fake_backend().alias}
    settings.COREASON_BUDGET = {"LOG_PATH": "", "DAILY_USER_LIMIT_USD": "1"}
    recipe = next(code for code in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL) if "slack" in code)
    module: dict[str, Any] = {}
    exec(compile(recipe, str(DOCS), "exec"), module)
    with HTTPServer(("127.0.0.1", 0), Slack) as server:
        monkeypatch.setenv("SLACK_WEBHOOK_URL", f"http://127.0.0.1:{server.server_port}/")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        service.charge("ann", "0.60")
        for _ in range(2):
            with pytest.raises(BudgetExceededError):
                service.reserve("ann", amount="0.50")
        module["slack"].shutdown()
        server.shutdown()
        thread.join()
    budget_threshold_reached.disconnect(module["tell_of_a_threshold"])
    budget_exceeded.disconnect(module["tell_of_the_first_refusal"])
    assert Slack.heard[0] == "user ann: 50 % of $1 per day is used"
    assert Slack.heard[1].startswith("The budget of user 'ann' per day is used up: limit 1 USD, spent 0.6, ")
    assert len(Slack.heard) == 2
