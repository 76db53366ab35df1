"""Each peer's own environment, made from PyPI when it is first needed and kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["UnavailableError", "python_of"]

FOLDER: Final = "COREASON_BENCHMARK_ENVIRONMENTS"


class UnavailableError(Exception):
    """A peer cannot take part; the message says why."""


def python_of(requirements: Sequence[str]) -> str:
    """
    Return the Python of an environment with these requirements, made by uv if it is not there yet.

    They are kept in the folder that COREASON_BENCHMARK_ENVIRONMENTS names, else in the user's cache. Raise
    UnavailableError if one cannot be made.
    """
    words = "\n".join([sys.version, *requirements])
    home = _folder() / hashlib.sha256(words.encode()).hexdigest()[:16]
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    finished = home / "requirements.txt"
    if not finished.exists():
        _run("venv", "--clear", "--python", sys.executable, str(home))
        _run("pip", "install", "--python", str(python), *requirements)
        finished.write_text("\n".join([*requirements, ""]), "utf-8")
    return str(python)


def _folder() -> Path:
    if named := os.environ.get(FOLDER):
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "coreason-budget-benchmarks"


def _run(*arguments: str) -> None:
    uv = shutil.which("uv")
    if uv is None:
        raise UnavailableError("uv, which makes the environments, is not installed")
    done = subprocess.run([uv, *arguments], capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise UnavailableError(f"uv {arguments[0]} failed: {said[-1] if said else done.returncode}")
