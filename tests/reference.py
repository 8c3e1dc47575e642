"""
What the four algorithms mean, written down a second time, for comparison: plain lists and fractions, nothing from ratekit.

A model remembers what was charged to one key and answers two questions about any later instant: how many units still count then
(`spent`), and whether the key is as new (`fresh`). Every figure that a client is shown is then searched for, not calculated: the
first instant at which the answer changes. Times are whole microseconds.
"""

from bisect import bisect_left
from fractions import Fraction
from math import ceil, floor, inf
from typing import NamedTuple


class Rate(NamedTuple):
    """A limit as plain numbers; `capacity` is the burst of a token bucket, else the quota; `text` is how it is written."""

    algorithm: str
    quota: int
    period: int
    capacity: int
    buckets: int
    text: str


class Answer(NamedTuple):
    """What a client is shown; times in seconds."""

    allowed: bool
    text: str
    remaining: int
    retry_after: float
    more_after: float
    reset_after: float


class FixedWindow:
    """A window opens at the first hit, on a whole millisecond, and is forgotten as a whole."""

    def __init__(self):
        self.end, self.units = 0, 0

    def spent(self, rate, at):
        return 0 if self.fresh(rate, at) else self.units

    def fresh(self, rate, at):
        return at >= self.end

    def charge(self, rate, now, cost):
        if self.fresh(rate, now):
            self.end, self.units = now - now % 1000 + rate.period, 0
        self.units += cost
        return self.end

    def give(self, rate, now, cost, ticket):
        if not self.fresh(rate, now) and ticket == self.end:
            self.units -= min(cost, self.units)


class SlidingWindow:
    """A list of [time, units]; hits in one cell share an entry, which has the time of the last of them."""

    def __init__(self):
        self.entries = []

    def live(self, rate, at):
        return [entry for entry in self.entries if entry[0] + rate.period > at]

    def spent(self, rate, at):
        return sum(units for _, units in self.live(rate, at))

    def fresh(self, rate, at):
        return not self.live(rate, at)

    def cell(self, rate, at):
        return at if rate.quota <= rate.buckets else at // ceil(Fraction(rate.period, rate.buckets - 1))

    def charge(self, rate, now, cost):
        self.entries = self.live(rate, now)
        if not self.entries or self.cell(rate, self.entries[-1][0]) != self.cell(rate, now):
            self.entries.append([now, 0])
        self.entries[-1][0] = now
        self.entries[-1][1] += cost
        return now

    def give(self, rate, now, cost, ticket):
        charged = [entry for entry in self.live(rate, now) if entry[0] >= ticket][:1]
        for entry in charged:
            if self.cell(rate, entry[0]) == self.cell(rate, ticket):
                entry[1] -= min(cost, entry[1])
        self.entries = [entry for entry in self.entries if entry[1]]


