"""
The Lua of a rule against its Python, hit by hit, at the corners of the domain, with every mode and with limits that change on live
keys; and the script against itself on a server that has no `struct` library.
"""

import time
from datetime import timedelta

from doors import PATIENT
from hypothesis import given, settings
from hypothesis import strategies as st

from ratekit import ConfigurationError, Limit
from ratekit.algorithms import FORCE, GIVE, LOOK, SPEND
from ratekit.decision import Figures
from ratekit.stores import MemoryStore
from ratekit.stores.naming import canonical, plan_of
from ratekit.stores.protocol import Ask
from ratekit.stores.redis import RedisStore
from ratekit.stores.redis.lua import Script, script_for
from ratekit.stores.redis.script import packed, words

ALGORITHMS = ("fixed_window", "sliding_window", "sliding_counter", "token_bucket")
TEN_YEARS = 3_653 * 86_400_000

amounts = st.one_of(
    st.integers(1, 12), st.sampled_from([1, 2, 59, 60, 61, 62, 10**6, 2**29, 10**9 - 1, 10**9]), st.integers(1, 10**9)
)
lengths = st.one_of(
    st.sampled_from([1, 2, 10, 999, 1_000, 60_000, 86_400_000, TEN_YEARS - 1, TEN_YEARS]), st.integers(1, TEN_YEARS)
)
waits = st.one_of(
    st.integers(0, 3_000),
    st.tuples(st.sampled_from([1, 7, 60, 1_000, 10**6]), st.integers(0, 2_000)).map(lambda pair: pair[0] * pair[1]),
    st.tuples(st.just("of"), st.integers(0, 80)),
    st.tuples(st.sampled_from(["wait", "more", "reset"]), st.integers(-1, 1)),
    st.integers(0, 10**14),
)
modes = st.one_of(st.just(SPEND), st.integers(LOOK, GIVE))
steps = st.tuples(
    waits, st.lists(st.tuples(st.integers(0, 7), modes, amounts), min_size=1, max_size=4, unique_by=lambda ask: ask[0] // 2)
)


@st.composite
def limits(draw, algorithm):
    """A limit of a fixed name, so that its quota, period and burst change on one live key."""
    options = {"buckets": draw(st.sampled_from([2, 3, 60, 10_000]))} if algorithm == "sliding_window" else {}
    quota, length = draw(amounts), draw(lengths)
    if algorithm == "token_bucket":
        most = max(1, min(10**9, 36_525 * 86_400_000 * quota // length))
        options["burst"] = min(draw(amounts), most)
    try:
        return Limit(quota, per=timedelta(milliseconds=length), algorithm=algorithm, name="changing", **options)
    except ConfigurationError:
        return Limit(quota, per=1, algorithm=algorithm, name="changing")


pools = st.tuples(*(limits(algorithm) for algorithm in ALGORITHMS for _ in range(2)))
few = st.lists(steps, min_size=3, max_size=15)


class Clock:
    """A clock that stays where every integer is exact in Lua."""

    def __init__(self):
        self.now = time.time_ns() // 1000 + 3_600_000_000

    def __call__(self):
        return self.now

    def move(self, how, period, last):
        """By microseconds, by a share of a period, or to about an instant that the last answer named."""
        if isinstance(how, int):
            by = how
        elif how[0] == "of":
            by = period * how[1] // 40
        else:
            by = max(0, getattr(last, how[0]) + how[1]) if last is not None else 0
        self.now = min(self.now + by, 2**52 - 1) if by < 2**52 else self.now


class Line:
    """Hits in a row on a pool of limits; remembers where the charges went, so that they can be given back."""

    def __init__(self, pool, name):
        self.plan = [plan_of([limit], prefix="twins", name=name)[0] for limit in pool]
        self.marks = {}

    def asks(self, wanted):
        return [Ask(*self.plan[which], canonical("ann"), mode, cost, self.marks.get(which, (0, 0))) for which, mode, cost in wanted]

    def remember(self, wanted, asks, answer):
        for (which, mode, _), ask, seen in zip(wanted, asks, answer.seen, strict=True):
            if seen[0] and mode in (SPEND, FORCE):
                self.marks[which] = ask.rule.mark(answer.now, seen)


def figures(asks, answer):
    return [(bool(seen[0]), Figures(*ask.rule.read(ask.cost, seen))) for ask, seen in zip(asks, answer.seen, strict=True)]


def compare(redis_server, pool, history):
    clock = Clock()
    memory, remote = MemoryStore(clock=clock), RedisStore(redis_server.url, clock=clock)
    line = Line(pool, str(time.monotonic_ns()))
    for entry in line.plan:
        memory.compile((entry,))  # of two periods the longer one says when a key is forgotten; Redis forgets nothing meanwhile
    last = None
    try:
        for move, wanted in history:
            clock.move(move, pool[wanted[0][0]].period, last)
            asks = line.asks(wanted)
            python, lua = memory.decide(asks), remote.decide(asks, **PATIENT)
            assert figures(asks, python) == figures(asks, lua)
            last = figures(asks, python)[0][1]
            line.remember(wanted, asks, python)
    finally:
        remote.close()


@given(pool=pools, history=few)
@settings(max_examples=400)
def test_the_lua_of_every_rule_decides_as_its_python_does(redis_server, pool, history):
    compare(redis_server, pool, history)


def evaluated(client, text, parcels, now):
    return client.execute_command(*words(parcels, Script(text, ""), now, whole=True))


@given(pool=pools, history=few)
@settings(max_examples=60)
def test_without_the_struct_library_the_script_answers_and_writes_the_same_bytes(redis_server, pool, history):
    script = script_for(frozenset(ALGORITHMS)).text
    hidden = script.replace("rawget(_G, 'struct')", "nil")
    assert hidden != script
    clock = Clock()
    line = Line(pool, str(time.monotonic_ns()))
    with redis_server.client(db=1) as with_struct, redis_server.client(db=2) as without:
        store = RedisStore(with_struct, clock=clock)
        for move, wanted in history:
            clock.move(move, pool[wanted[0][0]].period, None)
            asks = line.asks(wanted)
            parcels = [packed(asks)]
            answers = [evaluated(client, text, parcels, clock()) for client, text in ((with_struct, script), (without, hidden))]
            assert answers[0] == answers[1]
            for ask in asks:
                key = ask.space.key(ask.identity)
                assert with_struct.get(key) == without.get(key)
                assert with_struct.pexpiretime(key) == without.pexpiretime(key)
            line.remember(wanted, asks, store.decide([ask._replace(mode=LOOK) for ask in asks], **PATIENT))
