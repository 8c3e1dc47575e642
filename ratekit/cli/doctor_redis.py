"""
The doctor at a Redis: does it answer, may ratekit do what it must, is its clock right, does it keep what it is given?

It asks with the application's own address and user, so that it sees what the application sees; what that user may not look at is
said to be unknown, and who could look.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any, Final

from ratekit.algorithms import SPEND, rule_of
from ratekit.cli.doctor_acl import acl_line
from ratekit.cli.doctor_finding import Finding
from ratekit.cli.redis_client import of_a_cluster
from ratekit.errors import StoreError
from ratekit.limit import ALGORITHM_NAMES, MOST, Limit
from ratekit.stores.naming import plan_of
from ratekit.stores.protocol import Ask
from ratekit.stores.url import open_store

PATIENCE: Final = 5.0
"""Seconds that one question may take."""
PINGS: Final = 21
SKEW: Final = 1.0
"""Seconds between two clocks that are worth a word: what a machine without NTP drifts in a week or two."""
FULL: Final = 0.9


def examined(url: str, prefix: str, most_keys: int) -> list[Finding]:
    """All that is found at a Redis; when it cannot be reached, that alone."""
    open_store(url).close()  # what is no URL of ours, or takes an extra that is missing, is said here
    import redis

    from ratekit.cli.redis_client import clients_of

    try:
        clients = clients_of(url)
        reached = [_ping(client) for client in clients]
    except (redis.RedisError, OSError) as error:
        advice = "Is it running, is the address right, does a firewall let this machine in, are user and password right?"
        return [Finding("ping", "bad", f"no answer: {error}", advice)]
    database = int(clients[0].connection_pool.connection_kwargs.get("db") or 0)
    found = [_named(client, answer, among=len(clients)) for client, answer in zip(clients, reached, strict=True)]
    found.append(_seen("script", lambda: script(url, prefix, database), redis.RedisError))
    for client in clients:
        with client:
            looks = [
                _seen("version", partial(_version, client), redis.RedisError),
                _seen("clock", partial(_clock, client), redis.RedisError),
                _seen("eviction", partial(_eviction, client), redis.RedisError),
                _seen("connections", partial(_connections, client), redis.RedisError),
                _seen("time to live", partial(_immortal, client, prefix, most_keys), redis.RedisError),
            ]
            found += [_named(client, look, among=len(clients)) for look in looks]
    return found


def _named(client: Any, finding: Finding, *, among: int) -> Finding:
    """What was found at one of several servers, with its name."""
    options = client.connection_pool.connection_kwargs
    return replace(finding, says=f"{options['host']}:{options['port']}: {finding.says}") if among > 1 else finding


def _seen(name: str, look: Callable[[], Finding], fault: type[Exception]) -> Finding:
    try:
        return look()
    except fault as error:
        advice = "Run the doctor once with an administrator's URL to see it."
        return Finding(name, "unknown", f"this user may not look: {error}", advice)


def _ping(client: Any) -> Finding:
    client.ping()  # connects
    times = []
    for _ in range(PINGS):
        start = time.perf_counter()
        client.ping()
        times.append(1000 * (time.perf_counter() - start))
    usual, worst = median(times), max(times)
    says = f"answers in {usual:.2f} ms, at worst of {PINGS} in {worst:.2f} ms; a decision may take 50 ms"
    if usual > 25:
        return Finding(
            "ping",
            "bad",
            says,
            "Half of the budget is the way there and back: bring store and application together, or set budget=.",
        )
    if worst > 25:
        return Finding(
            "ping", "look", says, "Some answers nearly miss the budget: look for slow commands (SLOWLOG GET) and a loaded machine."
        )
    return Finding("ping", "good", says)


def _version(client: Any) -> Finding:
    from redis.exceptions import ResponseError

    facts = client.info("server")
    name = "Valkey" if facts.get("server_name") == "valkey" else "Redis"
    version = str(facts.get("valkey_version") or facts["redis_version"])
    says = f"{name} {version}, {facts.get('redis_mode', 'standalone')}"
    # The newest command of all that ratekit's scripts take is tried: what a server calls itself says little of what it can do.
    try:
        client.pexpiretime("")
    except ResponseError as error:
        if "unknown command" in str(error):
            return Finding("version", "bad", says, "ratekit needs Redis 7.0 or newer, or Valkey: this one has no PEXPIRETIME.")
    return Finding("version", "good", says)


def script(url: str, prefix: str, database: int = 0) -> Finding:
    """Whether every rule's script runs there, on keys of the doctor's own that end within a second."""
    store = open_store(url)
    line = acl_line(prefix, database, cluster=of_a_cluster(url))
    try:
        for name in ALGORITHM_NAMES:
            rule = rule_of(Limit(MOST, per=1, algorithm=name))
            (_, space), *_ = plan_of([rule.limit], prefix=prefix, name="!doctor")
            for _ in range(2):  # a second hit takes other commands than the first
                store.decide([Ask(rule, space, "probe", SPEND, 1)], PATIENCE)
            store.forget([space], "probe")
    except StoreError as error:
        advice = f"An administrator can paste this (with a password) and the application use that user:\n{line}"
        return Finding("script", "bad", f"ratekit's script cannot run: {error}", advice)
    finally:
        store.close()
    return Finding("script", "good", "runs for every algorithm; a user who may do no more than it needs:", line)


def _clock(client: Any) -> Finding:
    offsets = []
    for _ in range(5):
        before = time.time()
        seconds, microseconds = client.time()
        after = time.time()
        offsets.append((after - before, seconds + microseconds / 1e6 - (before + after) / 2))
    way, offset = min(offsets)
    side = "ahead of" if offset > 0 else "behind"
    says = f"the server's clock is {abs(offset):,.3f} s {side} this machine's (give or take {1000 * way / 2:.1f} ms)"
    if abs(offset) < max(SKEW, way):
        return Finding("clock", "good", says)
    advice = (
        "Let NTP set both clocks. Windows and waits go by the server's clock alone and stay right, but calendar quotas begin and end\n"
        "by it, and when a replica whose clock differs takes over, every window jumps by the difference."
    )
    return Finding("clock", "bad", says, advice)


def _eviction(client: Any) -> Finding:
    memory, stats = client.info("memory"), client.info("stats")
    policy, most, used = memory["maxmemory_policy"], int(memory["maxmemory"]), int(memory["used_memory"])
    evicted = int(stats.get("evicted_keys", 0))
    lost = f"; {evicted:,} keys have been evicted since it started" if evicted else ""
    size = f"{used / 2**20:,.0f} of {most / 2**20:,.0f} MiB used" if most else "no maxmemory"
    says = f"{policy}, {size}{lost}"
    if policy != "noeviction" and most:
        advice = (
            "Whose key is evicted is forgiven: he may spend his whole quota again. Keep limits in an instance of their own with\n"
            "CONFIG SET maxmemory-policy noeviction, and enough memory: some 200 bytes for each client and limit."
        )
        return Finding("eviction", "bad", says, advice)
    if policy != "noeviction":
        return Finding("eviction", "look", says, "Once a maxmemory is set this policy would forgive clients: noeviction does not.")
    if most and used > FULL * most:
        return Finding("eviction", "bad", says, "When it is full every hit fails and on_outage decides: give it more memory.")
    return Finding("eviction", "good", says)


def _connections(client: Any) -> Finding:
    facts = client.info("clients")
    now, most = int(facts["connected_clients"]), int(facts.get("maxclients", 0))
    says = f"{now:,} of {most:,} connections are taken; each process of the application needs one or two"
    if most and now > FULL * most:
        return Finding(
            "connections", "bad", says, "Soon nobody can connect any more: find who holds them (CLIENT LIST), or raise maxclients."
        )
    return Finding("connections", "good", says)


def _immortal(client: Any, prefix: str, most: int) -> Finding:
    head, _, _ = plan_of([Limit(1, per=1)], prefix=prefix, name="doctor")[0][1].head.partition(":{")
    looked, immortal, cursor = 0, list[str](), 0
    while looked < most:
        cursor, keys = client.scan(cursor, match=f"{globbed(head)}:*", count=1000)
        pipe = client.pipeline(transaction=False)
        for key in keys:
            pipe.pttl(key)
        immortal += [key for key, left in zip(keys, pipe.execute(), strict=True) if left == -1]
        looked += len(keys)
        if not int(cursor):
            break
    whole = "all" if not int(cursor) else "the first"
    says = f"{whole} {looked:,} keys under {head!r} looked at, {len(immortal) or 'none'} without a time to live"
    if not immortal:
        return Finding("time to live", "good", says)
    examples = "\n".join(f"  {key}" for key in immortal[:3])
    advice = (
        "ratekit never writes such a key: PERSIST, SET or a restore did. One that is hit again is repaired by that hit;\n"
        f"the others stay in memory for ever. Delete them (DEL), and find who writes under this prefix. Such as:\n{examples}"
    )
    return Finding("time to live", "bad", says, advice)


def globbed(text: str) -> str:
    r"""
    Text as a pattern of SCAN that means itself.

    >>> globbed("a*b")
    'a\\*b'
    """
    return "".join(f"\\{character}" if character in "*?[]\\^" else character for character in text)
