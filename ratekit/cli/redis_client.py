"""
Plain clients of a store's Redis, for commands that look at the server itself.
"""

from typing import Any


def of_a_cluster(url: str) -> bool:
    """Whether there are several servers to look at."""
    return url.partition("://")[0].endswith("+cluster")


def clients_of(url: str) -> list[Any]:
    """`client_of`, and of a cluster one for each master."""
    if not of_a_cluster(url):
        return [client_of(url)]
    import redis

    from ratekit.stores.redis import address, cluster_address, cluster_watch

    seeds = cluster_address.seeds_of(url)
    fault: Exception = OSError("no node is named")
    for place in seeds.addresses:
        try:
            view, _ = cluster_watch.view_of(cluster_watch.asked(seeds, place), place)
        except (redis.RedisError, OSError) as error:
            fault = error
            continue
        how = {**seeds.options, **_plainly(), "ssl": seeds.secure, **address.OPTIONS}
        return [redis.Redis(host=host, port=port, **how) for host, port in view]
    raise fault


def _plainly() -> dict[str, Any]:
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return {"decode_responses": True, "retry": Retry(NoBackoff(), 0)}


def client_of(url: str) -> Any:
    """
    A `redis.Redis` at the address of a store's URL, which answers in text and tries nothing twice. Of sentinels it is the master that
    they name now. Raises what redis-py raises, and OSError.
    """
    import redis

    from ratekit.stores.redis import address

    url = url.replace("valkey", "redis", 1) if url.startswith("valkey") else url
    plain = _plainly()
    if not url.partition("://")[0].endswith("+sentinel"):
        return redis.Redis.from_url(url, **address.OPTIONS, **plain)
    sentinels = address._parsed(url)
    connection = address.connector(url)()
    host, port = connection.host, connection.port
    connection.disconnect()
    return redis.Redis(host=host, port=port, ssl=sentinels.secure, **sentinels.options, **plain)
