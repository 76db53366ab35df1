"""A disk without room for the log: budgets go on as before, and the project's own logging hears of it."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

import pytest
from loguru import logger as loguru

from coreason_budget import log
from coreason_budget.exceptions import BudgetExceededError

from .conftest import booked, standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from coreason_budget.manager import BudgetManager

    from ..conftest import Driver
    from ..servers import RealServer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "app.log"
    yield file
    with contextlib.suppress(OSError):  # what could not be written still cannot, so the file is not closed
        loguru.remove(log._sinks.pop(str(file)))
    gc.collect()


def test_a_log_that_cannot_be_written_stops_nothing(
    path: Path,
    new_server: Callable[..., RealServer],
    use_server: Callable[[RealServer], None],
    new_manager: Callable[..., BudgetManager],
    driver: Driver,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level("INFO", "coreason_budget")
    use_server(new_server())
    manager = new_manager(daily_user_limit_usd="1", log_path=str(path))
    path.symlink_to("/dev/full")  # every write fails as on a disk that is full

    hold = driver(manager, "reserve", "ann", amount="0.8")
    for _ in range(2):
        with pytest.raises(BudgetExceededError, match="ann"):
            driver(manager, "reserve", "ann", amount="0.3")
    assert driver(hold, "charge", cost="0.5", final=True).counted is True
    assert manager.flush(5)

    assert standing(driver, manager) == (500_000_000, 0)
    assert booked() == 500_000_000
    assert caplog.text.count("Refused") == 2
    assert "No space left on device" in capsys.readouterr().err
