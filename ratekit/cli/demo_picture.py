"""
The picture of the demonstration: per kind of client, what was admitted and what was refused, second by second.
"""

from pathlib import Path
from typing import Any, Final

from ratekit.cli.demo_traffic import GROUPS, Group, Traffic
from ratekit.cli.drawing import ADMITTED, QUIET, REFUSED, grid, headline, pyplot, save

STEP: Final = 1.0
"""Seconds that a bar stands for."""


def draw(traffic: Traffic, path: Path) -> None:
    """Write the picture."""
    plt = pyplot("the picture")
    figure, rows = plt.subplots(len(GROUPS), 1, figsize=(11, 8.4), sharex=True)
    figure.subplots_adjust(left=0.06, right=0.985, top=0.825, bottom=0.065, hspace=0.62)
    for axes, group in zip(rows, GROUPS, strict=True):
        _row(axes, group, traffic)
    rows[-1].set_xlabel("seconds", color=QUIET)
    handles, labels = rows[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper right", bbox_to_anchor=(0.99, 0.985), ncols=2, handlelength=1, handleheight=1)
    refused = sum(answer.refused for answer in traffic.answers)
    title = f"{refused:,} of {len(traffic.answers):,} requests refused, and no steady user noticed"
    if any(answer.refused for answer in traffic.answers if answer.group == "steady users"):
        title = f"{refused:,} of {len(traffic.answers):,} requests refused, of steady users too"
    headline(figure, title, "Requests per second. The limits, per client: 5/second burst 20, and at POST /login also 5/minute.")
    save(figure, path)
    plt.close(figure)


def _row(axes: Any, group: Group, traffic: Traffic) -> None:
    answers = [answer for answer in traffic.answers if answer.group == group.name]
    last = max((answer.at for answer in traffic.answers), default=1.0)
    counts = [[0] * (int(last / STEP) + 1) for _ in range(2)]
    for answer in answers:
        counts[answer.refused][int(answer.at / STEP)] += 1
    starts = [STEP * i for i in range(len(counts[0]))]
    axes.bar(starts, counts[0], STEP * 0.9, align="edge", color=ADMITTED, label="admitted")
    axes.bar(starts, counts[1], STEP * 0.9, align="edge", bottom=counts[0], color=REFUSED, label="refused")
    axes.margins(y=0.12)
    axes.set_xlim(0, starts[-1] + STEP)
    admitted, refused = sum(counts[0]), sum(counts[1])
    axes.set_title(f"{group.name}: {admitted:,} admitted, {refused:,} refused")
    axes.text(1, 1.06, group.story, transform=axes.transAxes, ha="right", color=QUIET, fontsize=9.5)
    axes.locator_params(axis="y", nbins=3, integer=True)
    grid(axes)
