"""
The server answers, and not with a decision: the script is gone, it is full, read-only, loading, busy, locked; a key is spoiled.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import redis
import servers
from figures import Figure, count, seconds, timely
from proxy import Proxy, Spoil
from service import Client, Load, Service, back_after


async def flushed(full: bool) -> list[Figure]:
    """SCRIPT FLUSH 20 times under load."""
    with servers.RedisServer() as server, server.client() as client:
        async with Service(server.url) as service, Load(service.port, 20 if full else 5) as load:
            await asyncio.sleep(0.5)
            for _ in range(20):
                client.script_flush()
                await asyncio.sleep(0.25 if full else 0.05)
            unhandled, health = await service.unhandled(), await service.health()
            counted = sum(int(client.get(key)) for key in client.keys("*:default:*"))
        replayed = servers.calls_of(client, "eval")
    return [
        count("5xx", load.bad),
        count("unhandled", unhandled),
        count("counted more often than asked", max(0, counted - len(load.answers))),
        count("flushes that no request noticed", max(0, 10 - replayed)),
        timely("decided elsewhere", sum(answer.source != "store" for answer in load.answers)),
        timely("changes of state", health["changes"]),
    ]


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault of the server: how it begins and how it ends."""

    begin: Callable[[redis.Redis, Proxy], object]
    end: Callable[[redis.Redis, Proxy], object]


def configured(**values: tuple[str, str]) -> Trouble:
    """Settings while the fault lasts, and after it."""

    def set_all(which: int):
        def apply(client: redis.Redis, proxy: Proxy) -> None:
            for name, pair in values.items():
                client.config_set(name.replace("_", "-"), pair[which])

        return apply

    return Trouble(set_all(0), set_all(1))


def answering(text: str) -> Trouble:
    """What is hard to provoke: the proxy answers in the server's stead, and the call never reaches it."""
    spoil = Spoil(then=f"-{text}\r\n".encode(), before=True)
    return Trouble(
        lambda client, proxy: setattr(proxy, "spoil", lambda: spoil), lambda client, proxy: setattr(proxy, "spoil", lambda: None)
    )


def demote(client: redis.Redis, proxy: Proxy) -> None:
    client.replicaof("127.0.0.1", servers.free_port())


def demote_silently(client: redis.Redis, proxy: Proxy) -> None:
    client.config_set("replica-serve-stale-data", "no")
    demote(client, proxy)


def promote(client: redis.Redis, proxy: Proxy) -> None:
    client.replicaof("NO", "ONE")


def occupy(client: redis.Redis, proxy: Proxy) -> None:
    """A script that does not end; the server says BUSY after 5 ms of it."""
    client.config_set("busy-reply-threshold", 5)
    with client.client() as endless:
        endless.connection_pool.connection_kwargs["socket_timeout"] = 0.1
        pool = redis.ConnectionPool(**{**client.connection_pool.connection_kwargs, "socket_timeout": 0.1, "retry": None})
        with contextlib.suppress(redis.exceptions.TimeoutError), redis.Redis(connection_pool=pool) as caller:
            caller.eval("while true do end", 0)
        pool.disconnect()


def release(client: redis.Redis, proxy: Proxy) -> None:
    client.script_kill()


def lock(client: redis.Redis, proxy: Proxy) -> None:
    client.config_set("requirepass", "changed")
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def unlock(client: redis.Redis, proxy: Proxy) -> None:
    client.execute_command("AUTH", "changed")
    client.config_set("requirepass", "")


TROUBLES = {
    "OOM": configured(maxmemory=("1", "0")),
    "READONLY": Trouble(demote, promote),
    "LOADING (by proxy)": answering("LOADING Redis is loading the dataset in memory"),
    "BUSY": Trouble(occupy, release),
    "MISCONF (by proxy)": answering(
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."
    ),
    "NOREPLICAS": configured(min_replicas_to_write=("1", "0")),
    "NOAUTH": Trouble(lock, unlock),
    "NOPERM": Trouble(
        lambda client, proxy: client.execute_command("ACL", "SETUSER", "default", "-eval", "-evalsha"),
        lambda client, proxy: client.execute_command("ACL", "SETUSER", "default", "+@all"),
    ),
    "MASTERDOWN": Trouble(demote_silently, promote),
}


async def refusing(full: bool) -> list[Figure]:
    """Every fault, each with a server and an application of its own."""
    found: list[Figure] = []
    names = list(TROUBLES)
    for first in range(0, len(names), 3):
        together = [refusing_one(name, TROUBLES[name], full) for name in names[first : first + 3]]
        found += [figure for figures in await asyncio.gather(*together) for figure in figures]
    return found


