"""
@rate_limit on plain functions: what is counted, under which name, in which store.
"""

import asyncio
import inspect
import threading
import time

import anyio.lowlevel
import pytest
import servers
from hypothesis import given
from hypothesis import strategies as st

from ratekit import AsyncLimiter, ConfigurationError, Limit, Limiter, RateLimitExceeded, rate_limit
from ratekit.stores import AsyncMemoryStore, MemoryStore
from ratekit.testing import ManualClock


def calls(function, *arguments, times=3):
    """What becomes of several calls: what they return, or "refused"."""
    found = []
    for _ in range(times):
        try:
            value = function(*arguments)
            found.append(asyncio.run(value) if inspect.iscoroutine(value) else value)
        except RateLimitExceeded:
            found.append("refused")
    return found


def test_a_def_and_an_async_def_are_limited_alike():
    @rate_limit("2/minute", store=MemoryStore())
    def plain(x):
        return x

    @rate_limit("2/minute", store=AsyncMemoryStore())
    async def awaited(x):
        await anyio.lowlevel.checkpoint()
        return x

    assert calls(plain, 1) == [1, 1, "refused"]
    assert calls(awaited, 1) == [1, 1, "refused"]


def test_an_async_def_is_limited_under_trio():
    @rate_limit("2/minute", store=AsyncMemoryStore())
    async def awaited():
        await anyio.lowlevel.checkpoint()
        return "sent"

    async def go():
        assert [await awaited(), await awaited()] == ["sent", "sent"]
        with pytest.raises(RateLimitExceeded):
            await awaited()

    anyio.run(go, backend="trio")


def test_outside_a_request_a_refusal_raises_the_decision_and_the_function_does_not_run():
    ran = []
    clock = ManualClock()

    @rate_limit("2/minute", "9/hour", store=MemoryStore(clock=clock))
    def send():
        ran.append(1)

    send()
    clock.advance(10)
    send()
    with pytest.raises(RateLimitExceeded) as refused:
        send()
    decision = refused.value.decision
    assert (decision.allowed, decision.limit, decision.retry_after) == (False, Limit(2, per=60), 50.0)
    assert [part.allowed for part in decision.details] == [False, True]
    assert ran == [1, 1]
    clock.advance(50)
    send()
    assert len(ran) == 3


def test_a_refused_call_charges_none_of_its_limits():
    store = MemoryStore(clock=ManualClock())

    @rate_limit("1/minute", "9/hour", store=store)
    def send():
        return None

    send()
    for _ in range(5):
        with pytest.raises(RateLimitExceeded) as refused:
            send()
    assert [part.remaining for part in refused.value.decision.details] == [0, 8]


def key_seen(function_of, *args, **kwargs):
    """The arguments that `key` is given when a function is called like this."""
    seen = []

    def key(**values):
        seen.append(values)
        return "k"

    function_of(rate_limit("99/minute", key=key, store=MemoryStore()))(*args, **kwargs)
    return seen[0]


def test_the_key_gets_the_bound_arguments_by_name_with_defaults():
    def of(limit):
        @limit
        def send(user, /, text, *rest, priority=3, **more):
            return None

        return send

    assert key_seen(of, 1, "a") == {"user": 1, "text": "a", "rest": (), "priority": 3}
    assert key_seen(of, 1, text="a", priority=4) == {"user": 1, "text": "a", "rest": (), "priority": 4}
    assert key_seen(of, 1, "a", "b", "c", colour="red") == {
        "user": 1,
        "text": "a",
        "rest": ("b", "c"),
        "priority": 3,
        "colour": "red",
    }


def test_a_keyword_cannot_pass_for_a_positional_argument_of_the_same_name():
    def of(limit):
        @limit
        def send(user, /, **more):
            return None

        return send

    assert key_seen(of, "the user", user="somebody else", text="a") == {"user": "the user", "text": "a"}


def test_a_key_names_only_what_it_wants():
    @rate_limit("1/minute", key=lambda user_id, **_: user_id, store=MemoryStore())
    def send(user_id, text="hello", *, urgent=False):
        return user_id

    assert calls(send, 1, times=2) == [1, "refused"]
    assert calls(send, 2, times=2) == [2, "refused"]
    with pytest.raises(RateLimitExceeded):
        send(text="other", user_id=1, urgent=True)


