"""
`ratekit edge`: an eventually consistent store as the home of rate limits, beside Redis: how fast, how exact, how dear.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ratekit.cli.common import ERR, OUT, Json, StoreUrl, ended_by_signals, plainly, print_json
from ratekit.cli.drawing import pyplot
from ratekit.cli.edge import costs, latency, limiters, tables, windows
from ratekit.cli.edge.facts import cost_facts, latency_facts, minute_facts
from ratekit.cli.edge.hand import Hand, at_hand
from ratekit.cli.edge.setting import Setting
from ratekit.errors import ConfigurationError, MissingExtra
from ratekit.kv.prices import Workload
from ratekit.limit import Limit
from ratekit.stores.off import switched_off

PARTS: Final = ("latency", "constraint", "windows", "cost")
LIMITERS: Final = 9
Found = dict[str, Any]
"""What each part found, by its name."""

Parts = Annotated[
    list[str] | None, typer.Argument(metavar="[PART]...", help=f"What to show: {', '.join(PARTS)}; else all.", show_default=False)
]
Rate = Annotated[float, typer.Option("--rate", metavar="N", help="Hits a second on one key, at all nodes together.")]
OneLimit = Annotated[str, typer.Option("--limit", metavar="TEXT", help="The limit they meet; it becomes a fixed_window.")]
Nodes = Annotated[int, typer.Option("--nodes", metavar="N", help="Processes that keep it, at locations all over the world.")]
Uneven = Annotated[bool, typer.Option("--uneven", help="Each node gets half as many hits as the one before.")]
Reads = Annotated[
    int | None, typer.Option("--reads", metavar="N", help="Reads a month of a workload of yours.", show_default=False)
]
Writes = Annotated[int | None, typer.Option("--writes", metavar="N", help="Writes a month of it.", show_default=False)]
Stored = Annotated[str | None, typer.Option("--gb", metavar="N", help="GB that it keeps.", show_default=False)]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="The same seed, the same simulated worlds.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Where the pictures go; else here, with --json nowhere.", show_default=False),
]


def edge(
    parts: Parts = None,
    rate: Rate = 10.0,
    limit: OneLimit = "100/minute",
    nodes: Nodes = 8,
    uneven: Uneven = False,
    reads: Reads = None,
    writes: Writes = None,
    gb: Stored = None,
    store: StoreUrl = None,
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """
    See what becomes of a rate limit on Workers KV, simulated, and of the same limit on Redis: latency, the constraint, cost.

    Example: ratekit edge cost --reads 100000000 --writes 1000000 --gb 1
    """
    with plainly(), ended_by_signals():
        wanted = _parts(parts)
        setting = Setting(_window(limit), rate, nodes, uneven, seed)
        asked = Workload(reads or 0, writes or 0, stored_gb=gb or 0) if (reads, writes, gb) != (None, None, None) else None
        if switched_off():
            raise ConfigurationError("there is nothing to see while limiting is switched off: unset RATEKIT_ENABLED")
        directory = _directory(Path() if out is None and not as_json else out, strict=out is not None)
        with _steps(_count(wanted)) as step:
            found = _found(wanted, setting, asked, store, step)
            pictures = [] if directory is None else _drawn(found, setting, directory, step)
        if as_json:
            print_json({**_facts(found, setting), "pictures": [str(path) for path in pictures]})
        else:
            _show(found, setting, pictures)


def _parts(parts: list[str] | None) -> tuple[str, ...]:
    strange = [part for part in parts or () if part not in PARTS]
    if strange:
        raise ConfigurationError(f"{strange[0]!r}: write one or several of {', '.join(PARTS)}")
    return tuple(part for part in PARTS if not parts or part in parts)


def _window(text: str) -> Limit:
    """A limit as a fixed window, whatever it was: nothing else can be kept on what is seen late."""
    parsed = Limit.parse(text)
    if parsed.burst is not None:
        raise ConfigurationError(f"--limit {text!r}: a fixed window has no burst; write '{parsed.quota}/{parsed.per:g}s'")
    return Limit(parsed.quota, per=parsed.per, algorithm="fixed_window")


def _directory(path: Path | None, *, strict: bool) -> Path | None:
    """Where pictures go, made if need be; None where none are to be drawn."""
    if path is None:
        return None
    try:
        pyplot("--out")
    except MissingExtra as error:
        if strict:
            raise
        ERR.print(f"No pictures: {error}")
        return None
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"--out {str(path)!r}: {error.strerror}; write a directory that can be written to") from None
    return path


Step = Callable[[str], None]
"""Called with what was done."""


def _count(wanted: tuple[str, ...]) -> int:
    """Steps, a picture for each part among them."""
    steps = {"latency": 3, "constraint": LIMITERS + 1, "windows": len(windows.WINDOWS) * len(limiters.MODES) + 1, "cost": 2}
    return sum(steps[part] for part in wanted)


@contextmanager
def _steps(total: int) -> Iterator[Step]:
    columns = (TextColumn("{task.description:<12}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    with Progress(*columns, console=ERR, transient=True, disable=not ERR.is_terminal) as bars:
        task = bars.add_task("", total=total)
        yield lambda what: bars.update(task, advance=1, description=what)


def _found(wanted: tuple[str, ...], setting: Setting, asked: Workload | None, store: str | None, step: Step) -> Found:
    found: Found = {}
    if "latency" in wanted or "constraint" in wanted:
        with at_hand(store) as hand:
            found = _asked(wanted, setting, hand, step)
    if "windows" in wanted:
        found["windows"] = windows.points(setting, lambda: step("windows"))
    if "cost" in wanted:
        found["cost"] = costs.costs(asked, setting.rate, setting.nodes)
        step("cost")
    return found


def _asked(wanted: tuple[str, ...], setting: Setting, hand: Hand, step: Step) -> Found:
    found: Found = {}
    if "constraint" in wanted:  # first: what cannot be is said here
        found["constraint"] = limiters.runs(setting, hand, lambda: step("constraint"))
    if "latency" in wanted:
        found["latency"] = latency.latency(hand, setting.seed, lambda: step("latency"))
    return found


def _drawn(found: Found, setting: Setting, directory: Path, step: Step) -> list[Path]:
    from ratekit.cli.edge.pictures import draw_costs, draw_latency
    from ratekit.cli.edge.pictures_of_limits import draw_minute, draw_windows

    makers: dict[str, Callable[[Path], None]] = {
        "latency": lambda path: draw_latency(found["latency"], path),
        "constraint": lambda path: draw_minute(setting, found["constraint"], path),
        "windows": lambda path: draw_windows(setting, found["windows"], path),
        "cost": lambda path: draw_costs(found["cost"], path),
    }
    paths = []
    for name, make in makers.items():
        if found.get(name):
            path = directory / f"edge-{name}.png"
            make(path)
            paths.append(path)
            step("pictures")
    return paths


def _facts(found: Found, setting: Setting) -> Found:
    facts: Found = {}
    if "latency" in found:
        facts["latency"] = latency_facts(found["latency"])
    if "constraint" in found:
        facts["constraint"] = minute_facts(setting, found["constraint"])
    if "windows" in found:
        facts["windows"] = [point._asdict() for point in found["windows"]]
    if "cost" in found:
        facts["cost"] = cost_facts(found["cost"])
    return facts


def _show(found: Found, setting: Setting, pictures: list[Path]) -> None:
    if "latency" in found:
        tables.show_latency(found["latency"])
    if "constraint" in found:
        tables.show_runs(setting, found["constraint"])
    if "windows" in found:
        tables.show_points(setting, found["windows"])
    if "cost" in found:
        tables.show_costs(found["cost"])
    for path in pictures:
        OUT.print(f"picture: {path}")
