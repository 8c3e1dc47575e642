"""
Upstash's own Python libraries against the REST server of these tests, unchanged: what they find right there is what Upstash says.
"""

import asyncio
import threading

import pytest
import servers
from upstash.running import replica_of, upstash
from upstash_ratelimit import FixedWindow, Ratelimit, SlidingWindow, TokenBucket
from upstash_redis import Redis
from upstash_redis.asyncio import Redis as AsyncRedis
from upstash_redis.errors import UpstashError

from ratekit import Limiter
from ratekit.stores import UpstashStore


@pytest.fixture
def server(redis_url, upstash_server):
    upstash_server.seen.clear()
    return upstash_server


@pytest.fixture(params=["base64", None])
def sdk(request, server):
    """Upstash's client, with its own encoding and with none; it sends nothing again, so that an error is seen."""
    with Redis(server.address, server.token, rest_encoding=request.param, rest_retries=0) as client:
        yield client


def test_strings_numbers_and_expiries(sdk):
    assert sdk.set("foo", "bär €", ex=100) is True
    assert sdk.get("foo") == "bär €"
    assert sdk.get("none") is None
    assert 98 <= sdk.ttl("foo") <= 100
    assert [sdk.incr("n"), sdk.incrby("n", 4), sdk.decr("n")] == [1, 5, 4]
    assert sdk.set("foo", "other", nx=True) is False  # its word for null
    assert sdk.mget("foo", "none", "n") == ["bär €", None, "4"]
    assert sdk.delete("foo", "n", "none") == 2


def test_hashes_lists_sets_and_sorted_sets(sdk):
    assert sdk.hset("hash", values={"a": 1, "b": "two"}) == 2
    assert sdk.hgetall("hash") == {"a": "1", "b": "two"}
    assert [sdk.rpush("list", "a", "b", "c"), sdk.lrange("list", 0, -1)] == [3, ["a", "b", "c"]]
    assert sdk.sadd("set", "a", "b") == 2
    assert set(sdk.smembers("set")) == {"a", "b"}
    assert sdk.zadd("sorted", {"one": 1, "two": 2}) == 2
    assert sdk.zrange("sorted", 0, -1, withscores=True) == [("one", 1.0), ("two", 2.0)]


def test_scripts_by_text_and_by_hash(sdk):
    script = "return {KEYS[1], ARGV[1], 7, {'nested'}}"
    assert sdk.eval(script, keys=["k"], args=["v"]) == ["k", "v", 7, ["nested"]]
    sha = sdk.script_load("return 5")
    assert sdk.script_exists(sha) == [True]
    assert [sdk.evalsha(sha), sdk.evalsha_ro(sha), sdk.eval_ro("return 6")] == [5, 5, 6]
    with pytest.raises(UpstashError, match="NOSCRIPT"):
        sdk.evalsha("0" * 40)


def test_pipelines_and_transactions(sdk, server):
    with_many = sdk.pipeline()
    with_many.set("foo", 1).incr("foo").get("foo").mget("foo", "none")
    assert with_many.exec() == [True, 2, "2", ["2", None]]
    transaction = sdk.multi()
    transaction.set("foo", "bar").get("foo")
    assert transaction.exec() == [True, "bar"]
    assert [path for path, _, _ in server.seen] == ["pipeline", "multi-exec"]


def test_errors_and_a_wrong_token(sdk, server):
    sdk.set("foo", "bar")
    with pytest.raises(UpstashError, match="ERR value is not an integer"):
        sdk.incr("foo")
    with pytest.raises(UpstashError, match="ERR Command is not available"):
        sdk.execute(["BLPOP", "list", 1])
    with Redis(server.address, "wrong", rest_retries=0) as stranger, pytest.raises(UpstashError, match="WRONGPASS"):
        stranger.get("foo")
    with Redis(server.address, server.app.read_only, rest_retries=0) as reader:
        assert reader.get("foo") == "bar"
        with pytest.raises(UpstashError, match="NOPERM"):
            reader.set("foo", "other")


def test_the_async_client(server):
    async def main():
        async with AsyncRedis(server.address, server.token, rest_retries=0) as client:
            assert await client.set("foo", "bar")
            pipeline = client.pipeline()
            pipeline.get("foo").incr("n")
            assert await pipeline.exec() == ["bar", 1]
            return await client.eval("return redis.call('GET', KEYS[1])", keys=["foo"])

    assert asyncio.run(main()) == "bar"


def test_it_reads_its_own_writes_from_a_replica_that_lags_and_without_tokens_it_does_not():
    with servers.RedisServer() as primary, replica_of(primary) as (replica, link), upstash(primary, [replica]) as server:
        with (
            Redis(server.address, server.token, rest_retries=0) as client,
            Redis(server.address, server.token, rest_retries=0, read_your_writes=False) as careless,
        ):
            client.set("foo", "old")
            assert client.get("foo") == "old"
            link.hold()
            client.set("foo", "new")
            assert careless.get("foo") == "old"
            threading.Timer(0.3, link.let_go).start()
            assert client.get("foo") == "new"
        tokens = [token for _, _, token in server.seen if token]
        assert len(tokens) == 3


def test_its_own_limiters_work_there(server):
    with Redis(server.address, server.token, rest_retries=0) as client:
        for rule in (FixedWindow(2, 60), SlidingWindow(2, 60), TokenBucket(2, 60, 2)):
            limiter = Ratelimit(client, rule, prefix=type(rule).__name__)
            assert [limiter.limit("ann").allowed for _ in range(4)] == [True, True, False, False]


def test_what_ratekit_counts_is_there_for_it_to_see(server):
    store = UpstashStore(server.url)
    assert Limiter("5/minute fixed_window", store=store, budget=10).hit("ann", cost=3).remaining == 2
    with Redis(server.address, server.token) as client:
        (key,) = client.keys("ratekit:*")
        assert client.get(key) == "3"
        assert 0 < client.pttl(key) <= 60_000
    store.close()
