"""
A Redis Cluster of three masters and three replicas, on free loopback ports.
"""

import subprocess
import time
from collections.abc import Callable
from typing import Self

import redis
import servers
from redis.crc import key_slot

SLOTS = 16_384
TIMEOUT = 500
"""Milliseconds after which a node that says nothing is suspected."""


class Member(servers.RedisServer):
    """One server of a cluster, with options and perhaps a password and a port for TLS of its own."""

    secure_port: int | None = None
    """The others move keys to it by TLS, if it is there."""

    def __init__(self, *options: str, password: str | None = None) -> None:
        super().__init__(*options)
        self.bus, self.password = servers.free_port(), password

    def start(self) -> Self:
        words = ["--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--cluster-enabled", "yes"]
        words += ["--cluster-port", self.bus, "--cluster-node-timeout", TIMEOUT, "--cluster-require-full-coverage", "no"]
        words += ["--dir", self.directory, "--logfile", self.directory / "log", "--repl-diskless-sync-delay", "0"]
        words += ["--cluster-allow-replica-migration", "no", "--cluster-replica-validity-factor", "0"]
        words += ["--requirepass", self.password, "--masterauth", self.password] if self.password else []
        words += self.options
        self.process = subprocess.Popen([servers.program(), *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        servers.until(self.answers)
        return self

    def client(self, **options) -> redis.Redis:
        return super().client(**{"password": self.password, **options})

    def answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except redis.exceptions.ConnectionError:
                return False

    def ask(self, *words):
        with self.client(decode_responses=True, socket_timeout=1.0) as client:
            return client.execute_command(*words)

    @property
    def name(self) -> str:
        name: str = self.ask("CLUSTER MYID")
        return name

    def role(self) -> str:
        role: str = self.ask("ROLE")[0]
        return role


class RedisCluster:
    """The whole of it: `masters` as they were at first, each with the replica of the same place. `make` makes a server."""

    def __init__(self, replicas: int = 3, make: Callable[[], Member] = Member) -> None:
        self.nodes = [make() for _ in range(3 + replicas)]
        self.masters, self.replicas = self.nodes[:3], self.nodes[3:]

    def __enter__(self) -> Self:
        try:
            return self.begun()
        except BaseException:
            self.__exit__()
            raise

    def begun(self) -> Self:
        for node in self.nodes:
            node.start()
        for i, master in enumerate(self.masters):
            master.ask("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
            master.ask("CLUSTER", "ADDSLOTSRANGE", i * SLOTS // 3, (i + 1) * SLOTS // 3 - 1)
        for node in self.nodes[1:]:
            self.nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus)
        servers.until(lambda: all(self.knows_all(node) for node in self.nodes))
        for master, replica in zip(self.masters, self.replicas, strict=False):
            name = master.name
            servers.until(lambda name=name, replica=replica: replicates(replica, name))
        servers.until(self.ready)
        return self

    def __exit__(self, *_) -> None:
        for node in self.nodes:
            node.remove()

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in self.nodes)}"

    def knows_all(self, node: Member) -> bool:
        return int(info(node)["cluster_known_nodes"]) == len(self.nodes)

    def ready(self) -> bool:
        """Whether every node says that the cluster is well, and every replica is up to date."""
        return all(
            info(node)["cluster_state"] == "ok" and info(node)["cluster_slots_ok"] == str(SLOTS) for node in self.nodes
        ) and all(replica.ask("ROLE")[3] == "connected" for replica in self.replicas)

    def home(self, key: str) -> Member:
        """The master of a key's slot, as a node that answers says."""
        slot = key_slot(key.encode())
        for node in self.nodes:
            try:
                view = node.ask("CLUSTER", "SLOTS")
            except redis.exceptions.RedisError:
                continue
            ports = [entry[2][1] for entry in slots_of(view) if entry[0] <= slot <= entry[1]]
            return next(member for member in self.nodes if member.port == ports[0])
        raise AssertionError("no node answers")

    def promoted(self, replica: Member, seconds: float = 30.0) -> float:
        """Wait until a replica is a master; the monotonic instant."""
        servers.until(lambda: replica.role() == "master", seconds)
        return time.monotonic()

    def begin(self, slot: int, source: Member, target: Member) -> None:
        """Begin to move a slot."""
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.name)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.name)

    def carry(self, slot: int, source: Member, target: Member, most: int = 100) -> int:
        """Move some keys of a slot; how many."""
        keys = source.ask("CLUSTER", "GETKEYSINSLOT", slot, most)
        if keys:
            greeting = ["AUTH", target.password] if target.password else []
            source.ask("MIGRATE", "127.0.0.1", target.secure_port or target.port, "", 0, 5000, *greeting, "KEYS", *keys)
        return len(keys)

    def finish(self, slot: int, target: Member) -> None:
        """Say to all masters that a slot has moved; to the new one first."""
        name = target.name
        for node in (target, *(node for node in self.nodes if node is not target)):
            try:
                if node.role() == "master":
                    node.ask("CLUSTER", "SETSLOT", slot, "NODE", name)
            except redis.exceptions.ConnectionError:  # it is away
                continue

    def move(self, slot: int, source: Member, target: Member) -> None:
        """Move a slot, with its keys."""
        self.begin(slot, source, target)
        while self.carry(slot, source, target):
            pass
        self.finish(slot, target)

    def wipe(self) -> None:
        """Every master is empty again."""
        for node in self.nodes:
            if node.role() == "master":
                node.ask("FLUSHALL")


def replicates(replica: Member, master: str) -> bool:
    try:
        replica.ask("CLUSTER", "REPLICATE", master)
    except redis.exceptions.ResponseError:  # it has not heard of it yet
        return False
    return True


def info(node: Member) -> dict[str, str]:
    with node.client(decode_responses=True) as client:
        return dict(client.execute_command("CLUSTER INFO"))


def slots_of(view):
    """CLUSTER SLOTS as a list, however redis-py shows it."""
    if isinstance(view, dict):
        return [[first, last, ["", value["primary"][1]]] for (first, last), value in view.items()]
    return view