async def refusing_one(name: str, trouble: Trouble, full: bool) -> list[Figure]:
    with servers.RedisServer() as server, server.client(single_connection_client=True) as client:
        async with Proxy(server.port) as proxy, Service(proxy.url) as service, Load(service.port, 20 if full else 3) as load:
            await asyncio.sleep(1 if full else 0.3)
            await asyncio.to_thread(trouble.begin, client, proxy)
            began = time.perf_counter()
            await asyncio.sleep(2 if full else 0.4)
            ended = time.perf_counter()
            during = (await service.health())["fault"]
            await asyncio.to_thread(trouble.end, client, proxy)
            good = time.perf_counter()
            await asyncio.sleep(2 if full else 0.6)
            unhandled = await service.unhandled()
    policy = [answer for answer in load.since(began + 0.1, ended) if answer.source == "local"]
    return [
        count(f"{name}: 5xx", load.bad),
        count(f"{name}: unhandled", unhandled),
        count(f"{name}: not noticed", 0 if policy and during else 1),
        seconds(f"{name}: back after", back_after(load.answers, good), 0.5),
    ]


ALGORITHMS = ("fixed_window", "sliding_window", "sliding_counter", "token_bucket")
LIMITS = {name: f"4 per 2 seconds {name}" for name in ALGORITHMS}
LIMITS["token_bucket"] = "4 per 2 seconds burst 4"


def spoiled_as(kind: str) -> Callable[[redis.Redis, bytes], object]:
    """A way to spoil one key."""

    def spoil(client: redis.Redis, key: bytes) -> None:
        if kind != "expiry":
            client.delete(key)
        put = {
            "list": lambda: client.rpush(key, "not", "ours"),
            "hash": lambda: client.hset(key, "not", "ours"),
            "set": lambda: client.sadd(key, "ours"),
            "garbage": lambda: client.set(key, b"\xff\x00garbage" * 7),
            "empty": lambda: client.set(key, b""),
            "huge number": lambda: client.set(key, b"9" * 40),
            "expiry": lambda: client.persist(key),
        }
        put[kind]()

    return spoil


KINDS = ("list", "hash", "set", "garbage", "empty", "huge number", "expiry")


async def spoiled(full: bool) -> list[Figure]:
    """Each way to spoil a key, for each algorithm: the next hit repairs it, and nobody else notices."""
    found = dict.fromkeys(
        (
            "5xx",
            "unhandled",
            "not right on the next hit",
            "over the limit",
            "blocked beyond a window",
            "without an expiry",
            "other keys that noticed",
        ),
        0,
    )
    with servers.RedisServer() as server, server.client() as client:
        await asyncio.gather(*(spoiled_one(server.url, client, name, full, found) for name in ALGORITHMS))
    return [count(what, measured) for what, measured in found.items()]


async def spoiled_one(url: str, client: redis.Redis, algorithm: str, full: bool, found: dict[str, int]) -> None:
    kinds = KINDS if full else KINDS[::3]
    async with Service(url, limits=LIMITS[algorithm]) as service:
        await asyncio.gather(*(spoiled_key(service.port, client, algorithm, kind, found) for kind in kinds))
        found["unhandled"] += await service.unhandled()
        found["other keys that noticed"] += (await service.health())["changes"]


async def spoiled_key(port: int, client: redis.Redis, algorithm: str, kind: str, found: dict[str, int]) -> None:
    name, other = (f"10.{ALGORITHMS.index(algorithm)}.{KINDS.index(kind)}.{last}" for last in (1, 2))
    victim, bystander = Client(port, name), Client(port, other)
    answers = [await victim.get() for _ in range(6 if kind == "expiry" else 1)]
    await bystander.get()
    key, own = (next(client.scan_iter(f"*{address}*", 1000)) for address in (name, other))
    before = client.dump(own), client.pexpiretime(own)
    spoiled_as(kind)(client, key)
    if kind == "expiry":
        await asyncio.sleep(1.1)  # what was refused is remembered for a second
        answers.append(await victim.get())
        await asyncio.sleep(2.1)
        answers.append(last := await victim.get())
        found["blocked beyond a window"] += last.status != 200
    else:
        again = [await victim.get() for _ in range(6)]
        found["not right on the next hit"] += (again[0].status, again[0].source) != (200, "store")
        found["over the limit"] += sum(answer.status == 200 for answer in again) > 4
        found["other keys that noticed"] += client.exists(own) and before != (client.dump(own), client.pexpiretime(own))
        answers += again
    found["without an expiry"] += client.ttl(key) == -1
    found["5xx"] += sum(answer.bad for answer in answers)
    for ended in (victim, bystander):
        ended.close()
