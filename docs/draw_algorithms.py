"""
The picture and the table of docs/algorithms.md, made by the real rules and a clock that is moved. The same at every run.

    python docs/draw_algorithms.py              writes docs/algorithms.png
    python docs/draw_algorithms.py --table      prints the table
"""

# ruff: noqa: INP001, T201 - a script, which prints

import argparse
import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ratekit import Limit
from ratekit.algorithms import SPEND, rule_of
from ratekit.cli.drawing import ADMITTED, QUIET, REFUSED, grid, headline, part, pyplot, save
from ratekit.cli.meaning import promised
from ratekit.limit import ALGORITHM_NAMES

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
QUOTA: Final = 100
BAR: Final = 6
"""Seconds."""
ABOVE: Final = "#E69F00"
ORDER: Final = ("sliding_window", "fixed_window", "sliding_counter", "token_bucket")

LOADS: Final = (1.0, 1.2, 2.0, 5.0)
QUOTAS: Final = (10, 100, 1000)
UNITS: Final = 100_000
"""Quota times periods of one measured run: chance then moves a share by less than half a percent."""
WARM: Final = 10
"""Periods that are left out of it: an empty bucket or window has to fill first."""
SEED: Final = 20_170_607


@dataclass(frozen=True, slots=True)
class Run:
    """Arrivals in microseconds, what was said to each, and how many admitted ones the last minute held then."""

    arrivals: list[int]
    admitted: list[bool]
    held: list[int]


def run(limit: Limit, arrivals: Iterable[int]) -> Run:
    """One client's arrivals, decided by the rule itself."""
    rule, state, recent = rule_of(limit), None, deque[int]()
    result = Run([], [], [])
    for now in arrivals:
        while recent and recent[0] <= now - limit.period:
            recent.popleft()
        state, seen = rule.step(state, now, 1, SPEND)
        if seen[0]:
            recent.append(now)
        result.arrivals.append(now)
        result.admitted.append(bool(seen[0]))
        result.held.append(len(recent))
    return result


