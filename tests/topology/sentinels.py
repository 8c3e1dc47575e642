"""
A master, two replicas and three sentinels that watch them, on free loopback ports.
"""

import subprocess
import time
from typing import Self

import redis
import servers

SERVICE = "master"
CONFIGURATION = """
port {port}
bind 127.0.0.1
dir {directory}
logfile {directory}/log
sentinel monitor {service} 127.0.0.1 {master} 2
sentinel down-after-milliseconds {service} 500
sentinel failover-timeout {service} 2000
"""


class Sentinel(servers.RedisServer):
    """One sentinel; `more` is what else its file says."""

    def __init__(self, master: int, more: str = "") -> None:
        super().__init__()
        self.master, self.more = master, more

    def start(self) -> Self:
        file = self.directory / "sentinel.conf"
        text = CONFIGURATION.format(port=self.port, directory=self.directory, service=SERVICE, master=self.master)
        file.write_text(text + self.more)
        self.process = subprocess.Popen(
            [servers.program(), str(file), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        servers.until(self.answers)
        return self

    def answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except redis.exceptions.AuthenticationError:  # it is there
                return True
            except redis.exceptions.ConnectionError:
                return False


class Watched:
    """The whole of it; `master` is whoever the sentinels name."""

    def __init__(self) -> None:
        self.nodes = [servers.RedisServer() for _ in range(3)]
        self.sentinels: list[Sentinel] = []

    def __enter__(self) -> Self:
        for node in self.nodes:
            node.start()
        for replica in self.nodes[1:]:
            with replica.client() as client:
                client.replicaof("127.0.0.1", self.nodes[0].port)
        self.sentinels = [Sentinel(self.nodes[0].port).start() for _ in range(3)]
        servers.until(self.ready)
        return self

    def __exit__(self, *_) -> None:
        for server in (*self.sentinels, *self.nodes):
            server.remove()

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    @property
    def master(self) -> servers.RedisServer:
        with self.sentinels[0].client(decode_responses=True) as client:
            port = int(client.sentinel_get_master_addr_by_name(SERVICE)[1])
        return next(node for node in self.nodes if node.port == port)

    def ready(self) -> bool:
        """Whether every sentinel knows the others and both replicas, so that any two of them can agree."""
        for sentinel in self.sentinels:
            with sentinel.client(decode_responses=True) as client:
                state = client.sentinel_master(SERVICE)
                if state["num-other-sentinels"] < 2 or state["num-slaves"] < 2:
                    return False
        with self.nodes[0].client() as client:
            return len([key for key in client.info("replication") if key.startswith("slave")]) == 2

    def wipe(self) -> None:
        """The master is empty again."""
        with self.master.client() as client:
            client.flushall()

    def promoted(self, old: servers.RedisServer, seconds: float = 30.0) -> float:
        """Wait until the sentinels name another master that takes writes; the monotonic instant."""

        def other() -> bool:
            new = self.master
            if new is old:
                return False
            with new.client() as client:
                return client.info("replication")["role"] == "master"

        servers.until(other, seconds)
        return time.monotonic()
