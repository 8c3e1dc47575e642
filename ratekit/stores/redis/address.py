"""
Addresses: from what a user names - a URL, a client, sentinels - to a function that opens a connection of our own.

redis-py does the connecting (TLS, authentication, the database) and asks the sentinels; its pools are only looked at. Sentinels are
asked anew for each connection, by clients of that moment: so a store follows the new master, and no event loop meets another's.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import redis.asyncio.retry
import redis.asyncio.sentinel
import redis.connection
import redis.exceptions
import redis.retry
import redis.sentinel
from redis.backoff import NoBackoff
from redis.sentinel import MasterNotFoundError

from ratekit.errors import ConfigurationError
from ratekit.stores.place import hidden, torn
from ratekit.stores.redis.wire import connection_options

PATIENCE: Final = 5.0
"""Seconds that connecting in the background may take."""
SENTINEL_PATIENCE: Final = 0.5
"""The same where there are others to turn to: a master that hangs is asked again only as the sentinels still name it."""
OPTIONS: Final = {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE}
EXAMPLE: Final = "redis+sentinel://sentinel1:26379,sentinel2:26379,sentinel3:26379/mymaster/0"
WRONG: Final = (ValueError, TypeError, redis.exceptions.RedisError)
"""What redis-py raises at an option that is none."""
_DATABASE: Final = re.compile(r"/?|/[0-9]+/?")
_OPTION: Final = re.compile(r"unexpected keyword argument '(\w+)'")
_REASON: Final = re.compile(r" - (?:\w+:)?(\w+Error)")
_MANAGER: Final[Any] = redis.sentinel.Sentinel
_ASYNC_MANAGER: Final[Any] = redis.asyncio.sentinel.Sentinel


class Sentinels(NamedTuple):
    """Who knows the master: addresses, how to speak to them, the master's name, and how to speak to that."""

    addresses: tuple[tuple[str, int], ...]
    asking: dict[str, Any]
    service: str
    options: dict[str, Any]
    secure: bool


def connector(target: Any) -> Callable[[], Any]:
    """A function that opens a connection for threads. Raises ConfigurationError for what is no address."""
    sentinels = _sentinels_of(target, redis.sentinel.SentinelConnectionPool)
    if sentinels is None:
        pool = _pool_of(target, redis.ConnectionPool, redis.Redis)
        new = partial(pool.connection_class, **connection_options(pool))
    else:
        new = partial(_to_master, sentinels)

    return lambda: connected(new())


def connected(connection: Any) -> Any:
    """A connection of redis-py's, connected; closed where that fails."""
    try:
        connection.connect()
    except BaseException:
        connection.disconnect()
        raise
    return connection


def async_connector(target: Any) -> Callable[[], Awaitable[Any]]:
    """A function that opens a connection for the running event loop. Raises ConfigurationError for what is no address."""
    sentinels = _sentinels_of(target, redis.asyncio.sentinel.SentinelConnectionPool)
    pool: Any = None if sentinels else _pool_of(target, redis.asyncio.ConnectionPool, redis.asyncio.Redis)
    new: Any = None if sentinels else partial(pool.connection_class, **connection_options(pool))

    async def connect() -> Any:
        async with asyncio.timeout(PATIENCE):
            return await async_connected(await _to_master_async(sentinels) if sentinels else new())

    return connect


async def async_connected(connection: Any) -> Any:
    """A connection of redis-py's, connected; closed where it is refused, too late or cancelled."""
    try:
        await connection.connect()
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return connection


def patience_of(target: Any) -> float:
    """Seconds after which a connection that says nothing is given up."""
    pools = redis.sentinel.SentinelConnectionPool, redis.asyncio.sentinel.SentinelConnectionPool
    named = isinstance(target, str) and target.partition("://")[0].endswith("+sentinel")
    return SENTINEL_PATIENCE if named or isinstance(getattr(target, "connection_pool", None), pools) else PATIENCE


def _to_master(sentinels: Sentinels) -> Any:
    manager: Any = _MANAGER(sentinels.addresses, sentinel_kwargs={**sentinels.asking, "retry": redis.retry.Retry(NoBackoff(), 0)})
    try:
        host, port = manager.discover_master(sentinels.service)
    except MasterNotFoundError as error:
        raise _nobody(sentinels, error) from None
    finally:
        for client in manager.sentinels:
            client.close()
    kind = redis.SSLConnection if sentinels.secure else redis.Connection
    return kind(host=host, port=port, **sentinels.options)


async def _to_master_async(sentinels: Sentinels) -> Any:
    manager: Any = _ASYNC_MANAGER(
        sentinels.addresses, sentinel_kwargs={**sentinels.asking, "retry": redis.asyncio.retry.Retry(NoBackoff(), 0)}
    )
    try:
        host, port = await manager.discover_master(sentinels.service)
    except redis.asyncio.sentinel.MasterNotFoundError as error:
        raise _nobody(sentinels, error) from None
    finally:
        for client in manager.sentinels:
            await client.aclose()
    kind = redis.asyncio.SSLConnection if sentinels.secure else redis.asyncio.Connection
    return kind(host=host, port=port, **sentinels.options)


def _nobody(sentinels: Sentinels, error: Exception) -> Exception:
    """That no sentinel names a master: redis-py's words, which name all options of all connections, made short."""
    reasons = set(_REASON.findall(str(error)))
    if "AuthenticationError" in reasons:
        return redis.exceptions.AuthenticationError("the sentinels do not take this sentinel_username= or sentinel_password=")
    asked = ", ".join(f"{host}:{port}" for host, port in sentinels.addresses)
    why = f" ({', '.join(sorted(reasons))})" if reasons else ""
    return MasterNotFoundError(f"no sentinel of {asked} names a master for {sentinels.service!r}{why}")