def edge() -> Iterator[int]:
    """One request, silence until five seconds before its minute is over, then forty requests a second."""
    yield 0
    yield from range(55 * SECOND, 180 * SECOND, SECOND // 40)


def double() -> Iterator[int]:
    """Twice the quota, evenly, for four minutes."""
    return iter(range(0, 4 * MINUTE, MINUTE // (2 * QUOTA)))


def poisson(quota: int, load: float, periods: int) -> list[int]:
    """Arrivals at random, `load` times the quota on average."""
    chance = random.Random(f"{SEED} {quota} {load}")  # noqa: S311 - arrivals, not secrets
    now, arrivals = 0.0, list[int]()
    while now < periods * MINUTE:
        now += chance.expovariate(load * quota / MINUTE)
        arrivals.append(int(now))
    return arrivals


def draw(path: Path) -> None:
    """Write the picture."""
    plt = pyplot("the picture of the algorithms")
    figure, rows = plt.subplots(len(ORDER), 2, figsize=(12, 9.4), sharex="col", sharey="col")
    figure.subplots_adjust(left=0.055, right=0.985, top=0.825, bottom=0.06, hspace=0.5, wspace=0.12)
    for (left, right), name in zip(rows, ORDER, strict=True):
        limit = Limit(QUOTA, per=60, algorithm=name)
        _draw_edge(left, limit)
        _draw_double(right, limit)
    figure.text(0.055, 0.873, "At a window's edge: one request at 0 s, all it can get from 55 s", color=QUIET)
    figure.text(0.548, 0.873, "Under 2x load: 200 requests a minute, evenly", color=QUIET)
    rows[-1][0].set_xlabel("seconds", color=QUIET)
    rows[-1][1].set_xlabel(f"seconds; a bar is {BAR} s", color=QUIET)
    shown = {
        label: handle for row in (rows[0][1], rows[1][0]) for handle, label in zip(*row.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        shown.values(), shown.keys(), loc="upper right", bbox_to_anchor=(0.99, 0.985), ncols=3, handlelength=1, handleheight=1
    )
    headline(
        figure, f"Only sliding_window keeps {QUOTA}/minute in every minute", f"{QUOTA}/minute; the token bucket's burst is {QUOTA}"
    )
    save(figure, path)
    plt.close(figure)


def _draw_edge(axes: Any, limit: Limit) -> None:
    result = run(limit, edge())
    times = [now / SECOND for now in result.arrivals]
    above = [held > limit.quota for held in result.held]
    axes.fill_between(times, [min(held, limit.quota) for held in result.held], color=ADMITTED, linewidth=0)
    axes.fill_between(times, limit.quota, result.held, where=above, color=ABOVE, linewidth=0, label="above the limit")
    axes.axhline(limit.quota, color="#222222", linewidth=1.2, linestyle=(0, (4, 3)))
    axes.set_title(f"{limit.algorithm}: at most {max(result.held)} in one minute")
    axes.text(2, limit.quota + 5, "the limit", fontsize=9, color=QUIET)
    axes.set_xlim(0, 180)
    axes.set_ylim(0, 245)
    axes.set_yticks([0, 100, 200])
    axes.xaxis.set_major_locator(part("ticker").MultipleLocator(30))
    if limit.algorithm == ORDER[0]:
        axes.text(2, 243, "admitted in the last minute", fontsize=9, color=QUIET, va="top")
    grid(axes)


def _draw_double(axes: Any, limit: Limit) -> None:
    result, step = run(limit, double()), BAR * SECOND
    counts = [[0] * (4 * MINUTE // step) for _ in range(2)]
    for now, admitted in zip(result.arrivals, result.admitted, strict=True):
        counts[admitted][now // step] += 1
    refused, admitted_counts = counts
    starts = [i * step / SECOND for i in range(len(refused))]
    axes.bar(starts, admitted_counts, 0.9 * BAR, align="edge", color=ADMITTED, label="admitted")
    axes.bar(starts, refused, 0.9 * BAR, align="edge", bottom=admitted_counts, color=REFUSED, label="refused")
    axes.set_title(f"{limit.algorithm}: {_rhythm(limit.algorithm)}")
    axes.set_xlim(0, 240)
    axes.xaxis.set_major_locator(part("ticker").MultipleLocator(30))
    grid(axes)


def _rhythm(algorithm: str) -> str:
    return {
        "sliding_window": "spent at once, back at once",
        "fixed_window": "open, then shut until the window is over",
        "sliding_counter": "open once, then evenly",
        "token_bucket": "the burst, then evenly",
    }[algorithm]


def table() -> str:
    """The measured table, as it stands in docs/algorithms.md."""
    rows = [f"| N | limit |{''.join(f' {load:g} N |' for load in LOADS)}", f"|--:|---|{'--:|' * len(LOADS)}"]
    for quota in QUOTAS:
        periods = WARM + UNITS // quota
        arrivals = [poisson(quota, load, periods) for load in LOADS]
        for text in (*ORDER, f"sliding_window buckets {quota}"):
            if quota > 60 or "buckets" not in text:
                limit = Limit.parse(f"{quota}/minute {text}")
                shares = [_share(limit, times, periods) for times in arrivals]
                rows.append(f"| {quota:,} | `{text}` | {' | '.join(f'{share:.2f}' for share in shares)} |")
    return "\n".join(rows)


def _share(limit: Limit, arrivals: list[int], periods: int) -> float:
    """Admitted per period, as a share of N, once the first periods are over."""
    result = run(limit, arrivals)
    assert max(result.held) <= promised(limit)
    admitted = sum(yes for now, yes in zip(arrivals, result.admitted, strict=True) if WARM * MINUTE <= now < periods * MINUTE)
    return admitted / (limit.quota * (periods - WARM))


def main() -> None:
    """Draw, or print."""
    parser = argparse.ArgumentParser(description="Draw docs/algorithms.png, or print the table of docs/algorithms.md.")
    parser.add_argument("--table", action="store_true", help="print the tables and draw nothing")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("algorithms.png"), help="where the picture goes")
    options = parser.parse_args()
    assert set(ORDER) == set(ALGORITHM_NAMES)
    if options.table:
        print(table())
    else:
        draw(options.output)
        print(options.output)


if __name__ == "__main__":
    main()
