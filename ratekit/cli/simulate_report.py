"""
A simulation in words, and as JSON.
"""

from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from ratekit.cli.common import OUT, printable
from ratekit.cli.replay_report import iso, share, show_malformed, when
from ratekit.cli.simulating import UNNAMED, Outcome, Simulation


def show(result: Simulation, name: str, top: int, picture: Path | None) -> None:
    """Print a simulation for people."""
    log, refused = result.log, result.most_refused()
    show_malformed(log)
    count = len(log.times)
    OUT.print(f"{printable(name)}: {count:,} requests, {when(log.times[0])} to {when(log.times[-1])} UTC\n")
    clients = f"{len(refused):,} of {len(set(result.clients)):,} clients"
    OUT.print(f"{result.refused:,} requests would be refused ({share(result.refused, count)}), from {clients}")
    if result.free:
        OUT.print(f"{result.free:,} requests ({share(result.free, count)}) meet no policy")
    if unnamed := result.verdicts.count(UNNAMED):
        OUT.print(f"{unnamed:,} requests would be answered 401, because they do not say who is asking")
    OUT.print()
    OUT.print(_policies(result))
    if refused and top:
        OUT.print(_most_refused(result, top))
    if picture is not None:
        OUT.print(f"picture: {picture}")


def _policies(result: Simulation) -> Table:
    table = Table(
        "policy", "limits", "for", box=box.SIMPLE_HEAD, pad_edge=False, title="What each policy does", title_justify="left"
    )
    for heading in ("requests", "refuses", "share", "whom", "alone"):
        table.add_column(heading, justify="right")
    for one in result.outcomes:
        numbers = (f"{one.applied:,}", f"{one.refused:,}", share(one.refused, one.applied or 1), f"{len(one.by_identity):,}")
        table.add_row(one.policy.name, limits_of(one), requests_of(one), *numbers, f"{one.alone:,}")
    return table


def _most_refused(result: Simulation, top: int) -> Table:
    refused = result.most_refused()
    rest = len(refused) - top
    title = f"The most refused clients{f' ({rest:,} more would be refused)' if rest > 0 else ''}"
    table = Table("client", box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for heading in ("requests", "admitted", *(f"by {one.policy.name}" for one in result.outcomes)):
        table.add_column(heading, justify="right")
    for who, verdicts in refused[:top]:
        counts = (verdicts.total(), verdicts[0], *(verdicts[i] for i in range(1, 1 + len(result.outcomes))))
        table.add_row(printable(who, 60), *(f"{count:,}" for count in counts))
    return table


def limits_of(outcome: Outcome) -> str:
    """A policy's limits as text."""
    return "; ".join(map(str, outcome.policy.limits))


def requests_of(outcome: Outcome) -> str:
    """Which requests a policy is for."""
    match = outcome.policy.match
    return "every request" if match is None else match if isinstance(match, str) else ", ".join(match)


def facts(result: Simulation, policies: str, name: str, top: int, picture: Path | None) -> dict[str, Any]:
    """A simulation as JSON has it. Instants are UTC."""
    log, refused = result.log, result.most_refused()
    names = [one.policy.name for one in result.outcomes]
    return {
        "policies_file": policies,
        "log": name,
        "from": iso(log.times[0]),
        "to": iso(log.times[-1]),
        "malformed_lines": log.malformed,
        "late_lines": log.late,
        "requests": len(log.times),
        "clients": len(set(result.clients)),
        "admitted": len(log.times) - result.refused,
        "refused": result.refused,
        "refused_without_identity": result.verdicts.count(UNNAMED),
        "without_policy": result.free,
        "clients_refused": len(refused),
        "policies": [
            {
                "policy": one.policy.name,
                "limits": [str(limit) for limit in one.policy.limits],
                "applies_to": one.applied,
                "refused": one.refused,
                "refused_alone": one.alone,
                "most_refused": [{"identity": who, "refused": count} for who, count in one.by_identity.most_common(top)],
            }
            for one in result.outcomes
        ],
        "most_refused": [
            {
                "client": who,
                "requests": verdicts.total(),
                "admitted": verdicts[0],
                "refused_by": {one: verdicts[i] for i, one in enumerate(names, 1) if verdicts[i]},
            }
            for who, verdicts in refused[:top]
        ],
        "picture": None if picture is None else str(picture),
    }