def test_a_key_may_be_a_method_argument_a_tuple_or_an_int():
    class Mailer:
        def __init__(self, tenant):
            self.tenant = tenant

        @rate_limit("1/minute", key=lambda self, user: (self.tenant, user), store=MemoryStore())
        def send(self, user):
            return user

    assert calls(Mailer("a").send, 1, times=2) == [1, "refused"]
    assert calls(Mailer("b").send, 1, times=2) == [1, "refused"]
    assert calls(Mailer("a").send, 2, times=2) == [2, "refused"]
    assert calls(Mailer("a").send, "2", times=1) == ["refused"]


def test_a_key_and_a_cost_may_be_async_on_an_async_def():
    async def key(user, n):
        await anyio.lowlevel.checkpoint()
        return user

    async def cost(user, n):
        await anyio.lowlevel.checkpoint()
        return n

    @rate_limit("5/minute", key=key, cost=cost, store=AsyncMemoryStore())
    async def generate(user, n):
        return n

    assert calls(generate, "a", 2) == [2, 2, "refused"]
    assert calls(generate, "b", 5, times=2) == [5, "refused"]


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_an_async_key_on_a_def_is_an_error_and_never_one_bucket():
    async def key(user):
        return user

    @rate_limit("5/minute", key=key, store=MemoryStore())
    def send(user):
        return user

    with pytest.raises(ConfigurationError, match="identity"):
        send(1)


def test_a_cost_is_a_number_or_a_callable_on_the_arguments():
    @rate_limit("10/minute", cost=5, store=MemoryStore())
    def five():
        return "ok"

    @rate_limit("10/minute", cost=lambda tokens, **_: tokens, store=MemoryStore())
    def generate(tokens, model="small"):
        return "ok"

    assert calls(five) == ["ok", "ok", "refused"]
    assert calls(generate, 6, times=2) == ["ok", "refused"]
    assert calls(generate, 4, times=2) == ["ok", "refused"]


@pytest.mark.parametrize("cost", [0, -1, True, 1.5, "5", float("nan"), None, 10**10])
def test_a_cost_that_is_none_is_an_error_before_anything_is_charged(cost):
    store = MemoryStore()
    with pytest.raises(ConfigurationError, match="write a whole number from 1 to 1000000000"):
        rate_limit("10/minute", cost=cost)

    @rate_limit("1/minute", cost=lambda value: value, store=store)
    def function(value):
        return "ok"

    with pytest.raises(ValueError, match="write a whole number from 1 to 1000000000"):
        function(cost)
    assert len(store) == 0


@pytest.mark.parametrize("identity", [None, True, 1.5, [1], ()])
def test_a_key_that_gives_no_identity_is_an_error_before_anything_is_charged(identity):
    store = MemoryStore()

    @rate_limit("1/minute", key=lambda value: value, store=store)
    def function(value):
        return "ok"

    with pytest.raises(ConfigurationError, match="write a str, an int or a tuple of them"):
        function(identity)
    assert len(store) == 0


def test_wrong_arguments_are_the_functions_own_type_error_and_charge_nothing():
    store = MemoryStore()

    @rate_limit("1/minute", key=lambda user: user, store=store)
    def send(user):
        return user

    with pytest.raises(TypeError, match="user"):
        send()
    assert len(store) == 0


def test_the_qualified_name_is_the_namespace_so_two_functions_never_share():
    store = MemoryStore()
    limit = rate_limit("1/minute", store=store)

    @limit
    def one():
        return "ok"

    @limit
    def two():
        return "ok"

    class Holder:
        @limit
        def one(self):
            return "ok"

    assert calls(one, times=2) == ["ok", "refused"]
    assert calls(two, times=2) == ["ok", "refused"]
    assert calls(Holder().one, times=2) == ["ok", "refused"]


def test_a_limiter_is_shared_by_all_its_functions():
    store = MemoryStore()
    limiter = Limiter("2/minute", store=store, name="mail")

    @rate_limit(limiter, key=lambda user: user)
    def one(user):
        return 1

    @rate_limit(limiter, key=lambda user: user)
    def two(user):
        return 2

    assert (one("a"), two("a")) == (1, 2)
    assert calls(one, "a", times=1) == ["refused"]
    assert not limiter.peek("a")
    assert calls(one, "b", times=1) == [1]


def test_an_async_limiter_is_shared_by_async_functions():
    limiter = AsyncLimiter("1/minute", store=AsyncMemoryStore(), name="mail")

    @rate_limit(limiter)
    async def one():
        return 1

    @rate_limit(limiter)
    async def two():
        return 2

    assert calls(one, times=1) == [1]
    assert calls(two, times=1) == ["refused"]


