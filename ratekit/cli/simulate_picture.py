"""
The picture of a simulation: when requests would be refused and by which policy, whose they are, and what each policy does.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ratekit.cli.common import printable
from ratekit.cli.drawing import ADMITTED, INK, QUIET, REFUSED, grid, headline, part, pyplot, save
from ratekit.cli.replay_picture import BARS, STEPS, length
from ratekit.cli.simulate_report import limits_of, requests_of
from ratekit.cli.simulating import UNNAMED, Simulation

COLOURS: Final = (REFUSED, "#CC79A7", "#E69F00", "#0072B2", "#009E73", INK)
"""One for each policy: they stay apart for every kind of colour blindness, and from that of what is admitted."""
LANES: Final = 12
"""Clients whose every request is shown."""
ROWS: Final = 5
"""Policies that the picture describes."""


def draw(result: Simulation, path: Path, name: str) -> None:
    """Write the picture of a simulation."""
    plt = pyplot("--plot")
    figure = plt.figure(figsize=(12, 8.4))
    top, left, right = (
        figure.add_axes(box) for box in ([0.06, 0.6, 0.925, 0.255], [0.135, 0.065, 0.5, 0.42], [0.665, 0.065, 0.32, 0.42])
    )
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(result.outcomes))]
    _over_time(top, result, colours)
    _lanes(left, result, colours)
    _policies(right, result, colours)
    count, clients = len(result.log.times), len(result.most_refused())
    log = "standard input" if name == "-" else Path(name).name
    headline(
        figure,
        f"{result.refused:,} of {count:,} requests would be refused ({100 * result.refused / count:.1f} %), from {clients:,} of "
        f"{len(set(result.clients)):,} clients",
        f"{len(colours)} {'policy' if len(colours) == 1 else 'policies'} together, simulated on {printable(log, 60)}",
    )
    save(figure, path)
    plt.close(figure)


def _over_time(axes: Any, result: Simulation, colours: Sequence[str]) -> None:
    times = result.log.times
    step = next((step for step in STEPS if (times[-1] - times[0]) / step <= BARS), STEPS[-1])
    first = times[0] // step
    kinds = [0, *range(1, 1 + len(colours)), UNNAMED]
    counts = {kind: [0] * (times[-1] // step - first + 1) for kind in kinds}
    for time, verdict in zip(times, result.verdicts, strict=True):
        counts[verdict][time // step - first] += 1
    starts = [datetime.fromtimestamp((first + i) * step, UTC) for i in range(len(counts[0]))]
    names = ["admitted", *(f"refused by {printable(one.policy.name, 30)}" for one in result.outcomes), "401"]
    below = [0] * len(starts)
    for kind, name, colour in zip(kinds, names, [ADMITTED, *colours, QUIET], strict=True):
        if any(counts[kind]) or 0 < kind < UNNAMED:
            axes.bar(starts, counts[kind], step / 86400, align="edge", bottom=below, color=colour, label=name)
            below = [sum(pair) for pair in zip(below, counts[kind], strict=True)]
    axes.set_xlim(starts[0], datetime.fromtimestamp((first + len(starts)) * step, UTC))
    axes.set_ylim(0, max(below) * 1.06)
    axes.set_title(f"Requests per {length(step)}")
    axes.legend(loc="upper right", bbox_to_anchor=(1, 1.2), ncols=6, borderaxespad=0, handlelength=1, handleheight=1)
    _dates(axes)
    grid(axes)


def _lanes(axes: Any, result: Simulation, colours: Sequence[str]) -> None:
    shown = result.most_refused()[:LANES]
    axes.set_title("Every request of the most refused clients" if shown else "Nobody would be refused")
    if not shown:
        axes.axis("off")
        return
    lane = {who: row for row, (who, _) in enumerate(shown)}
    marks: dict[tuple[int, int], list[datetime]] = {}
    for time, who, verdict in zip(result.log.times, result.clients, result.verdicts, strict=True):
        if who in lane:
            marks.setdefault((verdict, lane[who]), []).append(datetime.fromtimestamp(time, UTC))
    for (verdict, row), instants in sorted(marks.items()):
        colour = ADMITTED if verdict == 0 else QUIET if verdict == UNNAMED else colours[verdict - 1]
        reach = 0.2 if verdict == 0 else 0.38
        axes.vlines(instants, row - reach, row + reach, color=colour, linewidth=1.1 if verdict else 0.8, zorder=2 if verdict else 1)
    axes.set_yticks(range(len(shown)), [printable(who, 18) for who, _ in shown], fontsize=9.5)
    axes.set_ylim(max(len(shown), 6) - 0.4, -0.6)
    for who, verdicts in shown:
        text = f"{verdicts.total() - verdicts[0]:,} of {verdicts.total():,}"
        axes.text(1.01, lane[who], text, transform=axes.get_yaxis_transform(), va="center", fontsize=9, color=INK)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    first, last = (datetime.fromtimestamp(result.log.times[i], UTC) for i in (0, -1))
    axes.set_xlim(first, last) if first < last else None
    _dates(axes)
    grid(axes, "x")


def _policies(axes: Any, result: Simulation, colours: Sequence[str]) -> None:
    axes.set_title("What each policy does", x=0.28)
    axes.axis("off")
    axes.set_xlim(0, 1)
    axes.set_ylim(ROWS, 0)
    for row, (one, colour) in enumerate(zip(result.outcomes[:ROWS], colours, strict=False)):
        share = one.refused / one.applied if one.applied else 0.0
        axes.text(0.28, row + 0.1, printable(one.policy.name, 24), color=colour, fontweight="bold", va="center", fontsize=11)
        about = printable(f"{limits_of(one)}, {requests_of(one)}", 44)
        axes.text(0.28, row + 0.34, about, color=QUIET, va="center", fontsize=8.8)
        axes.barh(row + 0.54, 0.70, 0.11, left=0.28, color=ADMITTED if one.applied else "#E4E4E4")
        axes.barh(row + 0.54, 0.70 * share, 0.11, left=0.28, color=colour)
        said = f"refuses {one.refused:,} of {one.applied:,}; alone it would {one.alone:,}"
        axes.text(0.28, row + 0.74, said, va="center", fontsize=9)
    if len(result.outcomes) > ROWS:
        axes.text(0.28, ROWS, f"and {len(result.outcomes) - ROWS} more", color=QUIET, fontsize=9)


def _dates(axes: Any) -> None:
    locator = part("dates").AutoDateLocator(tz=UTC)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(part("dates").ConciseDateFormatter(locator, tz=UTC))
