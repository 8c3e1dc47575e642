"""
Recording what many callers of one limiter ask at the same time, and what they are told.

    python recording.py URL LIMIT MIX SEED ROUNDS CALLS START     a process of its own: each round on a key of its own

`MIX` names which calls are made. A process prints its rounds as JSON, a list of calls each; they begin together because every process
waits for the same instants of the machine's monotonic clock, which all calls are timed by.
"""

import asyncio
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

from linearizable import Call

from ratekit import AsyncLimiter, Decision, Limiter, RateLimitExceeded
from ratekit.testing.doors import PATIENT

MIXES = {
    "resets": {"hit": 6, "peek": 3, "reset": 1},
    "gives": {"hit": 1, "peek": 2, "reserve": 5},
}
SLOT = 0.03
"""Seconds from one round of a process to the next."""

Step = tuple[str, int, int]


def steps(mix: str, dice: random.Random, calls: int) -> list[Step]:
    """What one caller will ask: the call, its cost, and what a reservation is settled on."""
    kinds = MIXES[mix]
    return [(dice.choices(list(kinds), list(kinds.values()))[0], dice.randint(1, 4), dice.randint(0, 5)) for _ in range(calls)]


def told(began: int, what: str, cost: int, decision: Decision | None) -> Call:
    """A call that has just ended. A local refusal is no news of what remains."""
    ended = time.monotonic_ns()
    if decision is None:
        return Call(began, ended, what, cost, (True, 0))
    if decision.degraded:
        raise RuntimeError(f"the store was away: {decision}")
    if decision.source == "denials":
        return Call(began, ended, "refusal", cost, (False, 0))
    return Call(began, ended, what, cost, (decision.allowed, decision.remaining))


def settling(cost: int, used: int) -> tuple[str, int]:
    return ("give", cost - used) if used < cost else ("force", used - cost)


def ask(limiter: Limiter, who: str, step: Step) -> Iterator[Call]:
    """Make one step; each call that it takes."""
    what, cost, used = step
    began = time.monotonic_ns()
    if what == "reset":
        yield told(began, what, 0, limiter.reset(who))
    elif what == "reserve":
        reservation = limiter.reserve(who, cost)
        try:
            reservation.__enter__()
        except RateLimitExceeded as refused:
            yield told(began, "hit", cost, refused.decision)
            return
        yield told(began, "hit", cost, reservation.decision)
        if used != cost:
            began = time.monotonic_ns()
            yield told(began, *settling(cost, used), reservation.commit(used))
    else:
        yield told(began, what, cost, getattr(limiter, what)(who, cost))


async def ask_awaited(limiter: AsyncLimiter, who: str, step: Step) -> list[Call]:
    what, cost, used = step
    began = time.monotonic_ns()
    if what == "reset":
        return [told(began, what, 0, await limiter.reset(who))]
    if what != "reserve":
        return [told(began, what, cost, await getattr(limiter, what)(who, cost))]
    reservation = limiter.reserve(who, cost)
    try:
        await reservation.__aenter__()
    except RateLimitExceeded as refused:
        return [told(began, "hit", cost, refused.decision)]
    calls = [told(began, "hit", cost, reservation.decision)]
    if used != cost:
        began = time.monotonic_ns()
        calls.append(told(began, *settling(cost, used), await reservation.commit(used)))
    return calls


def by_threads(limiter: Limiter, who: str, plans: list[list[Step]], ready: Callable[[], object]) -> list[Call]:
    """One round: a thread for each plan; all begin once each is `ready`."""
    found: list[Call] = []

    def work(plan: list[Step]) -> None:
        ready()
        for step in plan:
            found.extend(ask(limiter, who, step))

    threads = [threading.Thread(target=work, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


async def by_tasks(limiter: AsyncLimiter, who: str, plans: list[list[Step]]) -> list[Call]:
    """One round: a task for each plan."""

    async def work(plan: list[Step]) -> list[Call]:
        return [call for step in plan for call in await ask_awaited(limiter, who, step)]

    return [call for calls in await asyncio.gather(*map(work, plans)) for call in calls]


def by_processes(url: str, limit: str, mix: str, rounds: int, calls: int, processes: int = 3) -> list[list[Call]]:
    """Rounds of some processes with two threads each; each round's calls together."""
    start = time.monotonic() + 1.5
    words = [url, limit, mix], [str(rounds), str(calls), str(start)]
    lines = [[sys.executable, __file__, *words[0], str(seed), *words[1]] for seed in range(processes)]
    running = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for line in lines]
    outputs = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * processes
    parts = [[[Call(*call[:4], tuple(call[4])) for call in one] for one in json.loads(output)] for output in outputs]
    return [[call for part in together for call in part] for together in zip(*parts, strict=True)]


def main(url: str, limit: str, mix: str, seed: int, rounds: int, calls: int, start: float) -> list[list[Call]]:
    found, dice = [], random.Random(seed)
    with Limiter(limit, store=url, name=f"recorded {mix}", **PATIENT | {"deny_cache": 0}) as limiter:
        limiter.peek("warm")
        for number in range(rounds):
            plans = [steps(mix, dice, calls) for _ in range(2)]
            begin = start + number * SLOT
            found.append(
                by_threads(limiter, f"round {number}", plans, lambda at=begin: time.sleep(max(0.0, at - time.monotonic())))
            )
    return found


if __name__ == "__main__":
    url, limit, mix, *numbers = sys.argv[1:]
    print(json.dumps(main(url, limit, mix, *map(int, numbers[:3]), float(numbers[3]))))  # noqa: T201
