"""
Addresses of a cluster: from a URL or a client of redis-py to its first nodes, and to functions that open connections to any node.

redis-py does the connecting (TLS, authentication); its pools and its own topology are only looked at.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import redis.asyncio.cluster
import redis.asyncio.connection
import redis.cluster
import redis.connection

from ratekit.errors import ConfigurationError
from ratekit.stores.place import hidden
from ratekit.stores.redis.address import PATIENCE, WRONG, async_connected, check_login, connected, said

Address = tuple[str, int]
"""Host and port."""

EXAMPLE: Final = "redis+cluster://node1:6379,node2:6379,node3:6379"
parse_url: Final[Any] = redis.connection.parse_url
NAMES: Final = ("username", "password", "credential_provider", "client_name", "socket_keepalive", "socket_keepalive_options")


class Seeds(NamedTuple):
    """Nodes to begin with, how to speak to every node, and where that is, for people."""

    addresses: tuple[Address, ...]
    options: Mapping[str, Any]
    secure: bool

    @property
    def place(self) -> str:
        """Where the cluster is."""
        return f"redis+cluster://{','.join(f'{host}:{port}' for host, port in self.addresses)}"


def seeds_of(target: Any, *, wait: bool = False) -> Seeds:
    """The first nodes that a URL names, or a `RedisCluster` client began with. Raises ConfigurationError for what is neither."""
    if isinstance(target, str):
        return _parsed(target)
    kind: Any = redis.asyncio.cluster.RedisCluster if wait else redis.cluster.RedisCluster
    if not isinstance(target, kind):
        raise ConfigurationError(f"{target!r} is neither a URL nor a {kind.__module__}.{kind.__name__} client; write {EXAMPLE!r}")
    manager: Any = target.nodes_manager
    options = dict(target.connection_kwargs if wait else manager.connection_kwargs)
    options = {name: value for name, value in options.items() if value is not None or name.startswith("ssl")}
    secure = bool(options.pop("ssl", False)) or issubclass(
        options.get("connection_class") or redis.Connection, redis.SSLConnection | redis.asyncio.SSLConnection
    )
    kept = {name: value for name, value in options.items() if name in NAMES or (secure and name.startswith("ssl_"))}
    addresses = tuple((node.host, int(node.port)) for node in manager.startup_nodes.values())
    return Seeds(addresses, kept, secure)


def opener(seeds: Seeds, address: Address, patience: float = PATIENCE) -> Callable[[], Any]:
    """A function that opens a connection to a node for threads; it and each answer may take `patience` seconds."""
    kind: Any = redis.SSLConnection if seeds.secure else redis.Connection
    options = _options(seeds, address, patience)

    return lambda: connected(kind(**options))


def async_opener(seeds: Seeds, address: Address) -> Callable[[], Awaitable[Any]]:
    """A function that opens a connection to a node for the running event loop."""
    kind: Any = redis.asyncio.SSLConnection if seeds.secure else redis.asyncio.Connection
    options = _options(seeds, address, PATIENCE)

    async def connect() -> Any:
        async with asyncio.timeout(PATIENCE):
            return await async_connected(kind(**options))

    return connect


def _options(seeds: Seeds, address: Address, patience: float) -> dict[str, Any]:
    host, port = address
    return {
        **seeds.options,
        "host": host,
        "port": port,
        "protocol": 2,
        "socket_timeout": patience,
        "socket_connect_timeout": patience,
    }


def _parsed(url: str) -> Seeds:
    """`redis+cluster://[user:password@]host:port[,host:port...][/0][?option=value]`, the options those of redis-py's URLs."""
    check_login(url)
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    secure = parts.scheme.startswith("rediss")
    try:
        addresses = tuple(_address(host) for host in hosts.split(","))
        check_path(parts.path)
        plain = f"{'rediss' if secure else 'redis'}://{login}{at}localhost?{parts.query}"
        options: dict[str, Any] = {**parse_url(plain)}
        options = {name: value for name, value in options.items() if name not in ("host", "port", "connection_class")}
        kind = redis.SSLConnection if secure else redis.Connection
        kind(**options)  # connects nothing, but knows what an option is
    except WRONG as error:
        raise ConfigurationError(
            f"{hidden(url)!r}: {said(error)}; write {EXAMPLE!r}, with user:password@ before the hosts, 'rediss+cluster://' for TLS"
        ) from error
    return Seeds(addresses, options, secure)


def check_path(path: str) -> None:
    """Raises ValueError for a database that a cluster has not."""
    if path not in ("", "/", "/0"):
        raise ValueError("a cluster has no database but 0")


def _address(text: str) -> Address:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(f"{text!r} is no host:port")
    return parts.hostname, parts.port or 6379
