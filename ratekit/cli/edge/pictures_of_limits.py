"""
The pictures of the constraint: one window, second by second; and the same overload in longer windows.
"""

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ratekit.cli.drawing import ADMITTED, INK, QUIET, REFUSED, grid, headline, part, pyplot, save
from ratekit.cli.edge.limiters import MODES
from ratekit.cli.edge.setting import Run, Setting
from ratekit.cli.edge.windows import Point

EXACT: Final = "#009E73"
COLOURS: Final = {"sum": "#0072B2", "extrapolate": "#56B4E9", "headroom": "#CC79A7", "quota": "#E69F00"}
STEPS: Final = 240
"""Points of a curve."""


def draw_minute(setting: Setting, runs: Sequence[Run], path: Path) -> None:
    """What was admitted over time; all limiters beside their bounds; and why the counter fails."""
    plt = pyplot("the picture")
    figure = plt.figure(figsize=(12, 9.2))
    over, ranks, seen, writes = (
        figure.add_axes(box)
        for box in ((0.06, 0.5, 0.40, 0.35), (0.72, 0.5, 0.265, 0.35), (0.06, 0.07, 0.40, 0.31), (0.72, 0.07, 0.265, 0.31))
    )
    done = [run for run in runs if run.admitted]
    _over_time(over, setting, done)
    _ranks(ranks, setting, done)
    naive = runs[0]
    _seen(seen, setting, naive)
    _writes(writes, naive)
    degraded = next(run for run in runs if run.name.endswith(MODES[0]))
    ratio, kept = (len(run.admitted) / setting.limit.quota for run in (naive, degraded))
    loads = "unevenly over" if setting.uneven else "over"
    headline(
        figure,
        f"A counter on KV admits {ratio:.1f} times the limit; KVStore {kept:.1f} times, and says how much it can be",
        f"{setting.rate:g} hits a second on one key, {loads} {setting.nodes} nodes all over the world; {setting.limit}. Simulated, Redis asked.",
    )
    save(figure, path)
    plt.close(figure)


