"""A real Chromium on the example site, served by uvicorn. A page with an error or a CSP violation fails its test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.sync_api import sync_playwright

from ..serving import environment, serving
from .stage import PASSWORD
from .visitor import Visitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

    from ..serving import Site

ROOT: Final = Path(__file__).resolve().parents[2]
OPTIONS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.debian("chromium"))


class Stage:
    """The data of the example site, worked on by a process of its own: Playwright runs an event loop in this one."""

    def __init__(self, folder: Path) -> None:
        paths = [str(ROOT), str(ROOT / "example_project"), os.environ.get("PYTHONPATH", "")]
        self.environment = environment(
            DJANGO_SETTINGS_MODULE="tests.browser.settings",
            EXAMPLE_DATA_DIR=str(folder),
            EXAMPLE_WORD_DELAY="0.01",
            PYTHONPATH=os.pathsep.join(filter(None, paths)),
        )
        self._log = folder / "stage.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.browser.stage"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env=self.environment,
                text=True,
            )

    def __call__(self, scene: str, about: object) -> Any:
        """Run a function of ``stage.py`` and return what it returns."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps([scene, about])}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self._log.read_text()
        return json.loads(answer)

    def close(self) -> None:
        self._process.communicate(timeout=20)


# These live as long as this package's tests run: with Playwright there is a running event loop in this thread, which
# the tests of other packages must not meet.


@pytest.fixture(scope="package")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Return the data of a new site, on which only an administrator is known."""
    with closing(Stage(tmp_path_factory.mktemp("example"))) as made:
        made("set_up", {"admin": {"is_staff": True, "is_superuser": True}})
        yield made


@pytest.fixture(scope="package")
def site(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Serve the example site."""
    arguments = ["-m", "uvicorn", "--port", "{port}", "--log-level", "warning", "chat_site.asgi:application"]
    with serving(arguments, tmp_path_factory.mktemp("served"), stage.environment) as served:
        yield served


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Start Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(OPTIONS))
        yield chromium
        chromium.close()


@pytest.fixture
def visit(site: Site, browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """
    Open a browser session of its own: ``visit("ann")`` logs in, ``visit()`` does not; ``visit(color_scheme="dark")``.

    The test fails if a page of one logs an error that it did not announce, or breaks its Content-Security-Policy.
    """
    visitors: list[Visitor] = []

    def open_session(username: str | None = None, **options: Any) -> Visitor:
        context = browser.new_context(base_url=site.url, **{"locale": "en-GB", "timezone_id": "UTC", **options})
        visitor = Visitor(context, has_scripts=options.get("java_script_enabled", True))
        visitors.append(visitor)
        if username is not None:
            visitor.log_in(username, PASSWORD)
        return visitor

    yield open_session
    problems = [problem for visitor in visitors for problem in visitor.leave()]
    assert problems == []
