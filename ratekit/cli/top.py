"""
`ratekit top`: whose limits are nearest to their end, live in the terminal.

It walks over the keys of the limits that are named (SCAN, so that the server is never blocked) and asks the script what is left of
each, as `peek` does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote

import typer
from rich import box
from rich.table import Table

from ratekit.algorithms import LOOK
from ratekit.cli.common import Json, Name, Prefix, StoreUrl, plainly, print_json, printable, seconds, shared
from ratekit.cli.doctor_redis import PATIENCE, globbed
from ratekit.cli.live import Count, Every, bar, live
from ratekit.cli.which import File, PolicyName, SomeLimits, plans_of
from ratekit.errors import ConfigurationError, StoreUnavailable
from ratekit.explanation import Told, explained
from ratekit.stores.naming import Plan, Space
from ratekit.stores.protocol import Ask, Store, decisions_of
from ratekit.stores.url import open_store

TOGETHER = 200
"""Keys that are looked at in one trip."""

Rows = Annotated[int, typer.Option("--rows", min=1, metavar="N", help="Clients to show.")]
Keys = Annotated[int, typer.Option("--keys", min=1, metavar="N", help="Keys that are looked at each time, at most.")]


@dataclass(frozen=True, slots=True)
class Exactly:
    """A space of one key, that is known already."""

    name: str

    def key(self, identity: Any) -> str:
        """The key."""
        return self.name


@dataclass(frozen=True, slots=True)
class Row:
    """One key: who, of which policy, and what is told of it."""

    who: str
    policy: str
    told: Told

    @property
    def part(self) -> float:
        """How much of it is spent, from 0 to 1."""
        return self.told.spent / self.told.capacity


def top(
    limit: SomeLimits = None,
    policies: File = None,
    store: StoreUrl = None,
    name: Name = "default",
    prefix: Prefix = "ratekit",
    policy: PolicyName = "",
    rows: Rows = 15,
    keys: Keys = 20_000,
    every: Every = 2.0,
    count: Count = 0,
    as_json: Json = False,
) -> None:
    """
    Show whose limits are nearest to their end, live, until Ctrl-C. Nothing is charged.

    Example: ratekit top --policies policies.toml --store redis://localhost:6379/0
    """
    with plainly():
        url = shared(store, "top")
        if url.startswith("upstash"):
            raise ConfigurationError("top walks over keys, which an Upstash database bills one by one: use explain KEY")
        plans = plans_of(limit, policies, policy, prefix=prefix, name=name)
        opened, client = open_store(url), _client(url)
        try:
            if as_json:
                print_json([_facts(row) for row in _looked(opened, client, plans, keys)[:rows]])
            else:
                live(lambda: _drawn(_looked(opened, client, plans, keys), rows), every, count)
        finally:
            opened.close()
            client.close()


def _client(url: str) -> Any:
    from redis import RedisError

    from ratekit.cli.redis_client import client_of

    try:
        return client_of(url)
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"the store is away: {error}") from None


def _looked(store: Store, client: Any, plans: Sequence[tuple[str, Plan]], most: int) -> list[Row]:
    """What is told of every key, the nearest to its end first."""
    found = [(which, rule, space, key) for which, plan in plans for rule, space in plan for key in _keys(client, space, most)]
    rows: list[Row] = []
    for first in range(0, len(found), TOGETHER):
        some = found[first : first + TOGETHER]
        asks = [Ask(rule, Exactly(key), "", LOOK, 1) for _, rule, _, key in some]  # type: ignore[arg-type] # a space by its key
        for (which, _, space, key), decision in zip(some, decisions_of(asks, store.decide(asks, PATIENCE)), strict=True):
            who = unquote(key[len(space.head) : len(key) - len(space.tail)])
            (told,) = explained(who, decision).limits
            if told.spent:
                rows.append(Row(who, which, told))
    return sorted(rows, key=lambda row: (-row.part, -row.told.spent, row.who))


def _keys(client: Any, space: Space, most: int) -> Iterator[str]:
    from redis import RedisError

    try:
        walk = client.scan_iter(f"{globbed(space.head)}*{globbed(space.tail)}", count=1000)
        for _, key in zip(range(most), walk, strict=False):
            yield key
    except RedisError as error:
        raise StoreUnavailable(f"the keys cannot be walked over: {error}") from None


def _drawn(rows: Sequence[Row], most: int) -> Table:
    refused = sum(not row.told.allows for row in rows)
    title = f"{len(rows):,} clients and limits in use, {refused:,} refused now"
    table = Table("client", "limit", box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    table.add_column("spent", no_wrap=True)
    for heading in ("", "free in"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows[:most]:
        told = row.told
        style = "bold red" if not told.allows else "yellow" if row.part >= 0.8 else None
        limit = f"{row.policy}: {told.limit}" if row.policy else str(told.limit)
        table.add_row(
            printable(row.who, 40),
            limit,
            bar(row.part),
            f"{told.spent:,} of {told.capacity:,}",
            seconds(told.free_after),
            style=style,
        )
    return table


def _facts(row: Row) -> dict[str, Any]:
    told = row.told
    return {
        "client": row.who,
        "policy": row.policy or None,
        "limit": str(told.limit),
        "allows": told.allows,
        "spent": told.spent,
        "capacity": told.capacity,
        "more_after": told.more_after,
        "free_after": told.free_after,
    }
