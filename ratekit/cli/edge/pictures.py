"""
The pictures of latency and of cost.
"""

from pathlib import Path
from typing import Any, Final

from ratekit.cli.drawing import INK, QUIET, REFUSED, grid, headline, part, pyplot, save
from ratekit.cli.edge.costs import Costs
from ratekit.cli.edge.latency import Cells, Latency
from ratekit.kv.simulator.published import PUBLISHED, SCENARIOS

KV: Final = REFUSED
UPSTASH: Final = "#009E73"
REDIS: Final = "#0072B2"
COLOURS: Final = (KV, "#CC79A7", "#E69F00", UPSTASH, "#56B4E9")
"""Of the ways to limit, in their order."""


def draw_latency(latency: Latency, path: Path) -> None:
    """From p50 to p99, scenario by scenario."""
    plt = pyplot("the picture")
    figure, axes = plt.subplots(figsize=(11, 6.6))
    figure.subplots_adjust(left=0.13, right=0.975, top=0.8, bottom=0.09)
    rows: list[tuple[str, Cells, str, bool]] = [
        ("KV, published", PUBLISHED["kv"], KV, True),
        ("KV, simulated", latency.simulated["kv"], KV, False),
        ("Upstash, published", PUBLISHED["upstash"], UPSTASH, True),
        ("Upstash, simulated", latency.simulated["upstash"], UPSTASH, False),
    ]
    if latency.redis is not None:
        rows.append(("Redis on this machine, measured", latency.redis, REDIS, True))
    for i, (label, cells, colour, solid) in enumerate(rows):
        for j, scenario in enumerate(SCENARIOS):
            _span(axes, cells[scenario], j + 0.16 * (i - (len(rows) - 1) / 2), colour, solid=solid, label=label if j == 0 else None)
    axes.set_xscale("log")
    axes.set_yticks(range(len(SCENARIOS)), SCENARIOS, fontsize=11.5)
    axes.set_ylim(len(SCENARIOS) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * 1.5)
    axes.xaxis.set_major_formatter(part("ticker").FuncFormatter(lambda x, _: f"{x:g}"))
    axes.set_xlabel("milliseconds, from p50 (dot) to p99 (bar); logarithmic", color=QUIET)
    axes.spines["left"].set_visible(False)
    for line in range(1, len(SCENARIOS)):
        axes.axhline(line - 0.5, color="#E4E4E4", linewidth=0.8)
    grid(axes, "x")
    axes.legend(loc="lower left", bbox_to_anchor=(-0.12, 1.0), ncols=len(rows), fontsize=9.5, handlelength=1.2, columnspacing=1.1)
    ratio = PUBLISHED["kv"]["single write"].p50 / PUBLISHED["upstash"]["single write"].p50
    below = "Published: Upstash, 27 May 2026, 150 samples a cell, one Worker at IAD. Simulated: the laws fitted to it."
    if latency.redis is not None:
        below += " Redis: over loopback, no network."
    headline(figure, f"A hot read of KV is fast; a write takes {ratio:.0f} times as long as one to Upstash", below)
    save(figure, path)
    plt.close(figure)


def _span(axes: Any, cell: Any, y: float, colour: str, *, solid: bool, label: str | None) -> None:
    axes.plot(cell, (y, y), color=colour, linewidth=2.4 if solid else 1.4, linestyle="-" if solid else (0, (2, 1.2)), label=label)
    axes.plot(cell.p50, y, "o", color=colour, markersize=6.5, markerfacecolor=colour if solid else "white")
    axes.plot(cell.p99, y, "|", color=colour, markersize=9, markeredgewidth=2)
    axes.text(cell.p99 * 1.09, y, f"{_short(cell.p50)} / {_short(cell.p99)}", va="center", fontsize=8, color=INK)


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 1 else f"{value:.1f}"


def draw_costs(costs: Costs, path: Path) -> None:
    """Left what rate limiting costs by requests a second, right the workloads."""
    plt = pyplot("the picture")
    figure = plt.figure(figsize=(12, 6.4))
    left, right = figure.add_axes((0.085, 0.1, 0.41, 0.71)), figure.add_axes((0.645, 0.1, 0.335, 0.71))
    _by_rate(left, costs)
    _by_workload(right, costs)
    headline(
        figure,
        "A write to KV costs 2.5 commands of Upstash; KVStore writes by the clock, not by the hit",
        f"US dollars a month at the prices of May 2026, taxes and the Workers Paid plan ($5) left out. {costs.nodes} processes.",
    )
    save(figure, path)
    plt.close(figure)


def _by_rate(axes: Any, costs: Costs) -> None:
    axes.set_title("Rate limiting, what is included taken off")
    for way, colour in zip(costs.ways, COLOURS, strict=True):
        late = "" if not way.staleness else f", hears in {way.staleness:.0f} s"
        rates = sorted(way.dollars)
        dollars = [max(0.01, float(way.dollars[rate])) for rate in rates]
        axes.plot(rates, dollars, "o-", color=colour, linewidth=2.2, markersize=4.5, label=f"{way.name}{late}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    formatter = part("ticker").FuncFormatter(lambda value, _: f"{value:,g}")
    axes.xaxis.set_major_formatter(formatter)
    axes.yaxis.set_major_formatter(part("ticker").FuncFormatter(lambda value, _: f"${value:,g}"))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(part("ticker").NullLocator())
    axes.set_xlabel("requests a second, all month, of many keys (logarithmic)", color=QUIET)
    axes.set_ylabel("dollars a month (logarithmic)", color=QUIET)
    axes.legend(loc="upper left", fontsize=9.5, handlelength=1.4)
    grid(axes, "both")


def _by_workload(axes: Any, costs: Costs) -> None:
    axes.set_title("A workload")
    row, ticks = 0.0, []
    most = max(float(price.without) for month in costs.months for price in month.prices)
    for month in costs.months:
        axes.text(0, row - 0.62, month.name, fontsize=10, fontweight="bold", va="center")
        for price in month.prices:
            colour = KV if price.plan.startswith("Workers") else UPSTASH
            axes.barh(row, float(price.without), 0.66, color=colour, alpha=0.32)
            axes.barh(row, float(price.included), 0.66, color=colour)
            less = f"  (${price.included:,.2f})" if price.included != price.without else ""
            axes.text(float(price.without) + most * 0.015, row, f"${price.without:,.2f}{less}", va="center", fontsize=9.5)
            ticks.append((row, price.plan))
            row += 1
        row += 1.1
    axes.set_yticks([at for at, _ in ticks], [plan for _, plan in ticks], fontsize=9.5)
    axes.set_ylim(row - 1.4, -1.1)
    axes.set_xlim(0, most * 1.55)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(part("ticker").FuncFormatter(lambda value, _: f"${value:,g}"))
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel("all billed (solid, in brackets: less what is included)", color=QUIET, fontsize=9.5)
    axes.spines["left"].set_visible(False)
    grid(axes, "x")
