"""A Sentinel as a child process: the Valkey binary in another mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from ..servers import RealServer
from ..waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

SERVICE = "budget"


class SentinelServer(RealServer):
    """Watches one primary, alone: its quorum is one."""

    def __init__(self, primary: RealServer, *, options: Mapping[str, str] | None = None) -> None:
        super().__init__(options=options)
        self.options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "sentinel monitor": f"{SERVICE} 127.0.0.1 {primary.port} 1",
            "sentinel down-after-milliseconds": f"{SERVICE} 300",
            "sentinel failover-timeout": f"{SERVICE} 3000",
            **(options or {}),
        }

    def start(self) -> Self:
        """Start as a Sentinel: the first word of the configuration's name says so."""
        binary = self.home / "valkey-sentinel"
        if not binary.exists():
            binary.symlink_to(self.binary)
        self.binary = str(binary)
        return super().start()

    def primary_port(self) -> int:
        """Return the port of the primary as this Sentinel sees it."""
        with self.client() as client:
            return int(client.sentinel_master(SERVICE)["port"])

    def fail_over(self, primary: RealServer, replica: RealServer) -> None:
        """Kill the primary and wait until its replica is the new one."""
        with self.client() as client:
            until(lambda: replicas(client) == 1)
        primary.kill()
        until(lambda: self.primary_port() == replica.port and role(replica) == "master")


def replicas(client: Redis) -> int:
    """Return how many replicas a Sentinel knows that are ready."""
    found: list[Any] = client.execute_command("SENTINEL", "REPLICAS", SERVICE)
    return sum("'master-link-status', 'ok'" in str(item) or "'master-link-status': 'ok'" in str(item) for item in found)


def is_in_step(replica: RealServer) -> bool:
    """Tell whether a replica has all of its primary's data and follows it."""
    with replica.client() as client:
        return bool(client.info("replication").get("master_link_status") == "up")


def role(server: RealServer) -> str:
    """Return whether a server is a master or a slave."""
    with server.client() as client:
        return str(client.info("replication")["role"])
