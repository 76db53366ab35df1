"""A Redis Cluster of child processes: primaries that share the slots, and a replica of one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..servers import free_port
from ..waiting import until
from .sentinel import is_in_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..servers import RealServer

SLOTS: Final = 16_384
NODE_TIMEOUT_MS: Final = 1000


def new_cluster(new_server: Callable[..., RealServer], size: int) -> list[RealServer]:
    """Start a cluster of primaries and wait until they agree."""
    nodes = [_new_node(new_server) for _ in range(size)]
    step = SLOTS // size
    for number, node in enumerate(nodes):
        last = SLOTS - 1 if node is nodes[-1] else (number + 1) * step - 1
        _command(node, "CLUSTER", "ADDSLOTSRANGE", number * step, last)
        _command(node, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number:
            _meet(node, nodes[0])
    until(lambda: all(is_whole(node, size) for node in nodes))
    return nodes


def owner(nodes: list[RealServer], key: str) -> RealServer:
    """Return the primary that has a key."""
    slot: int = _command(nodes[0], "CLUSTER", "KEYSLOT", key)
    return nodes[min(slot // (SLOTS // len(nodes)), len(nodes) - 1)]


def new_replica(new_server: Callable[..., RealServer], primary: RealServer) -> RealServer:
    """Start a replica of a primary and wait until it has the data and may be voted for."""
    replica = _new_node(new_server)
    _meet(replica, primary)
    name = _command(primary, "CLUSTER", "MYID")
    until(lambda: name in _command(replica, "CLUSTER", "NODES", raw=True))
    _command(replica, "CLUSTER", "REPLICATE", name)
    until(lambda: is_in_step(replica))
    return replica


def is_whole(node: RealServer, size: int) -> bool:
    """Tell whether all slots are served, as a node sees it."""
    info = str(_command(node, "CLUSTER", "INFO"))
    return "cluster_state:ok" in info and len(_command(node, "CLUSTER", "SLOTS")) == size


def url_of(node: RealServer) -> str:
    """Return the value of REDIS_URL for a cluster."""
    return node.url.replace("redis://", "redis+cluster://").removesuffix("/0")


def _new_node(new_server: Callable[..., RealServer]) -> RealServer:
    options = {"cluster-enabled": "yes", "cluster-node-timeout": str(NODE_TIMEOUT_MS), "repl-diskless-sync-delay": "0"}
    return new_server(options={**options, "cluster-port": str(free_port())})


def _meet(node: RealServer, other: RealServer) -> None:
    _command(node, "CLUSTER", "MEET", "127.0.0.1", other.port, other.options["cluster-port"])


def _command(node: RealServer, *words: object, raw: bool = False) -> Any:
    with node.client() as client:
        answer = client.execute_command(*words)
    return str(answer) if raw else answer
