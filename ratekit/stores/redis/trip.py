"""
The trip: arguments go to the server, a reply comes back, once.

EVALSHA first and EVAL on NOSCRIPT, because then it certainly did not run. Nothing else is ever sent again: after a time-out or a
cut reply the hit may have been counted, and one request never counts twice. redis-py's own retries are not in this path.
"""

from collections.abc import Sequence
from typing import Any

import redis.exceptions

from ratekit.errors import StoreError, StoreUnavailable
from ratekit.stores.redis.script import SCRIPT, SHA

FAULTS = (redis.exceptions.RedisError, OSError)


def translated(error: Exception) -> StoreError:
    """A client's or server's error as one of ours."""
    if isinstance(error, redis.exceptions.AuthenticationError | redis.exceptions.NoPermissionError):
        return StoreError(f"the server refuses these credentials or this command: {error}")
    return StoreUnavailable(f"the store is away: {error or type(error).__name__}")


def call(pool: Any, words: Sequence[str]) -> object:
    """Send one command on a connection of the pool and read its reply; the script's hash is sent first."""
    try:
        connection = pool.get_connection()
        try:
            connection.send_command("EVALSHA", SHA, *words)
            try:
                return connection.read_response()
            except redis.exceptions.NoScriptError:
                connection.send_command("EVAL", SCRIPT, *words)
                return connection.read_response()
        except redis.exceptions.ResponseError:
            raise
        except BaseException:
            connection.disconnect()
            raise
        finally:
            pool.release(connection)
    except FAULTS as error:
        raise translated(error) from error


async def async_call(pool: Any, words: Sequence[str]) -> object:
    """`call`, awaited. A caller that is cancelled leaves no half-read reply behind: the connection goes with it."""
    try:
        connection = await pool.get_connection()
        try:
            await connection.send_command("EVALSHA", SHA, *words)
            try:
                return await connection.read_response()
            except redis.exceptions.NoScriptError:
                await connection.send_command("EVAL", SCRIPT, *words)
                return await connection.read_response()
        except redis.exceptions.ResponseError:
            raise
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)
    except FAULTS as error:
        raise translated(error) from error
