"""The database of this run as other processes log in to it, whichever it is."""

from __future__ import annotations

import json
from typing import Final

from django.db import connection

_LOGIN: Final = ("ENGINE", "NAME", "USER", "HOST", "PORT")


def login() -> str:
    """Return the test database as an item of DATABASES, in JSON."""
    return json.dumps({key: str(connection.settings_dict[key]) for key in _LOGIN})
