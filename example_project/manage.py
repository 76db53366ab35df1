#!/usr/bin/env python
"""The command line of the example site: ``manage.py demo`` shows the whole thing at work."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run a management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chat_site.settings")
    from django.core.management import execute_from_command_line

    from chat_site.embedded import EmbeddedServerError

    try:
        execute_from_command_line(sys.argv)
    except EmbeddedServerError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
