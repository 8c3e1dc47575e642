"""
From a URL to a store: one per process (async: connections per event loop), closed by its last holder.
"""

import asyncio
import subprocess
import sys
import traceback

import pytest
from doors import PATIENT

from ratekit import AsyncLimiter, ConfigurationError, Limiter, open_async_store, open_store
from ratekit.stores.redis import AsyncRedisStore, RedisStore


@pytest.fixture
def own_url(redis_url):
    """A database that no other test opens: a limiter that a test has left open holds a store of the whole process."""
    return redis_url.replace("/0", "/5")


def connected(client):
    return len([one for one in client.client_list() if one["name"] == "" and one["cmd"] != "client|list"])


@pytest.mark.parametrize(
    "url", ["mysql://localhost", "redis:/localhost", "localhost:6379", "", "memory", "MEMORY://", "http://localhost"]
)
@pytest.mark.parametrize("open_it", [open_store, open_async_store])
def test_an_unknown_scheme_is_quoted_and_the_known_ones_are_listed(open_it, url):
    with pytest.raises(ConfigurationError) as caught:
        open_it(url)
    for known in (repr(url), "memory://", "redis://", "rediss://", "unix://", "valkey://"):
        assert known in str(caught.value)


def test_memory_has_no_address():
    with pytest.raises(ConfigurationError, match="memory"):
        open_store("memory://somewhere")


@pytest.mark.parametrize("url", ["redis://localhost:port/0", "redis://localhost:6379/0?socket_timeout=soon"])
def test_a_wrong_redis_url_is_said_when_it_is_opened(url):
    for open_it in (open_store, open_async_store):
        with pytest.raises(ConfigurationError):
            open_it(url)


SECRETS = [
    "redis://:se/cret@localhost:6379/0",
    "redis://user:1#se/cret@localhost:6379/0",
    "redis://user:1?se/cret@localhost:6379/0",
    "redis+sentinel://:se/cret@localhost:26379/main/0",
    "redis+cluster://:se/cret@localhost:6379",
    "upstash://se/cret@localhost",
]
WRONG = [
    "redis://:secret@localhost:port/0",
    "redis://:secret@[localhost:6379/0",
    "redis://:secret@localhost:6379/0?socket_timeout=soon",
    "redis://localhost:6379/0?password=secret&nonsense=1",
    "redis+sentinel://:secret@localhost",
    "redis+sentinel://localhost:26379/main/x?sentinel_password=secret",
    "redis+cluster://:secret@localhost:port",
    "mysql://:secret@localhost",
    "redis//:secret@localhost",
    "upstash://secret@localhost:port",
]


@pytest.mark.parametrize("open_it", [open_store, open_async_store])
@pytest.mark.parametrize("url", SECRETS + WRONG)
def test_what_is_said_of_a_wrong_url_has_no_password_in_it(open_it, url):
    with pytest.raises(ConfigurationError, match="localhost") as caught:
        open_it(url)
    told = "".join(traceback.format_exception(caught.value)).split("ConfigurationError: ")[-1]
    assert "cret" not in told
    assert "cret" not in str(caught.value.__cause__)


@pytest.mark.parametrize("open_it", [open_store, open_async_store])
@pytest.mark.parametrize("url", SECRETS)
def test_of_a_password_that_hides_the_host_is_said_how_it_is_written(open_it, url):
    with pytest.raises(ConfigurationError, match="%2F for a slash"):
        open_it(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://localhost:6379/x", "'/x' is no number of a database"),
        ("redis://localhost:6379/1/2", "'/1/2' is no number of a database"),
        ("redis://localhost:6379/0?nonsense=1", "there is no option 'nonsense'"),
        ("redis+cluster://localhost:6379?nonsense=1", "there is no option 'nonsense'"),
        ("unix://run/redis.sock", "three slashes"),
        ("unix://", "three slashes"),
    ],
)
@pytest.mark.parametrize("open_it", [open_store, open_async_store])
def test_nothing_of_a_url_is_passed_over(open_it, url, said):
    with pytest.raises(ConfigurationError) as caught:
        open_it(url)
    assert said in str(caught.value)
    assert url in str(caught.value)


def test_memory_is_one_store_per_process():
    assert open_store("memory://") is open_store("memory://")
    assert open_async_store("memory://") is open_async_store("memory://")
    assert open_async_store("memory://").sync is open_store("memory://")


def test_one_url_is_one_store_until_its_last_holder_closes_it(own_url, redis_client):
    one, other = open_store(own_url), open_store(own_url)
    assert one is other
    limiters = [Limiter("5/minute", store=own_url, **PATIENT) for _ in range(2)]
    limiters[0].hit("ann")
    one.close()
    other.close()
    limiters[0].close()
    limiters[0].close()
    assert limiters[1].hit("ann").remaining == 3
    limiters[1].close()
    fresh = open_store(own_url)
    assert fresh is not one
    fresh.close()


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_redis_and_valkey_urls_reach_the_server(redis_url, scheme):
    with Limiter("5/minute", store=redis_url.replace("redis", scheme), **PATIENT) as limiter:
        assert limiter.hit("ann").remaining == 4


def test_a_unix_url_reaches_the_same_state(redis_server, redis_url):
    with (
        Limiter("5/minute", store=redis_url, **PATIENT) as limiter,
        Limiter("5/minute", store=f"unix://{redis_server.socket}?db=0", **PATIENT) as other,
    ):
        limiter.hit("ann")
        assert other.hit("ann").remaining == 3


def test_a_database_number_is_a_space_of_its_own(redis_url):
    with (
        Limiter("5/minute", store=redis_url, **PATIENT) as limiter,
        Limiter("5/minute", store=redis_url.replace("/0", "/3"), **PATIENT) as other,
    ):
        assert limiter.hit("ann").remaining == other.hit("ann").remaining == 4


def test_a_client_of_the_user_is_used_and_never_closed(redis_url, redis_client):
    store = RedisStore(redis_client)
    assert Limiter("5/minute", store=store, **PATIENT).hit("ann").remaining == 4
    store.close()
    assert redis_client.ping()


@pytest.mark.parametrize("target", [None, 5, object(), b"redis://localhost"])
def test_what_is_neither_a_url_nor_a_client_is_an_error(target):
    for kind in (RedisStore, AsyncRedisStore):
        with pytest.raises(ConfigurationError, match="neither"):
            kind(target)


LOOPS = """if True:
    import asyncio, sys
    from ratekit import AsyncLimiter
    limiter = AsyncLimiter("5/minute", store=sys.argv[1], budget=10)
    async def hits():
        return sorted(decision.remaining for decision in await asyncio.gather(limiter.hit("ann"), limiter.hit("ann")))
    async def last():
        async with limiter:
            return (await limiter.hit("ann")).remaining
    print(asyncio.run(hits()), asyncio.run(hits()), asyncio.run(last()))
"""


def test_one_async_limiter_lives_through_several_event_loops(redis_url):
    done = subprocess.run([sys.executable, "-c", LOOPS, redis_url], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("[3, 4] [1, 2] 0", "")


def test_connections_are_gone_after_the_last_close(own_url, redis_client):
    before = connected(redis_client)
    limiter = Limiter("5/minute", store=own_url, **PATIENT)
    limiter.hit("ann")
    assert connected(redis_client) > before
    limiter.close()

    async def main():
        async with AsyncLimiter("5/minute", store=own_url, **PATIENT) as other:
            await asyncio.gather(*(other.hit("ann") for _ in range(5)))

    asyncio.run(main())
    for _ in range(1_000):
        if connected(redis_client) <= before:
            break
    assert connected(redis_client) <= before