def _pool_of(target: Any, pool: Any, client: Any) -> Any:
    if isinstance(target, client):
        return target.connection_pool
    if not isinstance(target, str):
        raise ConfigurationError(f"{target!r} is neither a URL nor a {client.__module__}.{client.__name__} client")
    check_login(target)
    try:
        _check_place(target)
        made = pool.from_url(target, **OPTIONS)
        made.connection_class(**connection_options(made))  # connects nothing, but knows what an option is
    except WRONG as error:
        raise ConfigurationError(f"{hidden(target)!r}: {said(error)}; write 'redis://localhost:6379/0'") from error
    return made


def check_login(url: str) -> None:
    """Raises ConfigurationError for what is no URL, or whose password ends where a host begins."""
    if torn(url) and not url.startswith("unix:"):
        raise ConfigurationError(
            f"{hidden(url)!r}: in a user or a password write %2F for a slash, %3F for ?, %23 for # and %40 for @"
        )
    try:
        urlsplit(url)
    except ValueError:  # its words may hold the password
        raise ConfigurationError(
            f"{hidden(url)!r} is no URL: write 'redis://localhost:6379/0', an IPv6 address as in [::1]"
        ) from None


def _check_place(url: str) -> None:
    """Raises ValueError for a database, or a socket's file, that redis-py would read as another one without a word."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        if parts.netloc.rpartition("@")[2] or not parts.path:
            raise ValueError("a socket's file follows three slashes, as in 'unix:///run/redis.sock?db=0'")
    elif _DATABASE.fullmatch(parts.path) is None:
        raise ValueError(f"{parts.path!r} is no number of a database")


def said(error: Exception) -> str:
    """What redis-py says of a URL, in words of one who wrote a URL."""
    unknown = _OPTION.search(str(error))
    return f"there is no option {unknown[1]!r}" if unknown else str(error)


def _sentinels_of(target: Any, pool: Any) -> Sentinels | None:
    """The sentinels that a URL names, or that a client of `Sentinel.master_for` asks; None where there are none."""
    if isinstance(target, str):
        return _parsed(target) if target.partition("://")[0].endswith("+sentinel") else None
    found: Any = getattr(target, "connection_pool", None)
    if found is None or not isinstance(found, pool):
        return None
    asking = [dict(client.connection_pool.connection_kwargs) for client in found.sentinel_manager.sentinels]
    addresses = tuple((one.pop("host"), one.pop("port")) for one in asking)
    options = {name: value for name, value in connection_options(found).items() if name != "connection_pool"}
    secure = issubclass(found.connection_class, redis.SSLConnection | redis.asyncio.SSLConnection)
    return Sentinels(addresses, _hurried(found.sentinel_manager.sentinel_kwargs), found.service_name, _hurried(options), secure)


def _parsed(url: str) -> Sentinels:
    """
    `redis+sentinel://[user:password@]host:port[,host:port...]/service[/database][?ssl_option=value]`: the credentials are the master's,
    the options of TLS are for all of them, as redis-py's URLs have them.
    """
    check_login(url)
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    service, _, database = parts.path.strip("/").partition("/")
    query, secure = dict(parse_qsl(parts.query)), parts.scheme.startswith("rediss")
    own = {name: query.pop(f"sentinel_{name}") for name in ("username", "password", "ssl") if f"sentinel_{name}" in query}
    try:
        addresses = tuple(_address(host) for host in hosts.split(","))
        db, tls = int(database or 0), _of_tls(query) if secure else {}
    except WRONG:
        addresses, db, tls = (), -1, {}
    plain = query.keys() | own.keys() & {"ssl"}  # what has no meaning without TLS
    if not (addresses and service and db >= 0 and (secure or not plain) and own.get("ssl", "no") == "no"):
        raise ConfigurationError(
            f"{hidden(url)!r}: write {EXAMPLE!r}, with user:password@ before the hosts for the master, and after a ? sentinel_username= "
            "and sentinel_password= for the sentinels; 'rediss+sentinel://' for TLS, with ssl_ca_certs= and its like after the ?, and "
            "sentinel_ssl=no where the sentinels have none"
        )
    options = {"db": db, "username": unquote(user) or None, "password": unquote(password) or None, "protocol": 2, **tls}
    asking = {"ssl": True, **tls} if secure and "ssl" not in own else {}
    asking |= {name: value for name, value in own.items() if name != "ssl"}
    return Sentinels(addresses, _hurried(asking), unquote(service), _hurried(options), secure)


def _of_tls(query: dict[str, str]) -> dict[str, Any]:
    """Options of TLS; raises ValueError or TypeError for what is none."""
    if unknown := [name for name in query if not name.startswith("ssl_")]:
        raise ValueError(f"{unknown[0]!r} is no option of TLS")
    parse: Any = redis.connection.parse_url
    options: dict[str, Any] = {**parse(f"rediss://localhost?{urlencode(query)}")}
    options = {name: value for name, value in options.items() if name.startswith("ssl_")}
    redis.SSLConnection(**options)  # connects nothing, but knows what an option is
    return options


def _address(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(f"{text!r} is no host:port")
    return parts.hostname, parts.port or 26379


def _hurried(options: dict[str, Any]) -> dict[str, Any]:
    return {**options, "socket_timeout": SENTINEL_PATIENCE, "socket_connect_timeout": SENTINEL_PATIENCE}
