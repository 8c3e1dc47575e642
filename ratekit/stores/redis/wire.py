"""
The wire: commands as bytes, and the server's and client's errors as ours.
"""

from typing import Any, Final

import redis.exceptions

from ratekit.errors import StoreError, StoreUnavailable

FAULTS: Final = (redis.exceptions.RedisError, OSError)


def bulk(word: str) -> str:
    """A word as it stands in a command. Keys, numbers and the script are ASCII, so that characters are bytes."""
    return f"${len(word)}\r\n{word}\r\n"


def command(*words: str) -> str:
    """A command in the Redis protocol."""
    return f"*{len(words)}\r\n{''.join(map(bulk, words))}"


def translated(error: Exception) -> StoreError:
    """A client's or server's error as one of ours."""
    if isinstance(error, redis.exceptions.AuthenticationError | redis.exceptions.NoPermissionError) or str(error).startswith(
        ("NOAUTH", "NOPERM", "WRONGPASS")
    ):
        return StoreError(f"the server refuses these credentials or this command: {error}")
    return StoreUnavailable(f"the store is away: {error or type(error).__name__}")


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
    return {**options, "protocol": 2}
