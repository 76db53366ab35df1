from __future__ import annotations

import re
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from .places import EXAMPLE, environment

if TYPE_CHECKING:
    from pathlib import Path

ROOT: Final = EXAMPLE.parent
README: Final = (ROOT / "README.md").read_text("utf-8")
SHOWN: Final = sorted(re.findall(r"docs/images/([\w-]+\.png)", README))
LARGEST: Final = 150_000  # bytes: everybody who clones the repository gets them

TIMEOUT: Final = 280  # seconds; it takes some 20, on a machine with nothing else to do


def take(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLE / "screenshots.py"), *arguments],
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def size_of(picture: Path) -> tuple[int, ...]:
    """Return the width and height of a PNG file."""
    head = picture.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    return struct.unpack(">II", head[16:])


def test_the_pictures_of_the_readme_are_there_and_are_described() -> None:
    assert sorted(file.name for file in (ROOT / "docs" / "images").iterdir()) == SHOWN
    assert all(size_of(ROOT / "docs" / "images" / name)[0] >= 900 for name in SHOWN)
    assert max((ROOT / "docs" / "images" / name).stat().st_size for name in SHOWN) < LARGEST
    described = re.findall(r'!\[([^\]]*)\]\(docs/|<img src="docs/images/[\w.-]+" alt="([^"]*)"', README)
    assert len(described) == len(SHOWN) - 1  # the dark one stands for the light one
    assert all(len(markdown or html) > 40 for markdown, html in described)


@pytest.mark.debian("chromium")
@pytest.mark.once
@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT + 20)
def test_one_command_takes_the_pictures_of_the_readme(tmp_path: Path) -> None:
    run = take(str(tmp_path / "new"), EXAMPLE_DATA_DIR=str(tmp_path / "mine"), REDIS_URL="redis://127.0.0.1:1/0")

    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    taken = sorted((tmp_path / "new").iterdir())
    assert [file.name for file in taken] == SHOWN
    assert max(file.stat().st_size for file in taken) < LARGEST
    assert [size_of(file) for file in taken] == [size_of(ROOT / "docs" / "images" / file.name) for file in taken]
    assert not (tmp_path / "mine").exists()  # the data of somebody's demo is no matter of the pictures


def test_without_chromium_the_command_says_what_to_install(tmp_path: Path) -> None:
    run = take(str(tmp_path / "new"), PATH=str(tmp_path))

    assert run.returncode == 1
    assert run.stderr == "error: Chromium is not installed. On Debian: apt-get install chromium fonts-dejavu-core\n"
    assert not (tmp_path / "new").exists()
