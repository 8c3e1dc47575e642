"""
Of a crowd of processes exactly the limit is admitted, also where the key is on a node of a cluster or behind sentinels; and callers
who are cancelled leave every connection whole.
"""

import asyncio
import random
import time

import pytest
import uvloop
from doors import PATIENT
from engine.test_processes import ALGORITHMS, check

from ratekit import AsyncLimiter, Limit
from ratekit.algorithms import LOOK, SPEND
from ratekit.stores import open_async_store
from ratekit.stores.naming import plan_of
from ratekit.stores.protocol import Ask

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
QUOTA = 1_000_000


@pytest.fixture(params=["cluster", "calm"], ids=["cluster", "sentinels"])
def topology(request):
    found = request.getfixturevalue(request.param)
    found.wipe()
    return found


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_eight_processes_of_32_tasks_are_admitted_exactly_the_limit_by_a_cluster(cluster, algorithm):
    cluster.wipe()
    check(cluster.url, algorithm, attempts=5_000)


def test_eight_processes_of_32_tasks_are_admitted_exactly_the_limit_behind_sentinels(calm):
    calm.wipe()
    check(calm.url, "sliding_window", attempts=5_000)  # tests/engine has the others: the store is the same one


def clients_of(topology):
    """The connections that each server has, but for replicas' and the one that asks."""
    found = set()
    for server in topology.nodes:
        with server.client(decode_responses=True) as client:
            own = client.client_id()
            found |= {(server.port, one["id"]) for one in client.client_list(_type="normal") if int(one["id"]) != own}
    return found


@pytest.mark.parametrize("loop", LOOPS)
def test_a_thousand_cancelled_callers_cross_no_reply_and_open_no_connection(topology, loop):
    async def main():
        dice, cancelled, turn = random.Random(1), 0, 0
        async with AsyncLimiter(f"{QUOTA}/hour", store=topology.url, name=f"cancelled {loop}", deny_cache=0, **PATIENT) as limiter:
            await asyncio.gather(*(limiter.hit(f"warm {i}") for i in range(100)))
            before = await asyncio.to_thread(clients_of, topology)
            while cancelled < 1_000:
                turn += 1
                tasks = {cost: asyncio.create_task(limiter.hit((turn, cost), cost=cost)) for cost in range(1, 201)}
                for _ in range(1 + turn % 3):
                    await asyncio.sleep(0)
                for cost in dice.sample([*tasks], 100):
                    tasks[cost].cancel()
                await asyncio.wait(tasks.values())
                cancelled += sum(task.cancelled() for task in tasks.values())
                for cost, task in tasks.items():  # a reply that was another's would say another cost
                    if not task.cancelled():
                        assert task.result().remaining == QUOTA - cost
            assert await asyncio.to_thread(clients_of, topology) == before
            assert limiter.health().failures == 0

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


def test_who_is_cancelled_on_several_limits_has_spent_of_all_or_none(topology):
    async def main():
        plan = plan_of([Limit.parse(f"{QUOTA}/hour")], prefix="ratekit", name="cancelled on several")
        hit = [Ask(rule, space, f"user{i}", SPEND, 1) for rule, space in plan for i in range(5)]
        store = open_async_store(topology.url)
        await store.decide(hit, 10.0)
        for turn in range(4):
            tasks = [asyncio.create_task(store.decide(hit, 10.0)) for _ in range(50)]
            for _ in range(turn):
                await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.gather(*tasks[1::2])  # none of them is taken along
        left, end = set(), time.monotonic() + 10
        while len(left) != 1 and time.monotonic() < end:  # what was begun is finished, though nobody waits for it
            looked = await store.decide([ask._replace(mode=LOOK) for ask in hit], 10.0)
            left = {ask.rule.read(1, seen)[1] for ask, seen in zip(hit, looked.seen, strict=True)}
        await store.aclose()
        return left

    (left,) = asyncio.run(main())
    assert QUOTA - 201 <= left <= QUOTA - 101  # who was not cancelled has spent
