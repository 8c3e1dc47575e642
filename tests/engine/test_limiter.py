"""
Limiter and AsyncLimiter: what they accept, what they warn of, and what their answers are.
"""

import asyncio
import copy
import pickle
import subprocess
import sys

import pytest
import trio

from ratekit import AsyncLimiter, ConfigurationError, Decision, Limit, Limiter, RateKitWarning, RateLimitExceeded
from ratekit.stores import AsyncMemoryStore, MemoryStore


def test_a_limiter_takes_texts_limits_and_several_limits_in_one_text():
    limiter = Limiter("10/second; 20/minute", Limit(30, per=3_600), store=MemoryStore())
    assert [limit.quota for limit in limiter.limits] == [10, 20, 30]
    assert [str(part.limit) for part in limiter.hit("ann").details] == ["10/second", "20/minute", "30/hour"]


def test_a_decision_is_true_only_if_it_was_admitted():
    limiter = Limiter("1/minute", store=MemoryStore())
    assert [bool(limiter.hit("ann")), bool(limiter.hit("ann"))] == [True, False]


@pytest.mark.parametrize("texts", [["1/minute"], ["1/minute", "2/hour burst 5"]])
def test_a_decision_survives_pickling_and_copying(texts):
    limiter = Limiter(*texts, store=MemoryStore())
    for decision in (limiter.hit("ann"), limiter.hit("ann"), limiter.peek("bob")):
        for again in (pickle.loads(pickle.dumps(decision)), copy.copy(decision), copy.deepcopy(decision)):
            assert isinstance(again, Decision)
            assert again == decision
            assert hash(again) == hash(decision)
            assert repr(again) == repr(decision)
            assert again.details == decision.details
            assert again.retry_after == decision.retry_after


def test_decisions_are_equal_by_what_they_say_and_nothing_else(clock):
    limiter = Limiter("5/minute", store=MemoryStore(clock=clock))
    assert limiter.hit("ann") == limiter.hit("bob")
    assert limiter.hit("ann") != limiter.peek("carl")
    assert limiter.peek("ann") != (True,)
    limiter.hit("bob")
    assert len({limiter.peek("ann"), limiter.peek("bob"), limiter.peek("ann")}) == 1


def test_a_decision_cannot_be_changed_and_shows_its_figures():
    decision = Limiter("5/minute", store=MemoryStore()).hit("ann")
    with pytest.raises(AttributeError):
        decision.remaining = 9
    assert "remaining=4" in repr(decision)
    assert "'5/minute'" in repr(decision)


def test_the_error_of_a_refusal_says_which_limit_and_when_and_carries_the_decision():
    limiter = Limiter("1/minute", store=MemoryStore())
    with pytest.raises(RateLimitExceeded, match=r"1/minute.*never") as caught:
        limiter.acquire("ann", cost=2)
    assert caught.value.decision.limit == limiter.limits[0]


@pytest.mark.parametrize("limits", [["5/minute", "9/minute"], ["5/minute", "5/60s"], ["5/minute name a", "9/hour name a"]])
def test_limits_that_would_share_a_key_are_an_error_that_asks_for_names(limits):
    with pytest.raises(ConfigurationError, match="name"):
        Limiter(*limits)


def test_limits_of_one_period_are_apart_by_name_or_algorithm():
    limiter = Limiter("5/minute", "9/minute name more", "7/minute fixed_window", store=MemoryStore())
    assert [part.remaining for part in limiter.hit("ann").details] == [4, 8, 6]


@pytest.mark.parametrize("arguments", [[], [None], [5], ["5/month"], [b"5/minute"]])
def test_what_is_no_limit_is_an_error(arguments):
    for kind in (Limiter, AsyncLimiter):
        with pytest.raises(ConfigurationError):
            kind(*arguments)


@pytest.mark.parametrize(
    "options", [{"name": ""}, {"prefix": ""}, {"name": 5}, {"prefix": None}, {"store": None}, {"store": object()}]
)
def test_a_name_a_prefix_or_a_store_that_is_none_is_an_error(options):
    for kind in (Limiter, AsyncLimiter):
        with pytest.raises(ConfigurationError):
            kind("5/minute", **options)


def test_a_store_of_the_other_kind_is_an_error():
    with pytest.raises(ConfigurationError, match="threads"):
        Limiter("5/minute", store=AsyncMemoryStore())
    with pytest.raises(ConfigurationError, match="async"):
        AsyncLimiter("5/minute", store=MemoryStore())


