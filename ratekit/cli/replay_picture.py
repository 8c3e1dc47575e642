"""
The picture of a replay: when requests were refused, whose they were, and how far most clients are from the limits.
"""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ratekit.cli.common import printable
from ratekit.cli.drawing import ADMITTED, INK, LINES, QUIET, REFUSED, grid, headline, part, pyplot, save
from ratekit.cli.replaying import Replay

STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800, 2592000)
"""Seconds that a bar may stand for."""
BARS: Final = 110
SHOWN: Final = 8
"""Clients that the picture names."""


def draw(replay: Replay, path: Path, name: str) -> None:
    """Write the picture of a replay."""
    plt = pyplot("--plot")
    figure = plt.figure(figsize=(12, 7.6))
    top, left, right = (
        figure.add_axes(box) for box in ([0.06, 0.535, 0.925, 0.31], [0.15, 0.075, 0.31, 0.345], [0.565, 0.075, 0.42, 0.345])
    )
    _over_time(top, replay)
    _most_refused(left, replay)
    _ranks(right, replay)
    requests, refused, clients = len(replay.log.times), replay.refused, len(replay.most_refused)
    share = 100 * refused / requests
    whose = f"all from {clients:,} of {len(replay.tallies):,} clients" if refused else f"{len(replay.tallies):,} clients"
    limits = "  and  ".join(str(one.limit) for one in replay.outcomes)
    log = "standard input" if name == "-" else Path(name).name
    headline(
        figure,
        f"{refused:,} of {requests:,} requests refused ({share:.1f} %), {whose}",
        f"{limits}, replayed on {printable(log, 60)}",
    )
    save(figure, path)
    plt.close(figure)


def _over_time(axes: Any, replay: Replay) -> None:
    times, verdicts = replay.log.times, replay.verdicts
    step = next((step for step in STEPS if (times[-1] - times[0]) / step <= BARS), STEPS[-1])
    first = times[0] // step
    counts = [[0] * (times[-1] // step - first + 1) for _ in range(2)]
    for time, verdict in zip(times, verdicts, strict=True):
        counts[verdict][time // step - first] += 1
    refused, admitted = counts
    starts = [datetime.fromtimestamp((first + i) * step, UTC) for i in range(len(refused))]
    width = step / 86400
    axes.bar(starts, admitted, width, align="edge", color=ADMITTED, label="admitted")
    axes.bar(starts, refused, width, align="edge", bottom=admitted, color=REFUSED, label="refused")
    axes.set_xlim(starts[0], datetime.fromtimestamp((first + len(starts)) * step, UTC))
    axes.set_ylim(0, max(map(sum, zip(*counts, strict=True))) * 1.06)
    axes.set_title(f"Requests per {length(step)}")
    locator = part("dates").AutoDateLocator(tz=UTC)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(part("dates").ConciseDateFormatter(locator, tz=UTC))
    axes.legend(loc="upper right", bbox_to_anchor=(1, 1.17), ncols=2, borderaxespad=0, handlelength=1, handleheight=1)
    grid(axes)


def _most_refused(axes: Any, replay: Replay) -> None:
    shown = replay.most_refused[:SHOWN]
    axes.set_title("The most refused clients" if shown else "Nobody was refused")
    if not shown:
        axes.axis("off")
        return
    rows = range(len(shown))
    most = max(tally.requests for tally in shown)
    axes.barh(rows, [tally.admitted for tally in shown], color=ADMITTED, height=0.72)
    axes.barh(rows, [tally.refused for tally in shown], left=[tally.admitted for tally in shown], color=REFUSED, height=0.72)
    for row, tally in enumerate(shown):
        axes.text(tally.requests + most * 0.02, row, f"{tally.refused:,} of {tally.requests:,}", va="center", fontsize=9.5)
    axes.set_yticks(rows, [printable(tally.who, 22) for tally in shown], fontsize=9.5)
    axes.set_ylim(SHOWN - 0.4, -0.6)
    axes.set_xlim(0, most * 1.3)
    axes.tick_params(axis="y", length=0)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.spines["left"].set_visible(False)


def _ranks(axes: Any, replay: Replay) -> None:
    axes.set_title("How close every client comes to the limits")
    axes.set_xscale("log")
    axes.set_yscale("log")
    clients = len(replay.tallies)
    highest = 1.0
    for outcome, colour in zip(replay.outcomes, _cycled(len(replay.outcomes)), strict=True):
        heights = [asked / outcome.limit.quota for asked in outcome.busiest]
        above = bisect_left(outcome.busiest, -outcome.limit.quota, key=lambda asked: -asked)
        highest = max(highest, heights[0])
        label = f"{outcome.limit}: {above:,} {'client asks' if above == 1 else 'clients ask'} for more"
        axes.step(range(1, clients + 1), heights, where="mid", color=colour, linewidth=2.2, label=label)
    top = highest * 2.2
    axes.axhspan(1, top, color=REFUSED, alpha=0.10, linewidth=0)
    axes.axhline(1, color=REFUSED, linewidth=1.4)
    axes.set_xlim(0.9, max(clients * 1.1, 2))
    lowest = min(1 / outcome.limit.quota for outcome in replay.outcomes)
    axes.set_ylim(min(lowest, 0.5) * 0.8, top)
    axes.text(max(clients, 2), 1.08, "above the limit", ha="right", va="bottom", color=REFUSED, fontweight="bold", fontsize=9.5)
    axes.set_xlabel("clients, the busiest first", color=QUIET, fontsize=9.5)
    axes.set_ylabel("busiest window / quota", color=QUIET, fontsize=9.5)
    axes.legend(loc="lower left", fontsize=9.5, handlelength=1.4, labelcolor=INK)
    _plain_ticks(axes)
    grid(axes, "both")


def _plain_ticks(axes: Any) -> None:
    ticker = part("ticker")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda y, _: f"{y:,.0f} x" if y >= 0.99 else f"{100 * y:.2g} %"))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(ticker.NullFormatter())
        axis.set_minor_locator(ticker.NullLocator())


def _cycled(count: int) -> Sequence[str]:
    return [LINES[i % len(LINES)] for i in range(count)]


def length(step: int) -> str:
    """A step of time in words."""
    for unit, seconds in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if step % seconds == 0:
            return unit if step == seconds else f"{step // seconds} {unit}s"
    return f"{step} seconds"