def _over_time(axes: Any, setting: Setting, runs: Sequence[Run]) -> None:
    axes.set_title("Admitted so far / limit")
    quota, end = setting.limit.quota, setting.limit.per
    times = [end * i / STEPS for i in range(STEPS + 1)]
    drawn: list[tuple[float, str, str]] = []
    for run in runs:
        heights = [bisect_right(run.admitted, at) / quota for at in times]
        colour, name = _look(run, quota)
        axes.plot(times, heights, color=colour, linewidth=2.2)
        drawn.append((heights[-1], name, colour))
    axes.axhline(1, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    top = max(height for height, _, _ in drawn) * 1.08
    axes.set_xlim(0, end)
    axes.set_ylim(0, top)
    _names(axes, drawn, end, top)
    axes.set_xlabel("seconds", color=QUIET)
    axes.locator_params(axis="y", nbins=6)
    axes.yaxis.set_major_formatter(part("ticker").FuncFormatter(lambda y, _: f"{y:g} x"))
    grid(axes)


def _look(run: Run, quota: int) -> tuple[str, str]:
    """The colour of a limiter, and the name of its curve: several curves lie one over the other."""
    mode = run.name.removeprefix("KVStore, ")
    if mode in COLOURS:
        return COLOURS[mode], mode
    return (EXACT, "writers, Redis") if run.bound == quota else (REFUSED, "counter, buckets")


def _names(axes: Any, drawn: Sequence[tuple[float, str, str]], end: float, top: float) -> None:
    """Names at the right ends of the curves, each once; those that are too near push each other apart."""
    once = sorted({name: (height, name, colour) for height, name, colour in drawn}.values())
    places, least = [height for height, _, _ in once], top * 0.062
    for _ in range(200):
        for i in range(len(places) - 1):
            near = max(0.0, least - (places[i + 1] - places[i])) / 2
            places[i] = max(0.0, places[i] - near)
            places[i + 1] += near
    for at, (_, name, colour) in zip(places, once, strict=True):
        axes.text(end, at, f"  {name}", color=colour, fontsize=9.5, va="center", fontweight="bold", clip_on=False)


def _ranks(axes: Any, setting: Setting, runs: Sequence[Run]) -> None:
    axes.set_title("Admitted / limit, and the bound")
    quota = setting.limit.quota
    widest = max(max(len(run.admitted), run.bound or 0) for run in runs) / quota
    for row, run in enumerate(runs):
        share = len(run.admitted) / quota
        axes.barh(row, share, 0.62, color=_look(run, quota)[0])
        if run.bound is not None:
            axes.plot((run.bound / quota,) * 2, (row - 0.4, row + 0.4), color=INK, linewidth=2)
        bound = "no bound" if run.bound is None else f"of {run.bound / quota:.2f}"
        axes.text(max(share, (run.bound or 0) / quota) + widest * 0.03, row, f"{share:.2f} {bound}", va="center", fontsize=9.5)
    axes.axvline(1, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_yticks(range(len(runs)), [run.name for run in runs], fontsize=9.5)
    axes.set_ylim(len(runs) - 0.4, -0.6)
    axes.set_xlim(0, widest * 1.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(part("ticker").FuncFormatter(lambda x, _: f"{x:g} x"))
    grid(axes, "x")


def _seen(axes: Any, setting: Setting, naive: Run) -> None:
    axes.set_title("Why the counter fails: what its nodes read")
    axes.plot(naive.admitted, range(1, len(naive.admitted) + 1), color=REFUSED, linewidth=2.2, label="admitted in truth")
    for node in range(setting.nodes):
        mine = [(at, seen) for at, one, seen in naive.seen if one == node]
        if mine:
            axes.step(*zip(*mine, strict=True), where="post", color=COLOURS["sum"], linewidth=1.1, alpha=0.75)
    axes.plot([], [], color=COLOURS["sum"], linewidth=1.1, label=f"what each of {setting.nodes} nodes reads")
    axes.axhline(setting.limit.quota, color=INK, linewidth=1, linestyle=(0, (4, 3)), label="limit")
    most = max(setting.hits, setting.limit.quota)
    axes.set_yscale("symlog", linthresh=1, linscale=0.5)
    axes.set_ylim(0, most * 30)
    axes.set_yticks([0, *(10**i for i in range(len(str(most))))])
    axes.yaxis.set_minor_locator(part("ticker").NullLocator())
    axes.yaxis.set_major_formatter(part("ticker").FuncFormatter(lambda y, _: f"{y:,g}"))
    axes.set_xlim(0, setting.limit.per)
    axes.set_xlabel("seconds", color=QUIET)
    axes.set_ylabel("count (logarithmic above 1)", color=QUIET)
    axes.legend(loc="upper left", fontsize=9.5, handlelength=1.4, ncols=2)
    grid(axes)


def _writes(axes: Any, naive: Run) -> None:
    accepted, refused, lost = naive.accepted or 0, naive.refused or 0, naive.lost or 0
    axes.set_title("What became of its writes")
    rows = (
        ("asked for", accepted + refused, INK),
        ("refused (429)", refused, REFUSED),
        ("written over", lost, "#E69F00"),
        ("in the count at the end", accepted - lost, ADMITTED),
    )
    for row, (_, number, colour) in enumerate(rows):
        axes.barh(row, number, 0.62, color=colour)
        axes.text(number + rows[0][1] * 0.02, row, f"{number:,}", va="center", fontsize=9.5)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows], fontsize=9.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, rows[0][1] * 1.18)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("writes", color=QUIET)
    axes.locator_params(axis="x", nbins=4)
    grid(axes, "x")


def draw_windows(setting: Setting, points: Sequence[Point], path: Path) -> None:
    """Admitted / limit by the length of the window."""
    plt = pyplot("the picture")
    figure, axes = plt.subplots(figsize=(11, 5.8))
    figure.subplots_adjust(left=0.065, right=0.84, top=0.84, bottom=0.1)
    bounds = sorted((point.window, point.bound) for point in points if point.mode == MODES[0])
    if bounds:
        axes.fill_between([w for w, _ in bounds], [b for _, b in bounds], 1, color=COLOURS["sum"], alpha=0.10, linewidth=0)
        axes.plot(*zip(*bounds, strict=True), color=COLOURS["sum"], linewidth=1.4, linestyle=(0, (4, 2)))
    ends = [(bounds[-1][1], "bound of the two", COLOURS["sum"])] if bounds else []
    for mode in MODES:
        mine = sorted((point.window, point.admitted) for point in points if point.mode == mode)
        if mine:
            axes.plot(*zip(*mine, strict=True), "o-", color=COLOURS[mode], linewidth=2.2, markersize=5)
            ends.append((mine[-1][1], mode, COLOURS[mode]))
    windows = sorted({point.window for point in points})
    top = max(max(point.admitted, point.bound) for point in points) * 1.05
    axes.axhline(1, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_xscale("log")
    axes.set_xticks(windows, [f"{window // 60} min" for window in windows])
    axes.xaxis.set_minor_locator(part("ticker").NullLocator())
    axes.set_xlim(windows[0] * 0.94, windows[-1] * 1.05)
    axes.set_ylim(0, top)
    _names(axes, ends, windows[-1] * 1.05, top)
    axes.set_xlabel("length of the limit's window (logarithmic)", color=QUIET)
    axes.set_ylabel("admitted / limit", color=QUIET)
    axes.yaxis.set_major_formatter(part("ticker").FuncFormatter(lambda y, _: f"{y:g} x"))
    grid(axes)
    headline(
        figure,
        "The longer the window, the closer KVStore keeps to the limit",
        f"{setting.overload:.2g} times the limit arrives, at {setting.nodes} nodes; one window each. Dashed: what nodes of sum and extrapolate said it could be.",
    )
    save(figure, path)
    plt.close(figure)
