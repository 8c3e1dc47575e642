"""
ratekit's Upstash stores against an emulator that others wrote, from npm, in front of a real redis-server.

It differs from Upstash: its errors are 500 with words of its own before the server's, it knows no sync tokens and no base64.
"""

import asyncio
import os
import subprocess

import doors
import httpx
import pytest
import servers

from ratekit import AsyncLimiter, Limiter, StoreError
from ratekit.stores import AsyncUpstashStore, UpstashStore

EMULATOR = "@humanwhocodes/upstash-redis-server"
ALGORITHMS = ("fixed_window", "sliding_window", "sliding_counter", "token_bucket")


@pytest.fixture(scope="session")
def emulator(node_modules, redis_server):
    """The address of the emulator, in front of the redis-server of this test run."""
    port = servers.free_port()
    environment = os.environ | {"URS_TOKEN": "token", "PORT": str(port), "REDIS_URL": redis_server.url}
    command = ["node", str(node_modules / EMULATOR / "dist" / "server.js")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)

    def answers():
        assert process.poll() is None, "the emulator did not start"
        try:
            return httpx.post(f"http://127.0.0.1:{port}/", headers={"Authorization": "Bearer token"}, json=["PING"]).is_success
        except httpx.TransportError:
            return False

    servers.until(answers)
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait()


@pytest.fixture(params=doors.UPSTASH)
def door(request, redis_url, emulator, clock):
    with doors.opened(request.param, f"upstash+http://token@{emulator}", clock) as door:
        yield door


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_rule_counts_there_as_it_should(door, algorithm, clock):
    limiter = door.limiter(f"5/minute {algorithm}", deny_cache=0)
    assert [limiter.hit("ann").remaining for _ in range(5)] == [4, 3, 2, 1, 0]
    refused = limiter.hit("ann")
    assert (refused.allowed, refused.source) == (False, "store")
    assert limiter.peek("ann").remaining == 0
    clock.advance(refused.retry_after)
    assert limiter.hit("ann")
    limiter.reset("ann")
    assert limiter.peek("ann").remaining == 5


def test_several_limits_are_all_or_nothing_there_and_a_reservation_is_settled(door):
    limiter = door.limiter("3/minute", "9/hour token_bucket")
    with limiter.reserve("ann", cost=3) as reservation:
        reservation.commit(1)
    assert [bool(limiter.hit("ann")) for _ in range(3)] == [True, True, False]
    assert [part.remaining for part in limiter.peek("ann").details] == [0, 6]


def test_a_script_that_it_does_not_know_is_sent_whole_and_counted_once(redis_url, redis_client, emulator):
    store = UpstashStore(f"http://{emulator}", "token")
    limiter = Limiter("9/minute", store=store, budget=10, on_outage="closed")
    limiter.hit("ann")
    redis_client.script_flush()
    assert [limiter.hit("ann").remaining for _ in range(2)] == [7, 6]
    redis_client.script_flush()
    assert limiter.peek("ann").remaining == 6
    assert store.sync_token == ""
    store.close()


def test_many_hits_at_once_are_admitted_exactly_the_quota(redis_url, emulator):
    async def main():
        store = AsyncUpstashStore(f"http://{emulator}", "token")
        limiter = AsyncLimiter("300/hour", "9000/day", store=store, budget=10, deny_cache=0)
        decisions = await asyncio.gather(*(limiter.hit("ann") for _ in range(1_000)))
        await store.aclose()
        return decisions

    decisions = asyncio.run(main())
    assert {decision.source for decision in decisions} == {"store"}
    assert sum(map(bool, decisions)) == 300


def test_a_wrong_token_is_refused_there_too(redis_url, emulator):
    store = UpstashStore(f"http://{emulator}", "wrong")
    with pytest.raises(StoreError) as caught:
        store.forget([], "ann")
    assert caught.value.fault == "refused"
    store.close()
