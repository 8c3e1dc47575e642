"""
A limiter under gevent, in a process of its own, because gevent has to patch it before anything else: `greenlets.py SCENARIO URL`.
Prints what a test has to know as JSON.
"""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

import gevent  # noqa: E402

from ratekit import Limiter  # noqa: E402


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def crowd(url):
    """Each greenlet has a key, a cost and a limiter's view of its own, which nobody else's answer would fit."""
    wrong, hits = [], 0

    def asking(i):
        nonlocal hits
        limiter = Limiter(f"{1000 + i}/hour", store=url, name=f"mine {i}", budget=10.0)
        for turn in range(1, 21):
            decision = limiter.hit(f"client {i}", cost=1 + i % 7)
            hits += 1
            expected = (1000 + i - turn * (1 + i % 7), 1000 + i, "store")
            if (decision.remaining, decision.limit.quota, decision.source) != expected:
                wrong.append([i, turn, *expected])

    gevent.joinall([gevent.spawn(asking, i) for i in range(100)], raise_error=True)
    return {"wrong": wrong, "hits": hits}


def quota(url):
    """Many greenlets, one key."""
    limiter = Limiter("300/hour", store=url, budget=10.0, deny_cache=0)
    greenlets = [gevent.spawn(limiter.hit, "everybody") for _ in range(1000)]
    gevent.joinall(greenlets, raise_error=True)
    decisions = [greenlet.value for greenlet in greenlets]
    return {"admitted": sum(decision.allowed for decision in decisions), "sources": sorted({one.source for one in decisions})}


def hung(url):
    """A Redis that hangs, while another greenlet wants to work; the line on stdout says when to hang it."""
    limiter = Limiter("1000/hour", store=url, budget=1.0)
    limiter.hit("warm")
    say("ready")
    sys.stdin.readline()
    gaps, waits, done = [], [], []

    def working():
        last = time.monotonic()
        while not done:
            gevent.sleep(0.005)
            gaps.append(time.monotonic() - last)
            last = time.monotonic()

    def asking(i):
        begun = time.monotonic()
        source = limiter.hit(f"client {i}").source
        waits.append((source, time.monotonic() - begun))

    worker = gevent.spawn(working)
    gevent.joinall([gevent.spawn(asking, i) for i in range(50)], raise_error=True)
    done.append(True)
    worker.join()
    return {"gap": max(gaps), "turns": len(gaps), "wait": max(wait for _, wait in waits), "sources": sorted({s for s, _ in waits})}


def killed(url):
    """Greenlets that are killed wherever they are, again and again; then the others go on."""
    limiter = Limiter("1000000/hour", store=url, budget=10.0)
    limiter.hit("warm")
    for round_ in range(100):
        greenlets = [gevent.spawn(limiter.hit, f"client {i}") for i in range(8)]
        gevent.sleep(0 if round_ % 2 else 0.0001 * (round_ % 7))
        gevent.killall(greenlets[round_ % 3 :: 2], block=round_ % 5 == 0)
        gevent.joinall(greenlets)
    begun = time.monotonic()
    return crowd(url) | {"took": time.monotonic() - begun}


if __name__ == "__main__":
    scenarios = {"crowd": crowd, "quota": quota, "hung": hung, "killed": killed}
    say(json.dumps(scenarios[sys.argv[1]](sys.argv[2])))