def test_the_wrong_kind_of_limiter_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match="is async def: give rate_limit an AsyncLimiter"):

        @rate_limit(Limiter("1/minute", store=MemoryStore()))
        async def awaited():
            return None

    with pytest.raises(ConfigurationError, match="is def: give rate_limit a Limiter"):

        @rate_limit(AsyncLimiter("1/minute", store=AsyncMemoryStore()))
        def plain():
            return None


@pytest.mark.parametrize("wrong", ["redsi://localhost", "localhost:6379", object()])
def test_a_store_that_cannot_be_is_said_where_the_function_is_decorated(wrong):
    with pytest.raises(ConfigurationError, match=r"redis://localhost:6379/0"):

        @rate_limit("1/minute", store=wrong)
        def plain():
            return None


def test_a_store_of_the_wrong_kind_is_said_where_the_function_is_decorated():
    with pytest.raises(ConfigurationError, match="give an async store"):

        @rate_limit("1/minute", store=MemoryStore())
        async def awaited():
            return None


def test_a_def_takes_the_state_of_a_memory_store_for_event_loops():
    store = AsyncMemoryStore()

    @rate_limit("1/minute", store=store)
    def plain():
        return "ok"

    assert calls(plain, times=2) == ["ok", "refused"]
    assert len(store.sync) == 1


def test_a_limiter_with_a_store_or_with_limits_is_a_configuration_error():
    limiter = Limiter("1/minute", store=MemoryStore())
    with pytest.raises(ConfigurationError, match="leave store= out"):
        rate_limit(limiter, store="memory://")
    with pytest.raises(ConfigurationError, match="write a limit such as"):
        rate_limit(limiter, "1/hour")


@pytest.mark.parametrize("wrong", [(), ("5/month",), (5,), ("",)])
def test_limits_are_read_where_they_are_written(wrong):
    with pytest.raises(ConfigurationError, match="write"):
        rate_limit(*wrong)


@pytest.mark.parametrize("wrong", ["user", "ip", 5, ["ip"]])
def test_a_key_is_a_callable(wrong):
    with pytest.raises(ConfigurationError, match="write a callable on the function's arguments"):
        rate_limit("1/minute", key=wrong)


@pytest.mark.parametrize("what", ["key", "cost"])
def test_a_callable_that_cannot_take_the_arguments_is_said_where_the_function_is_decorated(what):
    with pytest.raises(ConfigurationError, match=rf"{what} .*: missing a required argument: 'usr'; .* by name \(user, text\)"):

        @rate_limit("1/minute", **{what: lambda usr: usr})
        def plain(user, text=""):
            return None

    with pytest.raises(ConfigurationError, match=r"got an unexpected keyword argument 'text'; .* takes what it does not need"):

        @rate_limit("1/minute", **{what: lambda user: user})
        def other(user, text=""):
            return None


def test_a_callable_may_ask_for_whatever_a_function_with_any_names_may_be_given():
    @rate_limit("1/minute", key=lambda user, **_: user)
    def plain(**options):
        return options

    assert plain(user=1) == {"user": 1}
    with pytest.raises(RateLimitExceeded):
        plain(user=1)


@pytest.mark.parametrize("wrong", [-1, True, "5", float("nan")])
def test_a_wait_is_seconds(wrong):
    with pytest.raises(ConfigurationError, match="write seconds from 0"):
        rate_limit("1/minute", wait=wrong)


def test_two_limits_that_would_share_a_key_are_said_where_the_function_is_decorated():
    with pytest.raises(ConfigurationError, match="would share a key"):

        @rate_limit("1/minute", "5/minute")
        def plain():
            return None


@pytest.mark.parametrize("kind", [staticmethod, classmethod, property])
def test_above_a_descriptor_is_a_configuration_error_that_says_below(kind):
    with pytest.raises(ConfigurationError, match="put @rate_limit below @staticmethod, @classmethod, @property"):

        class Holder:
            @rate_limit("1/minute")
            @kind
            def method(self=None):
                return None


def test_below_a_descriptor_it_limits():
    store = MemoryStore()

    class Holder:
        @staticmethod
        @rate_limit("1/minute", store=store)
        def static():
            return "static"

        @classmethod
        @rate_limit("1/minute", store=store)
        def of_class(cls):
            return cls.__name__

        @property
        @rate_limit("1/minute", store=store)
        def value(self):
            return "value"

    assert calls(Holder.static, times=2) == ["static", "refused"]
    assert calls(Holder.of_class, times=2) == ["Holder", "refused"]
    assert calls(lambda: Holder().value, times=2) == ["value", "refused"]


