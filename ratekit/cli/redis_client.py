"""
A plain client of a store's Redis, for commands that look at the server itself.
"""

from typing import Any


def client_of(url: str) -> Any:
    """
    A `redis.Redis` at the address of a store's URL, which answers in text and tries nothing twice. Of sentinels it is the master that
    they name now. Raises what redis-py raises, and OSError.
    """
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    from ratekit.stores.redis import address

    url = url.replace("valkey", "redis", 1) if url.startswith("valkey") else url
    plain: dict[str, Any] = {"decode_responses": True, "retry": Retry(NoBackoff(), 0)}
    if not url.partition("://")[0].endswith("+sentinel"):
        return redis.Redis.from_url(url, **address.OPTIONS, **plain)
    sentinels = address._parsed(url)
    connection = address.connector(url)()
    host, port = connection.host, connection.port
    connection.disconnect()
    return redis.Redis(host=host, port=port, ssl=sentinels.secure, **sentinels.options, **plain)
