"""
`ratekit count …`: what counters on a shared store hold, and what an application has served.

A counter is named by its name, and by `--per` where it has buckets of time; how many buckets are read is `--last`.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from ratekit.cli.common import OUT, Json, Prefix, StoreUrl, opened, plainly, print_json, printable
from ratekit.counters import Bucket, Counter, Leaderboard, UniqueCounter
from ratekit.counters.clock import AROUND
from ratekit.counters.leaderboard import MOST_MEMBERS
from ratekit.errors import ConfigurationError

PATIENCE = 5.0
"""Seconds that an operator waits for the store."""
FULL = 30
"""Characters of the longest bar."""

count = typer.Typer(no_args_is_help=True, help="Counters on a shared store: add, read, and what an application has served.")

Key = Annotated[str, typer.Argument(metavar="KEY", help="What is counted: the identity.", show_default=False)]
Amount = Annotated[int, typer.Argument(metavar="N", help="How much; below 0 after --.")]
CounterName = Annotated[str, typer.Option("--name", metavar="TEXT", help="The counter's name.")]
Per = Annotated[
    str | None, typer.Option("--per", metavar="UNIT", help="Of a counter with buckets of time: second, minute, ..., or seconds.")
]
Unit = Annotated[str, typer.Option("--per", metavar="UNIT", help="The counter's unit: second, minute, ..., or seconds.")]
Tz = Annotated[str | None, typer.Option("--tz", metavar="ZONE", help="The time zone of its buckets.")]
Keep = Annotated[
    int | None,
    typer.Option("--keep", min=1, metavar="N", help="Buckets that it keeps, as in the application: older ones are dropped."),
]
Last = Annotated[int | None, typer.Option("--last", min=1, metavar="N", help="Buckets to read, the present one among them.")]
Rows = Annotated[int, typer.Option("--rows", min=1, max=MOST_MEMBERS, metavar="N", help="Lines to show.")]
Ago = Annotated[int, typer.Option("--ago", min=0, metavar="N", help="The board of so many buckets ago.")]


def options_of(per: str | None, keep: int | None, tz: str | None) -> dict[str, Any]:
    """What a counter is made with; a number of seconds may be text."""
    if per is None:
        if tz is not None:
            raise ConfigurationError("--tz is for counters with buckets of time: write --per day, too")
        return {}
    return {"per": int(per) if per.isdecimal() else per, "keep": keep, "tz": tz}


@count.command()
def add(
    key: Key,
    amount: Amount = 1,
    store: StoreUrl = None,
    name: CounterName = "default",
    prefix: Prefix = "ratekit",
    per: Per = None,
    keep: Keep = None,
    tz: Tz = None,
    as_json: Json = False,
) -> None:
    """
    Add to a counter, and say what it then holds (of the present bucket, with --per).

    Example: ratekit count add report.pdf 3 --name downloads --store redis://localhost:6379/0
    """
    with plainly(), opened(store, "count add") as there:
        counter = Counter(name, store=there, prefix=prefix, budget=PATIENCE, **options_of(per, keep, tz))
        held = counter.add(key, amount)
        _said(as_json, {"name": name, "key": key, "added": amount, "value": held}, f"{printable(key)}: {held:,}")


@count.command()
def value(
    key: Key,
    store: StoreUrl = None,
    name: CounterName = "default",
    prefix: Prefix = "ratekit",
    per: Per = None,
    last: Last = None,
    tz: Tz = None,
    as_json: Json = False,
) -> None:
    """Say what a counter holds; with --per all of the last 60 buckets, or of --last."""
    with plainly(), opened(store, "count value") as there:
        counter = Counter(name, store=there, prefix=prefix, budget=PATIENCE, **options_of(per, last or 60, tz))
        held = counter.value(key)
        _said(as_json, {"name": name, "key": key, "value": held}, f"{printable(key)}: {held:,}")


@count.command()
def series(
    key: Key,
    per: Unit,
    store: StoreUrl = None,
    name: CounterName = "default",
    prefix: Prefix = "ratekit",
    last: Last = 60,
    tz: Tz = None,
    as_json: Json = False,
) -> None:
    """Show a counter's last buckets of time, the present one last."""
    with plainly(), opened(store, "count series") as there:
        counter = Counter(name, store=there, prefix=prefix, budget=PATIENCE, **options_of(per, last or 60, tz))
        show_series(counter.series(key), f"{printable(key)} by {per}", as_json, {"name": name, "key": key})


@count.command()
def unique(
    key: Key,
    store: StoreUrl = None,
    name: CounterName = "default",
    prefix: Prefix = "ratekit",
    per: Per = None,
    last: Last = None,
    tz: Tz = None,
    as_json: Json = False,
) -> None:
    """Say about how many distinct members a UniqueCounter has seen; with --per in the last 60 buckets together, or in --last."""
    with plainly(), opened(store, "count unique") as there:
        counter = UniqueCounter(name, store=there, prefix=prefix, budget=PATIENCE, **options_of(per, last or 60, tz))
        seen = counter.count(key)
        _said(as_json, {"name": name, "key": key, "unique": seen}, f"{printable(key)}: about {seen:,} distinct")


@count.command()
def top(
    store: StoreUrl = None,
    name: CounterName = "default",
    prefix: Prefix = "ratekit",
    per: Per = None,
    ago: Ago = 0,
    rows: Rows = 10,
    tz: Tz = None,
    as_json: Json = False,
) -> None:
    """Show the highest of a Leaderboard; with --per of the present bucket, or of the one --ago."""
    with plainly(), opened(store, "count top") as there:
        options = options_of(per, ago + AROUND, tz)
        entries = Leaderboard(name, store=there, prefix=prefix, budget=PATIENCE, **options).top(rows, ago=ago if per else 0)
        if as_json:
            print_json([{"rank": entry.rank, "member": entry.member, "score": entry.score} for entry in entries])
            return
        table = Table("rank", "member", box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("score", justify="right")
        for entry in entries:
            table.add_row(str(entry.rank), printable(entry.member, 60), f"{entry.score:,}")
        OUT.print(table)


def show_series(buckets: Sequence[Bucket], title: str, as_json: bool, facts: dict[str, Any]) -> None:
    """Buckets of time as bars, or as JSON."""
    if as_json:
        print_json({**facts, "series": facts_of(buckets)})
        return
    OUT.print(f"{title}: {sum(bucket.count for bucket in buckets):,}\n")
    most = max(1, *(bucket.count for bucket in buckets))
    for bucket in buckets:
        bar = "█" * round(FULL * max(0, bucket.count) / most)
        OUT.print(f"  {bucket.start:%Y-%m-%d %H:%M:%S}  {bucket.count:>12,}  {bar}".rstrip())


def facts_of(buckets: Sequence[Bucket]) -> list[dict[str, Any]]:
    """Buckets as JSON has them."""
    return [{"start": bucket.start.isoformat(), "count": bucket.count} for bucket in buckets]


def _said(as_json: bool, facts: dict[str, Any], text: str) -> None:
    if as_json:
        print_json(facts)
    else:
        OUT.print(text)
