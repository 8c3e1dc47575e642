"""
A replay in words, and as JSON.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from ratekit.cli.accesslog import Log
from ratekit.cli.common import ERR, OUT, printable
from ratekit.cli.replaying import Replay


def show(replay: Replay, name: str, top: int, picture: Path | None) -> None:
    """Print a replay for people."""
    log = replay.log
    show_malformed(log)
    order = f"; {log.late:,} lines stood behind a later one and were put in order" if log.late else ""
    OUT.print(f"{printable(name)}: {when(log.times[0])} to {when(log.times[-1])} UTC{order}\n")
    clients, refused_clients = len(replay.tallies), len(replay.most_refused)
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column()
    facts.add_column(justify="right")
    facts.add_column(justify="right")
    facts.add_row("requests", f"{len(log.times):,}", "")
    facts.add_row("clients", f"{clients:,}", "")
    facts.add_row("admitted", f"{replay.admitted:,}", share(replay.admitted, len(log.times)))
    facts.add_row(Text("refused", style="bold"), f"{replay.refused:,}", share(replay.refused, len(log.times)))
    facts.add_row("clients refused", f"{refused_clients:,}", share(refused_clients, clients))
    OUT.print(facts)
    OUT.print()
    OUT.print(_limits(replay))
    if replay.most_refused and top:
        OUT.print(_most_refused(replay, top))
    if picture is not None:
        OUT.print(f"picture: {picture}")


def show_malformed(log: Log[Any]) -> None:
    """Name the lines that were left out, on standard error."""
    if not log.malformed:
        return
    lines = "line is" if log.malformed == 1 else "lines are"
    ERR.print(f"{log.malformed:,} {lines} not of an access log, and left out:")
    for number, text in log.examples:
        ERR.print(f"  line {number:,}: {printable(text, 120)}")
    if log.malformed > len(log.examples):
        ERR.print(f"  and {log.malformed - len(log.examples):,} more")


def _limits(replay: Replay) -> Table:
    table = Table(
        "limit", box=box.SIMPLE_HEAD, pad_edge=False, title="One client in any window of the period", title_justify="left"
    )
    for heading in ("worst admitted", "promised", "worst asked", "refusals"):
        table.add_column(heading, justify="right")
    for one in replay.outcomes:
        numbers = (one.worst_admitted, one.promised, one.worst_asked, one.refusals)
        table.add_row(str(one.limit), *(f"{number:,}" for number in numbers))
    return table


def _most_refused(replay: Replay, top: int) -> Table:
    shown = replay.most_refused[:top]
    rest = len(replay.most_refused) - len(shown)
    title = f"The most refused clients{f' ({rest:,} more were refused)' if rest else ''}"
    table = Table("client", box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for heading in ("requests", "admitted", "refused", "share refused"):
        table.add_column(heading, justify="right")
    for tally in shown:
        counts = (tally.requests, tally.admitted, tally.refused)
        table.add_row(printable(tally.who, 60), *(f"{count:,}" for count in counts), share(tally.refused, tally.requests))
    return table


def facts(replay: Replay, name: str, key: str, top: int, picture: Path | None) -> dict[str, Any]:
    """A replay as JSON has it. Instants are UTC."""
    log = replay.log
    return {
        "log": name,
        "key": key,
        "from": iso(log.times[0]),
        "to": iso(log.times[-1]),
        "malformed_lines": log.malformed,
        "late_lines": log.late,
        "requests": len(log.times),
        "clients": len(replay.tallies),
        "admitted": replay.admitted,
        "refused": replay.refused,
        "clients_refused": len(replay.most_refused),
        "limits": [
            {
                "limit": str(one.limit),
                "quota": one.limit.quota,
                "worst_admitted_in_any_window": one.worst_admitted,
                "promised_in_any_window": one.promised,
                "worst_asked_in_any_window": one.worst_asked,
                "refusals": one.refusals,
            }
            for one in replay.outcomes
        ],
        "most_refused": [
            {"client": tally.who, "requests": tally.requests, "admitted": tally.admitted, "refused": tally.refused}
            for tally in replay.most_refused[:top]
        ],
        "picture": None if picture is None else str(picture),
    }


def share(part: int, whole: int) -> str:
    """A part in per cent."""
    return f"{100 * part / whole:.1f} %"


def when(time: int) -> str:
    """An instant for people, UTC."""
    return datetime.fromtimestamp(time, UTC).strftime("%d %b %Y %H:%M:%S")


def iso(time: int) -> str:
    """An instant for programs, UTC."""
    return datetime.fromtimestamp(time, UTC).isoformat().replace("+00:00", "Z")
