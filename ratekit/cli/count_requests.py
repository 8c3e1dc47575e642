"""
`ratekit count requests`: what an application has served, as its counting middleware has it.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from ratekit.cli.common import OUT, Json, Prefix, StoreUrl, opened, plainly, print_json, printable
from ratekit.cli.count import PATIENCE, Last, Rows, facts_of, options_of
from ratekit.counters import Bucket, Traffic
from ratekit.counters.served import BOUNDS, Line
from ratekit.counters.traffic import AT_MOST, REFUSED, Report

PARTS = (0.5, 0.95)
"""Parts of the answers whose time is told."""
BARS = "▁▂▃▄▅▆▇█"

MiddlewareName = Annotated[str, typer.Option("--name", metavar="TEXT", help="The counting middleware's name=.")]
PerUnit = Annotated[str, typer.Option("--per", metavar="UNIT", help="Its per=: second, minute, hour, day, or seconds.")]


def requests(
    store: StoreUrl = None,
    name: MiddlewareName = "default",
    prefix: Prefix = "ratekit",
    per: PerUnit = "minute",
    last: Last = 60,
    rows: Rows = 15,
    as_json: Json = False,
) -> None:
    """
    Show what an application has served: requests by route, how quickly, how many clients, and who was refused most.

    Example: ratekit count requests --per minute --last 60 --store redis://localhost:6379/0
    """
    with plainly(), opened(store, "count requests") as there:
        given = options_of(per, min(last or 60, AT_MOST), None)
        traffic = Traffic(name, store=there, prefix=prefix, per=given["per"], keep=given["keep"], budget=PATIENCE)
        report = traffic.report(refused=min(rows, REFUSED))
        if as_json:
            print_json(_facts(report))
        else:
            _print(report, per, rows)


def _print(report: Report, per: str, rows: int) -> None:
    answers = " ".join(f"{name} {many:,}" for name, many in _classes(report.lines).items())
    since = f"{report.series[0].start:%Y-%m-%d %H:%M:%S %Z}"
    OUT.print(f"{report.requests:,} requests since {since}, from about {report.clients:,} clients   {answers}")
    OUT.print(f"{_spark(report.series)}  by {per}, at most {max(bucket.count for bucket in report.series):,}")
    OUT.print("50 % and 95 %: of the answers so many began within the time\n")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("route", overflow="fold")
    table.add_column("method", no_wrap=True)
    for heading in ("requests", "4xx", "5xx", *(f"{round(part * 100)} %" for part in PARTS)):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in report.lines[:rows]:
        classes = _classes([line])
        figures = [f"{many:,}" for many in (line.requests, classes.get("4xx", 0), classes.get("5xx", 0))]
        table.add_row(printable(line.route), line.method, *figures, *(_within(line.within(part)) for part in PARTS))
    OUT.print(table)
    if len(report.lines) > rows:
        OUT.print(f"and {len(report.lines) - rows:,} more: --rows {len(report.lines)}")
    if report.refused:
        refused = Table("refused most", "policy", box=box.SIMPLE_HEAD, pad_edge=False)
        refused.add_column("times", justify="right")
        for one in report.refused:
            refused.add_row(printable(one.who, 60), printable(one.policy, 40), f"{one.times:,}")
        OUT.print(refused)


def _classes(lines: Sequence[Line]) -> dict[str, int]:
    """Answers by the class of their status; a WebSocket that was accepted is as good as a 2xx."""
    found: dict[str, int] = {}
    for line in lines:
        for status, many in line.statuses.items():
            name = f"{max(2, status // 100)}xx"
            found[name] = found.get(name, 0) + many
    return dict(sorted(found.items()))


def _within(took: float) -> str:
    return f"> {BOUNDS[-1]:g} s" if took == float("inf") else f"{took:g} s" if took >= 1 else f"{took * 1000:g} ms"


def _spark(buckets: Sequence[Bucket]) -> str:
    most = max(1, *(bucket.count for bucket in buckets))
    return "".join(BARS[-(-bucket.count * len(BARS) // most) - 1] if bucket.count else "·" for bucket in buckets)


def _facts(report: Report) -> dict[str, Any]:
    return {
        "requests": report.requests,
        "clients": report.clients,
        "series": facts_of(report.series),
        "lines": [
            {
                "route": line.route,
                "method": line.method,
                "requests": line.requests,
                "statuses": {str(status): many for status, many in line.statuses.items()},
                "within": {str(part): None if line.within(part) == float("inf") else line.within(part) for part in PARTS},
                "took": [{"until": until, "count": many} for until, many in zip((*BOUNDS, None), line.took, strict=True)],
            }
            for line in report.lines
        ],
        "refused": [{"who": one.who, "policy": one.policy, "times": one.times} for one in report.refused],
    }