class SlidingCounter:
    """Windows in a row, as [start, units]; the one before the current one counts by how much of it still overlaps."""

    def __init__(self):
        self.windows = []

    def around(self, rate, at):
        """The current window and the one before it, as they would be at an instant."""
        if not self.windows or at >= self.windows[-1][0] + 2 * rate.period:
            return [at, 0], [at - rate.period, 0]
        last = self.windows[-1]
        if at >= last[0] + rate.period:
            return [last[0] + rate.period, 0], last
        before = [window for window in self.windows if window[0] == last[0] - rate.period]
        return last, before[0] if before else [last[0] - rate.period, 0]

    def spent(self, rate, at):
        current, before = self.around(rate, at)
        # Overlap is measured in steps: as many as fit 2^22 times into a period.
        step = ceil(Fraction(rate.period, 2**22))
        steps = ceil(Fraction(rate.period, step))
        return current[1] + ceil(Fraction(before[1] * (steps - (at - current[0]) // step), steps))

    def fresh(self, rate, at):
        return self.spent(rate, at) == 0

    def charge(self, rate, now, cost):
        current, before = self.around(rate, now)
        self.windows = [before, current]
        current[1] += cost
        return current[0]

    def give(self, rate, now, cost, ticket):
        pair = self.around(rate, now)
        for window in pair:
            if window[0] == ticket and window[1]:
                window[1] -= min(cost, window[1])
                self.windows = [pair[1], pair[0]]


class TokenBucket:
    """Tokens that are missing, refilled at the rate under which the last one was taken, or at a quicker one that was refused since."""

    def __init__(self):
        self.missing, self.since, self.speed = Fraction(0), 0, Fraction(0)

    def spent(self, rate, at):
        return max(Fraction(0), self.missing - (at - self.since) * self.speed)

    def fresh(self, rate, at):
        return self.spent(rate, at) == 0

    def put(self, rate, now, missing):
        self.missing, self.since, self.speed = missing, now, Fraction(rate.quota, rate.period)

    def charge(self, rate, now, cost):
        self.put(rate, now, self.spent(rate, now) + cost)
        return now + self.missing / self.speed

    def refuse(self, rate, now):
        if Fraction(rate.quota, rate.period) > self.speed:
            self.put(rate, now, self.spent(rate, now))

    def give(self, rate, now, cost, ticket):
        # What time has refilled of the charge already is not given back a second time.
        speed = Fraction(rate.quota, rate.period)
        back = min(cost, (ticket - now) * speed, self.spent(rate, now))
        if back > 0:
            self.put(rate, now, self.spent(rate, now) - back)


MODELS = {
    "fixed_window": FixedWindow,
    "sliding_window": SlidingWindow,
    "sliding_counter": SlidingCounter,
    "token_bucket": TokenBucket,
}


class Reference:
    """Any number of keys; the key is whose it is, the algorithm and the period. `now` is moved by whoever asks."""

    def __init__(self, now):
        self.now = now
        self.keys = {}

    def models(self, rates, identity):
        keys = [(identity, rate.algorithm, rate.period) for rate in rates]
        return [self.keys.setdefault(key, MODELS[key[1]]()) for key in keys]

    def peek(self, rates, identity, cost):
        models = self.models(rates, identity)
        return joined([answer(rate, model, self.now, cost) for rate, model in zip(rates, models, strict=True)])

    def hit(self, rates, identity, cost):
        """The answer and, where it was admitted, the tickets for giving back."""
        asked = self.peek(rates, identity, cost)
        if not asked[0].allowed:
            for rate, model in zip(rates, self.models(rates, identity), strict=True):
                if hasattr(model, "refuse"):
                    model.refuse(rate, self.now)
            return self.peek(rates, identity, cost), None
        return self.force(rates, identity, cost)

    def force(self, rates, identity, cost):
        models = self.models(rates, identity)
        tickets = [model.charge(rate, self.now, cost) for rate, model in zip(rates, models, strict=True)]
        return self.stands(rates, models), tickets

    def give(self, rates, identity, cost, tickets):
        models = self.models(rates, identity)
        for rate, model, ticket in zip(rates, models, tickets, strict=True):
            model.give(rate, self.now, cost, ticket)
        return self.stands(rates, models)

    def stands(self, rates, models):
        return joined([answer(rate, model, self.now, 0) for rate, model in zip(rates, models, strict=True)])


def answer(rate, model, now, cost):
    """What is shown of one limit; cost 0 for a charge that is made already."""

    def room(at):
        return max(0, floor(rate.capacity - model.spent(rate, at)))

    def fits(at):
        return cost == 0 or model.spent(rate, at) + cost <= rate.capacity

    room_now = room(now)
    wait = 0 if fits(now) else inf if cost > rate.capacity else first(now, fits)
    more = first(now, lambda at: room(at) > room_now) if model.spent(rate, now) else 0
    reset = first(now, lambda at: model.fresh(rate, at))
    return Answer(fits(now), rate.text, room_now, wait / 1_000_000, more / 1_000_000, reset / 1_000_000)


def first(now, test):
    """Microseconds until `test`, which never turns false again, is true."""
    reach = 1
    while not test(now + reach):
        reach *= 16
    return bisect_left(range(reach), True, key=lambda wait: test(now + wait))


def joined(answers):
    """The whole answer and its parts: the longest wait speaks for a refusal, the least room for an admission."""
    refused = [part for part in answers if not part.allowed]
    if refused:
        speaker = max(refused, key=lambda part: part.retry_after)
    else:
        speaker = min(answers, key=lambda part: (part.remaining, -part.more_after))
    return speaker, tuple(answers)
