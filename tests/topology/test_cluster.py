"""
A cluster under load: exact, whole after cancellations, all-or-nothing over slots, followed wherever its slots go.
"""

import asyncio
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import redis
import redis.asyncio
import servers
from redis.crc import key_slot
from topology.cluster import SLOTS

from ratekit import AsyncLimiter, ConfigurationError, Limit, Limiter
from ratekit.algorithms import CHECK, GIVE, LOOK, SHADOW, SPEND
from ratekit.limit import MOST
from ratekit.stores import AsyncRedisClusterStore, RedisClusterStore, open_store
from ratekit.stores.naming import canonical, plan_of
from ratekit.stores.protocol import Ask
from ratekit.stores.slots import slot_in, slot_of

PATIENT = {"budget": 5.0, "deny_cache": 0}
ALGORITHMS = ("fixed_window", "sliding_window", "sliding_counter", "token_bucket")


@pytest.fixture(autouse=True)
def wiped(cluster):
    cluster.wipe()


def ask(text, identity, mode=SPEND, cost=1):
    ((rule, space),) = plan_of([Limit.parse(text)], prefix="ratekit", name="several")
    return Ask(rule, space, canonical(identity), mode, cost)


def apart(count):
    """Identities in slots of different nodes, one after another."""
    found = []
    for i in range(10_000):
        name = f"user{i}"
        if slot_of(f"{{several:{name}}}") * 3 // SLOTS == len(found) % 3:
            found.append(name)
        if len(found) == count:
            return found
    raise AssertionError


def test_slots_are_those_of_redis():
    ((_, space),) = plan_of([Limit.parse("1/minute")], prefix="ratekit", name="a b")
    for identity in ("ann", "{x}y", "ü", ("a", ("b", "}")), "x" * 300):
        key = space.key(canonical(identity))
        assert key_slot(key.encode()) == slot_of(key) == slot_in(space, canonical(identity))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_of_many_tasks_exactly_so_many_are_admitted(cluster, algorithm):
    async def main():
        async with AsyncLimiter(f"100/hour {algorithm}", store=cluster.url, name=f"tasks {algorithm}", **PATIENT) as limiter:
            names = ["ann", "bob", "cat", "dan"]
            answers = await asyncio.gather(*(limiter.hit(name) for _ in range(250) for name in names))
            return [sum(map(bool, answers[i :: len(names)])) for i in range(len(names))]

    if algorithm == "token_bucket":
        assert all(100 <= admitted <= 101 for admitted in asyncio.run(main()))
    else:
        assert asyncio.run(main()) == [100] * 4


def test_of_many_threads_exactly_so_many_are_admitted(cluster):
    with Limiter("100/hour", store=cluster.url, name="threads", **PATIENT) as limiter, ThreadPoolExecutor(16) as pool:
        answers = [*pool.map(limiter.hit, ["ann", "bob", "cat"] * 200)]
    assert [sum(map(bool, answers[i::3])) for i in range(3)] == [100] * 3
    assert {answer.source for answer in answers} == {"store"}


def test_many_identities_are_asked_together_and_come_in_order(cluster):
    names = [f"user{i % 700}" for i in range(1500)]
    with Limiter("2/hour", store=cluster.url, name="many", **PATIENT) as limiter:
        answers = limiter.hit_many(names)
    assert [bool(answer) for answer in answers] == [True] * 1400 + [False] * 100

    async def main():
        async with AsyncLimiter("2/hour", store=cluster.url, name="many awaited", **PATIENT) as limiter:
            return await limiter.hit_many(names)

    assert [bool(answer) for answer in asyncio.run(main())] == [True] * 1400 + [False] * 100


def test_a_cold_start_of_many_tasks_falls_back_for_nobody(cluster):
    async def main():
        async with AsyncLimiter("10/hour", store=cluster.url, name="cold", budget=1.0) as limiter:
            return {answer.source for answer in await asyncio.gather(*(limiter.hit(f"user{i}") for i in range(1000)))}

    assert asyncio.run(main()) == {"store"}


def test_cancelled_callers_leave_the_lines_whole(cluster):
    async def main():
        async with AsyncLimiter("1000000/hour", store=cluster.url, name="cancelled", **PATIENT) as limiter:
            await limiter.hit("ann")
            for _ in range(20):
                tasks = [asyncio.ensure_future(limiter.hit(f"user{i}")) for i in range(50)]
                await asyncio.sleep(0)
                for task in random.Random(1).sample(tasks, 25):
                    task.cancel()
                answers = await asyncio.gather(*tasks, return_exceptions=True)
                assert sum(isinstance(answer, asyncio.CancelledError) for answer in answers) == 25
            answers = [await limiter.hit(f"only{i}", cost=i + 1) for i in range(30)]
            return [answer.remaining for answer in answers]

    assert asyncio.run(main()) == [999_999 - i for i in range(30)]


