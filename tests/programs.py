"""Where the programs of Debian packages are: PostgreSQL keeps its own off PATH, in a directory for each version."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

_POSTGRESQL: Final = Path("/usr/lib/postgresql")


def find_program(name: str) -> str | None:
    """Return the path of a program, the newest one of PostgreSQL's, or None if it is not installed."""
    versions = sorted(_POSTGRESQL.glob("*/bin"), key=lambda folder: float(folder.parent.name), reverse=True)
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, versions)]))
