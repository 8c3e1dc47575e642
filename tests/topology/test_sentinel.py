"""
Sentinels: a store follows the master that they name, when it dies, hangs or is demoted.
"""

import asyncio
import signal
import time

import pytest
import redis.asyncio.sentinel
import redis.sentinel
import servers
from topology.sentinels import SERVICE, Watched

from ratekit import AsyncLimiter, ConfigurationError, Limiter
from ratekit.stores import AsyncRedisStore, RedisStore

LIMITS = "1000000/hour"


@pytest.fixture
def watched():
    with Watched() as watched:
        yield watched


def under_load(watched, fail):
    """Hits all the time while the master is failed; seconds from the switch to the first decision of the store, and all sources."""
    old = watched.master
    with Limiter(LIMITS, store=watched.url, name="switch") as limiter:
        servers.until(lambda: limiter.hit("ann").source == "store")
        fail(old)
        seen, end = [], time.monotonic() + 30
        while time.monotonic() < end and watched.master is old:
            seen.append(limiter.hit("ann"))
            time.sleep(0.01)
        switched = watched.promoted(old)
        while limiter.hit("ann").source != "store" and time.monotonic() < end:
            time.sleep(0.01)
        back = time.monotonic() - switched
        servers.until(lambda: limiter.hit("ann").source == "store")
    return back, seen


async def under_load_awaited(watched, fail):
    old = watched.master
    async with AsyncLimiter(LIMITS, store=watched.url, name="switch") as limiter:
        while (await limiter.hit("ann")).source != "store":
            await asyncio.sleep(0.01)
        fail(old)
        seen, end = [], time.monotonic() + 30
        while time.monotonic() < end and await asyncio.to_thread(lambda: watched.master) is old:
            seen.append(await limiter.hit("ann"))
            await asyncio.sleep(0.01)
        switched = await asyncio.to_thread(watched.promoted, old)
        while (await limiter.hit("ann")).source != "store" and time.monotonic() < end:
            await asyncio.sleep(0.01)
        back = time.monotonic() - switched
    return back, seen


FAILURES = {"killed": lambda server: server.process.kill(), "hung": lambda server: server.process.send_signal(signal.SIGSTOP)}


@pytest.mark.parametrize("failure", FAILURES)
def test_threads_follow_the_new_master(watched, failure):
    back, seen = under_load(watched, FAILURES[failure])
    assert back < 5  # `make faults` judges it
    assert all(decision.allowed for decision in seen)
    assert {decision.source for decision in seen} <= {"store", "local"}


@pytest.mark.parametrize("failure", FAILURES)
def test_an_event_loop_follows_the_new_master(watched, failure):
    back, seen = asyncio.run(under_load_awaited(watched, FAILURES[failure]))
    assert back < 5
    assert all(decision.allowed for decision in seen)
    assert {decision.source for decision in seen} <= {"store", "local"}


def test_a_master_that_is_demoted_and_lives_on_is_left(watched):
    with Limiter(LIMITS, store=watched.url, name="demoted") as limiter:
        servers.until(lambda: limiter.hit("ann").source == "store")
        old = watched.master
        with watched.sentinels[0].client() as client:
            client.execute_command("SENTINEL", "FAILOVER", SERVICE)
        watched.promoted(old)
        servers.until(lambda: limiter.hit("ann").source == "store" and limiter.health().state == "closed")


def test_a_plain_address_that_has_become_a_replica_is_away_until_it_takes_writes_again():
    with (
        servers.RedisServer() as master,
        servers.RedisServer() as server,
        server.client() as client,
        Limiter(LIMITS, store=server.url, name="readonly") as limiter,
    ):
        servers.until(lambda: limiter.hit("ann").source == "store")
        client.replicaof("127.0.0.1", master.port)
        servers.until(lambda: limiter.hit("ann").source == "local")
        client.replicaof("NO", "ONE")
        servers.until(lambda: limiter.hit("ann").source == "store")


def test_the_clients_of_redis_py_are_taken_too(watched):
    addresses = [("127.0.0.1", sentinel.port) for sentinel in watched.sentinels]
    store = RedisStore(redis.sentinel.Sentinel(addresses).master_for(SERVICE))
    assert Limiter(LIMITS, store=store, budget=5.0).hit("ann").source == "store"
    store.close()

    async def main():
        store = AsyncRedisStore(redis.asyncio.sentinel.Sentinel(addresses).master_for(SERVICE))
        answer = await AsyncLimiter(LIMITS, store=store, budget=5.0).hit("ann")
        await store.aclose()
        return answer

    for _ in range(2):  # each with an event loop of its own
        assert asyncio.run(main()).source == "store"


def test_one_sentinel_is_enough_and_a_service_that_nobody_knows_is_away(watched):
    for sentinel in watched.sentinels[:2]:
        sentinel.stop()
    with Limiter(LIMITS, store=watched.url, budget=5.0) as limiter:
        assert limiter.hit("ann").source == "store"
    with Limiter(LIMITS, store=watched.url.replace(f"/{SERVICE}/", "/nobody/"), budget=5.0) as limiter:
        assert limiter.hit("ann").source == "local"


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://",
        "redis+sentinel://localhost:26379",
        "redis+sentinel://localhost:26379/",
        "redis+sentinel:///master",
        "redis+sentinel://localhost:port/master",
        "redis+sentinel://localhost:26379,/master",
        "redis+sentinel://localhost:26379/master/first",
        "redis+sentinel://localhost:26379/master?password=1",
        "redis+sentinel://me:secret@localhost:26379",
    ],
)
@pytest.mark.parametrize("kind", [RedisStore, AsyncRedisStore])
def test_a_wrong_url_is_said_with_one_that_is_right_and_without_the_password(kind, url):
    with pytest.raises(ConfigurationError, match="sentinel1:26379,sentinel2:26379,sentinel3:26379/mymaster/0") as caught:
        kind(url)
    assert "secret" not in str(caught.value)