class Way:
    """Both stores, called alike."""

    def __init__(self, kind, url):
        self.store, self.awaited = kind(url, budget=5.0), kind is AsyncRedisClusterStore

    def decide(self, *rounds):
        if not self.awaited:
            return [self.store.decide(asks) for asks in rounds]

        async def main():
            answers = [await self.store.decide(asks) for asks in rounds]
            await self.store.aclose()
            return answers

        return asyncio.run(main())


@pytest.fixture(params=[RedisClusterStore, AsyncRedisClusterStore])
def way(request, cluster):
    return Way(request.param, cluster.url)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_limits_in_different_slots_are_all_or_nothing(way, algorithm):
    one, two, three = apart(3)
    narrow, wide = f"2/hour {algorithm}", f"10/hour {algorithm}"
    spend = [ask(wide, one), ask(narrow, two), ask(wide, three)]
    looks = [ask(wide, one, LOOK), ask(narrow, two, LOOK), ask(wide, three, LOOK)]
    *spent, looked = way.decide(spend, spend, spend, spend, looks)
    assert [[seen[0] for seen in answer.seen] for answer in spent] == [[1, 1, 1], [1, 1, 1], [1, 0, 1], [1, 0, 1]]
    assert [one.rule.read(1, seen)[1] for one, seen in zip(looks, looked.seen, strict=True)] == [8, 0, 8]
    shown = [one.rule.read(1, seen)[1] for one, seen in zip(spend, spent[-1].seen, strict=True)]
    assert shown == [8, 0, 8]


def test_what_only_rehearses_or_checks_in_another_slot_is_charged_as_on_one_server(way):
    one, two, three = apart(3)
    hit = [ask("1/hour", one), ask("5/hour", two, SHADOW), ask("5/hour", three, CHECK)]
    looks = [ask("1/hour", one, LOOK), ask("5/hour", two, LOOK), ask("5/hour", three, LOOK)]
    *_, looked = way.decide(hit, hit, looks)
    assert [one.rule.read(1, seen)[1] for one, seen in zip(looks, looked.seen, strict=True)] == [0, 4, 5]


def test_what_was_charged_in_several_slots_is_given_back_into_each(cluster):
    with closing(RedisClusterStore(cluster.url, budget=5.0)) as store:
        asks = [ask("10/hour fixed_window", name, cost=4) for name in apart(3)]
        answer = store.decide(asks)
        readers = answer.readers
        back = [
            one._replace(mode=GIVE, cost=3, mark=reader.mark(answer.now, seen))
            for one, reader, seen in zip(asks, readers, answer.seen, strict=True)
        ]
        store.decide(back)
        looked = store.decide([one._replace(mode=LOOK) for one in asks])
    assert [one.rule.read(1, seen)[1] for one, seen in zip(asks, looked.seen, strict=True)] == [9, 9, 9]


def test_many_at_once_over_several_slots_never_admit_too_many(cluster):
    async def main():
        store = AsyncRedisClusterStore(cluster.url, budget=5.0)
        one, two, three = apart(3)
        hit = [ask("50/hour", one), ask("30/hour", two), ask("1000/hour", three)]
        answers = await asyncio.gather(*(store.decide(hit) for _ in range(200)))
        looked = await store.decide([one._replace(mode=LOOK) for one in hit])
        await store.aclose()
        admitted = sum(all(seen[0] for seen in answer.seen) for answer in answers)
        return admitted, [one.rule.read(1, seen)[1] for one, seen in zip(hit, looked.seen, strict=True)]

    admitted, left = asyncio.run(main())
    assert admitted <= 30
    assert left == [50 - admitted, 30 - admitted, 1000 - admitted]


def carried(cluster, name, hits, carries):
    """Move the slots of keys from their masters to the next one and back while `hits` hits them all the time."""
    ends = threading.Event()
    moved = []

    def carry():
        try:
            for identity in carries:
                slot = slot_of(f"{{{name}:{identity}}}")
                source = cluster.home(f"{{{name}:{identity}}}")
                target = cluster.masters[(cluster.masters.index(source) + 1) % 3]
                for here, there in ((source, target), (target, source)):
                    cluster.begin(slot, here, there)
                    time.sleep(0.05)
                    cluster.carry(slot, here, there)
                    time.sleep(0.05)
                    cluster.finish(slot, there)
                    moved.append(slot)
        finally:
            ends.set()

    mover = threading.Thread(target=carry)
    mover.start()
    try:
        answers = hits(ends)
    finally:
        mover.join()
    assert len(moved) == 2 * len(carries)
    return answers


def test_slots_that_move_under_load_are_followed_by_an_event_loop(cluster):
    names = [f"user{i}" for i in range(12)]

    def hits(ends):
        async def main():
            async with AsyncLimiter(f"{MOST}/hour", f"{MOST}/day", store=cluster.url, name="moves", **PATIENT) as limiter:
                answers = []
                while not ends.is_set():
                    answers += zip(names * 3, await asyncio.gather(*(limiter.hit(name) for name in names * 3)), strict=True)
                last = {name: await limiter.peek(name) for name in names}
                return answers, last

        return asyncio.run(main())

    answers, last = carried(cluster, "moves", hits, names[:4])
    assert {answer.source for _, answer in answers} == {"store"}
    for name in names:  # every hit counted once
        assert MOST - last[name].remaining == sum(who == name for who, _ in answers)


