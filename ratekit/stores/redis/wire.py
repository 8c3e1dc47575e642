"""
The wire: the server's and client's errors as ours, and what a connection of our own is made with.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final, cast

import hiredis
import redis.exceptions

from ratekit.errors import StoreError, StoreUnavailable

FAULTS: Final = (redis.exceptions.RedisError, OSError, hiredis.HiredisError)
LOST: Final = (*FAULTS, RuntimeError)
"""The same, and what uvloop raises where redis-py writes on a connection that is lost."""
pack: Final[Callable[[tuple[str, ...]], bytes]] = cast(Any, hiredis).pack_command
"""A command as it travels. (hiredis says in its types that there is one word.)"""
CREDENTIALS: Final = (redis.exceptions.AuthenticationError, redis.exceptions.NoPermissionError)
REDIRECTIONS: Final = ("MOVED ", "ASK ", "TRYAGAIN", "READONLY")


class Redirected(StoreUnavailable):
    """A server of a cluster, or one that is a master no longer, says that this is not for it: it certainly did nothing."""


def translated(error: Exception) -> StoreError:
    """A client's or server's error as one of ours."""
    text = str(error) or type(error).__name__
    if isinstance(error, CREDENTIALS) or text.startswith(("NOAUTH", "NOPERM", "WRONGPASS")):
        return StoreError(f"the server refuses these credentials or this command: {text}", "refused")
    if text.startswith(REDIRECTIONS):
        return Redirected(f"the server cannot serve: {text}", "server")
    if isinstance(error, TimeoutError | redis.exceptions.TimeoutError):
        return StoreUnavailable(f"the store did not answer in time: {text}", "late")
    if isinstance(error, redis.exceptions.ResponseError | hiredis.HiredisError):
        return StoreUnavailable(f"the server cannot serve: {text}", "server")
    return StoreUnavailable(f"the store is away: {text}", "away")


def demoted(reply: Any) -> bool:
    """Whether a server says that it is a master no longer: the next connection may lead to another one."""
    return isinstance(reply, Exception) and str(reply).startswith("READONLY")


def connection_options(pool: Any) -> dict[str, Any]:
    """
    What a connection of our own is made with: the pool's address, credentials and TLS, in the plain protocol (RESP2), without
    notices from the server and without retries, since only the caller knows what may be sent again.
    """
    options = {
        name: value
        for name, value in pool.connection_kwargs.items()
        if not name.startswith(("maint_notifications", "orig_", "himport", "retry"))
    }
    told = {} if {"driver_info", "lib_name", "lib_version"} & options.keys() else client_told()
    return {**options, **told, "protocol": 2}


@cache
def client_told() -> dict[str, Any]:
    """What a connection tells the server of the client. Else redis-py reads its own package's metadata for each, which takes 1.5 ms."""
    try:
        from redis.driver_info import DriverInfo
    except ImportError:  # one that reads them when it is imported
        return {}
    return {"driver_info": DriverInfo()}