def test_two_live_limiters_of_one_name_and_different_limits_are_warned_of():
    store = MemoryStore()
    first = Limiter("5/minute", store=store)
    with pytest.warns(RateKitWarning, match="name="):
        Limiter("6/minute", store=store)
    Limiter("5/minute", store=store)
    Limiter("6/minute", store=store, name="other")
    Limiter("6/minute", store=store, prefix="other")
    Limiter("6/minute", store=MemoryStore())
    del first
    Limiter("7/minute", store=store)


def test_a_store_that_was_passed_in_stays_open():
    store = MemoryStore()
    with Limiter("2/minute", store=store) as limiter:
        limiter.hit("ann")
    assert Limiter("2/minute", store=store).peek("ann").remaining == 1


def test_before_it_is_awaited_an_answer_has_no_truth_value():
    async def main():
        limiter = AsyncLimiter("5/minute", store=AsyncMemoryStore())
        for ask in (limiter.hit, limiter.peek, limiter.acquire):
            pending = ask("ann")
            with pytest.raises(TypeError, match="await"):
                bool(pending)
            assert await pending

    asyncio.run(main())


def test_an_answer_works_in_create_task_gather_wait_for_and_a_task_group():
    async def main():
        limiter = AsyncLimiter("9/minute", store=AsyncMemoryStore())
        task = asyncio.create_task(limiter.hit("ann"))
        decisions = [await task, *await asyncio.gather(limiter.hit("ann"), limiter.hit("ann"))]
        decisions.append(await asyncio.wait_for(limiter.hit("ann"), 5))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(limiter.hit("ann")) for _ in range(2)]
        decisions.extend(task.result() for task in tasks)
        assert [decision.remaining for decision in decisions] == [8, 7, 6, 5, 4, 3]

    asyncio.run(main())


def test_an_answer_works_in_a_trio_nursery():
    async def main():
        limiter = AsyncLimiter("9/minute", store=AsyncMemoryStore())

        async def one():
            assert await limiter.hit("ann")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(limiter.hit, "ann")
            nursery.start_soon(one)
        assert (await limiter.peek("ann")).remaining == 7

    trio.run(main)


def test_arguments_are_checked_when_asked_and_not_when_awaited():
    limiter = AsyncLimiter("5/minute", store=AsyncMemoryStore())
    with pytest.raises(ValueError, match="cost"):
        limiter.hit("ann", cost=0)
    with pytest.raises(ValueError, match="identity"):
        limiter.peek(None)


def test_an_answer_that_nobody_awaits_is_told_as_for_any_coroutine():
    code = "from ratekit import AsyncLimiter; AsyncLimiter('5/minute').hit('ann')"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "was never awaited" in told.stderr


def test_memory_is_one_state_for_sync_async_and_every_event_loop():
    limiter = Limiter("5/minute", name="one state")

    async def hit():
        async with AsyncLimiter("5/minute", name="one state") as other:
            return (await other.hit("ann")).remaining

    remaining = [limiter.hit("ann").remaining, asyncio.run(hit()), trio.run(hit), asyncio.run(hit())]
    limiter.close()
    assert remaining == [4, 3, 2, 1]
    assert Limiter("5/minute", name="one state").hit("ann").remaining == 0


@pytest.mark.parametrize("value", ["0", "false", "OFF"])
def test_ratekit_enabled_0_switches_everything_off_and_says_so(value):
    code = """if True:
        import warnings, asyncio
        from ratekit import Limiter, AsyncLimiter
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            limiter, other = Limiter("1/minute", "2/hour"), AsyncLimiter("1/minute", store="redis://127.0.0.1:1")
        answers = [limiter.hit("ann", cost=5) for _ in range(3)] + [limiter.acquire("ann"), limiter.peek("ann", cost=9)]
        async def hit():
            return await other.hit("ann", cost=7)
        answers.append(asyncio.run(hit()))
        with limiter.reserve("ann", cost=4) as reservation:
            answers.append(reservation.commit(100))
        limiter.reset("ann")
        print(all(answers), {a.source for a in answers}, sum("RATEKIT_ENABLED" in str(w.message) for w in caught))
    """
    done = subprocess.run([sys.executable, "-c", code], env={"RATEKIT_ENABLED": value}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True {'open'} 2"