def test_slots_that_move_under_load_are_followed_by_threads(cluster):
    names = [f"user{i}" for i in range(8)]

    def hits(ends):
        with Limiter(f"{MOST}/hour", store=cluster.url, name="carried", **PATIENT) as limiter, ThreadPoolExecutor(8) as pool:
            answers = []
            while not ends.is_set():
                answers += zip(names * 2, pool.map(limiter.hit, names * 2), strict=True)
            return answers, {name: limiter.peek(name) for name in names}

    answers, last = carried(cluster, "carried", hits, names[:3])
    assert {answer.source for _, answer in answers} == {"store"}
    for name in names:
        assert MOST - last[name].remaining == sum(who == name for who, _ in answers)


def test_a_new_key_of_a_slot_on_its_way_is_made_where_the_slot_goes(cluster):
    key = "{begun:ann}"
    slot, source = slot_of(key), cluster.home(key)
    target = cluster.masters[(cluster.masters.index(source) + 1) % 3]
    cluster.begin(slot, source, target)
    try:
        with Limiter("5/hour", "7/day", store=cluster.url, name="begun", **PATIENT) as limiter:
            assert [bool(limiter.hit("ann")) for _ in range(6)] == [True] * 5 + [False]
        assert source.ask("CLUSTER", "COUNTKEYSINSLOT", slot) == 0
        assert target.ask("CLUSTER", "COUNTKEYSINSLOT", slot) == 2
    finally:
        cluster.finish(slot, target)
        cluster.move(slot, target, source)


def test_clients_of_redis_py_are_taken_too(cluster):
    node = cluster.masters[0]
    with redis.RedisCluster(host="127.0.0.1", port=node.port) as client:
        store = RedisClusterStore(client, budget=5.0)
        assert Limiter("5/hour", store=store, name="theirs", **PATIENT).hit("ann").source == "store"
        store.close()

    async def main():
        async with redis.asyncio.RedisCluster(host="127.0.0.1", port=node.port) as client:
            store = AsyncRedisClusterStore(client, budget=5.0)
            answer = await AsyncLimiter("5/hour", store=store, name="theirs", **PATIENT).hit("ann")
            await store.aclose()
            return answer

    assert asyncio.run(main()).source == "store"


def test_a_reset_reaches_the_slot_of_the_identity(cluster):
    with Limiter("1/hour", store=cluster.url, name="reset", **PATIENT) as limiter:
        for name in apart(3):
            assert limiter.hit(name)
            assert not limiter.hit(name)
            limiter.reset(name)
            assert limiter.hit(name)


def test_no_cluster_there_is_an_outage_like_any_other():
    with Limiter("5/hour", store=f"redis+cluster://127.0.0.1:{servers.free_port()}", name="nowhere") as limiter:
        assert {limiter.hit("ann").source for _ in range(3)} == {"local"}
        assert limiter.health().state == "open"


def test_one_url_is_one_store(cluster):
    first, second = open_store(cluster.url), open_store(cluster.url)
    assert first is second
    first.close()
    second.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://",
        "redis+cluster://localhost:port",
        "redis+cluster://localhost:6379,",
        "redis+cluster://localhost:6379/1",
        "redis+cluster://localhost:6379/?nothing=1",
        "redis+cluster://me:secret@",
    ],
)
@pytest.mark.parametrize("kind", [RedisClusterStore, AsyncRedisClusterStore])
def test_a_wrong_url_is_said_with_one_that_is_right_and_without_the_password(kind, url):
    with pytest.raises(ConfigurationError, match="node1:6379,node2:6379,node3:6379") as caught:
        kind(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("kind", [Limiter, AsyncLimiter])
def test_leases_of_keys_on_every_node_are_spent_without_a_trip_and_given_back(cluster, kind):
    async def used():
        limiter = kind("1000/hour", "20000/day", store=cluster.url, name=f"lent {kind.__name__}", lease=0.1, **PATIENT)
        counts, people = {}, apart(3)
        end = time.monotonic() + 30
        while time.monotonic() < end and not all(counts.get((name, "lease")) for name in people):
            for name in people:
                decision = limiter.hit(name)
                decision = decision if kind is Limiter else await decision
                assert (decision.allowed, decision.max_over) == (True, 100)
                counts[name, decision.source] = counts.get((name, decision.source), 0) + 1
        if kind is Limiter:
            limiter.close()
        else:
            await limiter.aclose()
        return counts

    counts = asyncio.run(used())
    assert {source for _, source in counts} == {"store", "lease"}
    with closing(Limiter("1000/hour", "20000/day", store=cluster.url, name=f"lent {kind.__name__}", **PATIENT)) as plain:
        for name in {name for name, _ in counts}:
            spent = sum(count for (who, _), count in counts.items() if who == name)
            assert [part.remaining for part in plain.peek(name).details] == [1_000 - spent, 20_000 - spent]