def test_an_async_generator_is_refused_and_what_is_not_callable_too():
    with pytest.raises(ConfigurationError, match="is an async generator: limit the function that iterates over it"):

        @rate_limit("1/minute")
        async def rows():
            yield 1

    with pytest.raises(ConfigurationError, match="is no plain function"):
        rate_limit("1/minute")("send")


def test_a_generator_function_is_charged_when_it_is_called():
    @rate_limit("1/minute", store=MemoryStore())
    def rows():
        yield 1

    assert list(rows()) == [1]
    with pytest.raises(RateLimitExceeded):
        rows()


def test_name_doc_signature_and_kind_stay_the_functions_own():
    @rate_limit("1/minute", store=MemoryStore())
    def plain(a: int, *, b: str = "x") -> float:
        """What it does."""
        return a * 1.0

    @rate_limit("1/minute", store=AsyncMemoryStore())
    async def awaited(a: int) -> int:
        return a

    assert (plain.__name__, plain.__doc__) == ("plain", "What it does.")
    assert str(inspect.signature(plain)) == "(a: int, *, b: str = 'x') -> float"
    assert not inspect.iscoroutinefunction(plain)
    assert inspect.iscoroutinefunction(awaited)


def test_the_store_is_the_argument_else_the_environments(monkeypatch, redis_url, redis_client):
    monkeypatch.setenv("RATEKIT_STORE", redis_url)

    @rate_limit("1/minute")
    def by_environment():
        return "ok"

    memory = MemoryStore()

    @rate_limit("1/minute", store=memory)
    def by_argument():
        return "ok"

    assert calls(by_argument, times=2) == ["ok", "refused"]
    assert (len(memory), redis_client.dbsize()) == (1, 0)
    assert calls(by_environment, times=2) == ["ok", "refused"]
    servers.until(lambda: redis_client.dbsize() == 1)  # at once, unless the store was late


def test_without_any_store_it_is_this_processs_memory(monkeypatch):
    monkeypatch.delenv("RATEKIT_STORE", raising=False)

    @rate_limit("1/minute")
    def plain():
        return "ok"

    @rate_limit("1/minute")
    async def awaited():
        return "ok"

    assert calls(plain, times=2) == ["ok", "refused"]
    assert calls(awaited, times=2) == ["ok", "refused"]


def test_async_functions_work_on_one_redis_from_several_event_loops(redis_url):
    @rate_limit("2/minute", store=redis_url)
    async def send():
        return "sent"

    @rate_limit("2/minute", store=redis_url)
    def plain():
        return "sent"

    assert calls(plain) == ["sent", "sent", "refused"]
    assert calls(send) == ["sent", "sent", "refused"]


def test_wait_waits_for_its_turn():
    @rate_limit("1/150ms", wait=5, store=MemoryStore())
    def plain():
        return time.monotonic()

    @rate_limit("1/150ms", wait=5, store=AsyncMemoryStore())
    async def awaited():
        return time.monotonic()

    async def twice():
        return [await awaited(), await awaited()]

    for first, second in ([plain(), plain()], asyncio.run(twice())):
        assert 0.14 <= second - first < 3


def test_a_wait_that_cannot_be_in_time_is_refused_at_once():
    @rate_limit("1/minute", wait=1, store=MemoryStore())
    def plain():
        return "ok"

    @rate_limit("1/minute", wait=1, store=AsyncMemoryStore())
    async def awaited():
        return "ok"

    started = time.monotonic()
    assert calls(plain, times=2) == ["ok", "refused"]
    assert calls(awaited, times=2) == ["ok", "refused"]
    assert time.monotonic() - started < 0.9


def test_many_threads_at_once_run_a_function_exactly_as_often_as_its_limit_says():
    ran = []

    @rate_limit("50/minute", store=MemoryStore())
    def plain():
        ran.append(1)

    def work():
        for _ in range(20):
            calls(plain, times=1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ran) == 50


@given(st.lists(st.sampled_from(["a", "b", ("a", "b"), ("a,b",), 7, "7", "(a,b)", ("b", "a"), (("a",), "b")]), max_size=30))
def test_a_function_counts_per_identity(identities):
    store = MemoryStore(clock=ManualClock())

    @rate_limit("2/minute", key=lambda who: who, store=store)
    def function(who):
        return "ok"

    counted = {}
    for who in identities:
        same = str(who) if isinstance(who, int) else who
        counted[same] = counted.get(same, 0) + 1
        assert calls(function, who, times=1) == ["ok" if counted[same] <= 2 else "refused"]
