"""
What `ratekit edge` found, in tables.
"""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from ratekit.cli.common import OUT, printable
from ratekit.cli.edge.costs import BREAK_EVEN, Costs
from ratekit.cli.edge.latency import Latency
from ratekit.cli.edge.limiters import CACHE_AGE, MODES
from ratekit.cli.edge.setting import Run, Setting
from ratekit.cli.edge.windows import Point
from ratekit.kv.prices import WORKERS_PAID
from ratekit.kv.simulator.published import PUBLISHED, SCENARIOS


def show_latency(latency: Latency) -> None:
    """Milliseconds, and how many times slower KV is."""
    table = _table("Latency in ms, published (27 May 2026) and simulated; of Redis measured here", ("scenario", ""))
    table.padding = (0, 1, 0, 0)  # nine columns on a narrow terminal
    for heading in ("KV", "sim.", "Upstash", "sim.", "ratio", "Redis", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    kv, upstash = PUBLISHED["kv"], PUBLISHED["upstash"]
    for scenario in SCENARIOS:
        for i, share in enumerate(("p50", "p99")):
            redis = None if latency.redis is None else latency.redis[scenario][i]
            table.add_row(
                scenario if i == 0 else "",
                share,
                f"{kv[scenario][i]:.1f}",
                f"{latency.simulated['kv'][scenario][i]:.1f}",
                f"{upstash[scenario][i]:.1f}",
                f"{latency.simulated['upstash'][scenario][i]:.1f}",
                times(kv[scenario][i] / upstash[scenario][i]),
                "-" if redis is None else f"{redis:.3f}",
                "-" if redis is None else times(kv[scenario][i] / redis),
            )
    OUT.print(table)
    OUT.print(
        f"No simulated cell is more than {100 * latency.farthest:.1f} % from the published one. Ratios: KV as published to the other."
    )
    if latency.redis is None:
        OUT.print(f"Redis: skipped, {printable(latency.word)}.")
    else:
        OUT.print(f"Redis: {printable(latency.word)}. It is as near as it can be: no network lies between.")
    OUT.print()


def times(ratio: float) -> str:
    """
    A ratio to two digits.

    >>> times(27.71), times(0.464), times(4478.2)
    ('28 x', '0.46 x', '4,500 x')
    """
    return f"{float(f'{ratio:.2g}'):,.10g} x"


def show_runs(setting: Setting, runs: Sequence[Run]) -> None:
    """What each limiter made of the same hits."""
    loads = "unevenly over" if setting.uneven else "over"
    title = (
        f"{setting.rate:g} hits a second on one key, {loads} {setting.nodes} nodes, for {setting.limit.per:g} s; {setting.limit}"
    )
    table = _table(title, ("limiter",))
    for heading in ("admitted", "/ limit", "bound", "writes", "429s", "lost"):
        table.add_column(heading, justify="right")
    for run in runs:
        if run.note and not run.admitted:
            table.add_row(run.name, "-", "-", "-", "-", "-", "-")
            continue
        bound = "none" if run.bound is None else f"{run.bound / setting.limit.quota:.2f}"
        share = f"{len(run.admitted) / setting.limit.quota:.2f}"
        table.add_row(run.name, f"{len(run.admitted):,}", share, bound, *(_count(n) for n in (run.accepted, run.refused, run.lost)))
    OUT.print(table)
    OUT.print(
        "writes: those that KV accepted. 429s: those that it refused. lost: accepted, then written over by who had not seen them."
    )
    for run in runs:
        if run.note:
            OUT.print(f"{run.name}: {'' if run.admitted else 'skipped, '}{printable(run.note)}.")
    OUT.print()


def show_points(setting: Setting, points: Sequence[Point]) -> None:
    """The same overload in longer windows."""
    table = _table(f"KVStore when {setting.overload:.2g} times the limit arrives: admitted / limit, and the bound", ("window",))
    for mode in MODES:
        table.add_column(mode, justify="right")
        table.add_column("bound", justify="right", style="dim")
    found = {(point.window, point.mode): point for point in points}
    for window in sorted({point.window for point in points}):
        cells = [found.get((window, mode)) for mode in MODES]
        table.add_row(
            f"{window // 60} min",
            *(text for one in cells for text in (("-", "-") if one is None else (_two(one.admitted), _two(one.bound)))),
        )
    OUT.print(table)
    OUT.print(f"{setting.nodes} nodes, told that reads may be {CACHE_AGE:g} s old. One window each: chance moves sum by a lot.\n")


def show_costs(costs: Costs) -> None:
    """Bills."""
    table = _table("A month of a workload, in dollars", ("plan",))
    table.add_column("all billed", justify="right")
    table.add_column("less what is included", justify="right")
    for month in costs.months:
        table.add_row(Text(month.name, "bold"), "", "")
        for price in month.prices:
            table.add_row(f"  {price.plan}", f"{price.without:,.2f}", f"{price.included:,.2f}")
    OUT.print(table)
    OUT.print(
        f"Upstash's fixed 1 GB costs what {BREAK_EVEN:,} commands a month do. KV needs the Workers Paid plan: ${WORKERS_PAID} besides.\n"
    )
    table = _table(f"A month of rate limiting with {costs.nodes} processes, in dollars, by requests a second", ("way", "hears in"))
    rates = sorted(costs.ways[0].dollars)
    for rate in rates:
        table.add_column(f"{rate:,g}/s", justify="right")
    for way in costs.ways:
        late = "never" if way.staleness is None else f"{way.staleness:.0f} s" if way.staleness else "at once"
        table.add_row(way.name, late, *(f"{way.dollars[rate]:,.2f}" for rate in rates))
    OUT.print(table)
    OUT.print("What is included is taken off. Requests are of many keys: of one key, KV refuses all writes but one a second.")
    OUT.print("No price here: a Redis of your own, and Durable Objects.\n")


def _table(title: str, texts: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for text in texts:
        table.add_column(text, no_wrap=True)
    return table


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _two(share: float) -> str:
    return f"{share:.2f}"
