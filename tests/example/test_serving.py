from __future__ import annotations

import socket
from contextlib import closing

import pytest

from example_project.chat import serving

from ..servers import free_port


def test_the_first_free_port_is_taken():
    port = free_port()
    with closing(serving.listen("127.0.0.1", [port])) as first:
        assert serving.address_of(first) == f"http://127.0.0.1:{port}/"
        with closing(serving.listen("127.0.0.1", range(port, port + 20))) as second:
            assert port < second.getsockname()[1] < port + 20


def test_a_port_that_is_taken_names_the_remedy():
    with closing(serving.listen("127.0.0.1", [0])) as taken:
        port = taken.getsockname()[1]
        remedy = f"Port {port} is taken. Name another: --port {port + 1}, or --port 0 for any that is free."
        with pytest.raises(OSError, match=remedy):
            serving.listen("127.0.0.1", [port])


def test_a_host_that_is_not_here_says_why():
    with pytest.raises(OSError, match=r"The site cannot be at 192\.0\.2\.1, port 8000: "):
        serving.listen("192.0.2.1", [8000])


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "http://127.0.0.1:{}/"), ("0.0.0.0", "http://localhost:{}/")]
)
def test_the_address_is_one_that_a_browser_takes(host, address):
    with closing(serving.listen(host, [0])) as listener:
        assert serving.address_of(listener) == address.format(listener.getsockname()[1])


@pytest.mark.skipif(not socket.has_ipv6, reason="NOT TESTED: there is no IPv6")
def test_an_address_of_ipv6_has_brackets():
    try:
        listener = serving.listen("::1", [0])
    except OSError:
        pytest.skip("NOT TESTED: IPv6 is switched off")
    with closing(listener):
        assert serving.address_of(listener) == f"http://[::1]:{listener.getsockname()[1]}/"
