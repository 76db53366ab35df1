"""``manage.py budget_doctor``, asked for what machines read."""

from __future__ import annotations

import json
from io import StringIO

from django.core.management import call_command


def examine(*arguments: str) -> tuple[int, dict[str, tuple[str, str, str]]]:
    """Return the exit code, and per check the level, what was found and the remedy."""
    out, code = StringIO(), 0
    try:
        call_command("budget_doctor", "--json", *arguments, stdout=out)
    except SystemExit as ended:
        code = int(str(ended.code))
    findings = json.loads(out.getvalue())
    return code, {item["check"]: (item["level"], item["what"], item["remedy"]) for item in findings}
