#!/usr/bin/env python
"""Takes the pictures of the README: ``uv run example_project/screenshots.py`` writes them to ``docs/images``."""

from __future__ import annotations

import os
import shutil
import sys
from argparse import ArgumentParser
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

IMAGES: Final = Path(__file__).resolve().parent.parent / "docs" / "images"
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Take the pictures, from the data of a month that is the same every time."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=IMAGES, help="where to (default: docs/images)")
    folder: Path = parser.parse_args().folder
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    if find_spec("playwright") is None:
        sys.exit("error: The package playwright is not installed. `uv sync` installs what development needs.")
    if chromium is None:
        sys.exit("error: Chromium is not installed. On Debian: apt-get install chromium fonts-dejavu-core")
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as data:
        # The settings read these; the site's own data and the keys of providers are left alone.
        os.environ |= {"DJANGO_SETTINGS_MODULE": "chat_site.settings", "EXAMPLE_DATA_DIR": data}
        os.environ |= dict.fromkeys(("EXAMPLE_MODEL", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"), "")
        os.environ.pop("REDIS_URL", None)
        _take(chromium, folder)


def _take(chromium: str, folder: Path) -> None:
    import django

    from chat_site.embedded import EmbeddedServerError

    try:
        django.setup()
    except EmbeddedServerError as error:
        sys.exit(f"error: {error}")
    from chat.pictures.album import take

    for file in take(chromium, folder):
        print(f"{file}  {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
