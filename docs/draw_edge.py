"""
The pictures and the tables of docs/edge.md, made by `ratekit edge`. What is simulated is the same at every run; Redis is measured.

    python docs/draw_edge.py                    writes docs/edge-*.png, and the tables into docs/edge.md
    python docs/draw_edge.py --output DIR cost  writes one part elsewhere, with a copy of the page
"""

# ruff: noqa: INP001, S603 - a script, which runs the command

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

DOCS: Final = Path(__file__).parent
PAGE: Final = "edge.md"
MODES: Final = ("sum", "extrapolate", "headroom", "quota")
Facts = dict[str, Any]


def found(parts: list[str], directory: Path) -> Facts:
    """What the command says of these parts, all without any; its pictures are in `directory`."""
    words = [sys.executable, "-m", "ratekit", "edge", *parts, "--json", "--out", str(directory)]
    facts: Facts = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
    return facts


def tables(facts: Facts) -> dict[str, str]:
    """The tables by their names in the page."""
    made: dict[str, str] = {}
    if "latency" in facts:
        made["latency"], made["redis"] = latencies(facts["latency"]), redis(facts["latency"])
    if "constraint" in facts:
        made["constraint"] = constraint(facts["constraint"])
    if "windows" in facts:
        made["windows"] = windows(facts["windows"])
    if "cost" in facts:
        made["workloads"], made["limiting"] = workloads(facts["cost"]), limiting(facts["cost"])
    return made


def latencies(facts: Facts) -> str:
    """Milliseconds, published and simulated."""
    kv, upstash = ((facts["published"][name], facts["simulated"][name]) for name in ("kv", "upstash"))
    rows = [
        (f"{scenario}, {share}", *(f"{cells[scenario][share]:.1f}" for cells in (*kv, *upstash)), f"{ratio:.2g}")
        for scenario in kv[0]
        for share in ("p50", "p99")
        for ratio in [kv[0][scenario][share] / upstash[0][scenario][share]]
    ]
    return table(("ms", "KV", "simulated", "Upstash", "simulated", "KV / Upstash"), rows)


def redis(facts: Facts) -> str:
    """Milliseconds, measured."""
    if facts["redis"] is None:
        raise SystemExit(f"there is no Redis to measure: {facts['redis_word']}")
    cells = [(f"{cell['p50']:.2f}", f"{cell['p99']:.2f}") for cell in facts["redis"].values()]
    rows = [(share, *(cell[i] for cell in cells)) for i, share in enumerate(("p50", "p99"))]
    return table(("ms", *facts["redis"]), rows)


def constraint(facts: Facts) -> str:
    """What each limiter made of the same hits."""
    quota = next(one["bound"] for one in facts["limiters"] if one["name"] == "single writer")
    rows = [
        (
            one["name"],
            f"{one['admitted']:,}",
            f"{one['admitted_per_limit']:.2f}",
            "none" if one["bound"] is None else f"{one['bound'] / quota:.2f}",
            *("" if one[what] is None else f"{one[what]:,}" for what in ("writes_accepted", "writes_refused", "updates_lost")),
        )
        for one in facts["limiters"]
    ]
    return table(("limiter", "admitted", "/ limit", "bound", "writes", "429s", "lost"), rows)


def windows(points: list[Facts]) -> str:
    """Admitted / limit and the bound, by the length of the window."""
    cells = {(point["window"], point["mode"]): f"{point['admitted']:.2f} of {point['bound']:.2f}" for point in points}
    lengths = sorted({point["window"] for point in points})
    return table(("window", *MODES), [(f"{w // 60} min", *(cells.get((w, mode), "") for mode in MODES)) for w in lengths])


def workloads(facts: Facts) -> str:
    """Months of workloads."""
    rows = [
        (f"{one['name']}: {price['plan']}", *(dollars(price[what]) for what in ("all_billed", "less_included")))
        for one in facts["workloads"]
        for price in one["prices"]
    ]
    return table(("dollars a month", "all billed", "less what is included"), rows)


def limiting(facts: Facts) -> str:
    """Months of rate limiting, by requests a second."""
    rates = list(facts["rate_limiting"][0]["dollars"])
    rows = []
    for one in facts["rate_limiting"]:
        late = {None: "never", 0: "at once"}.get(one["staleness"]) or f"{one['staleness']:.0f} s"
        rows.append((one["way"], late, *(dollars(one["dollars"][rate]) for rate in rates)))
    return table(("dollars a month", "hears in", *(f"{float(rate):,g}/s" for rate in rates)), rows)


def dollars(text: str) -> str:
    """Dollars and cents."""
    return f"{float(text):,.2f}"


def table(heading: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Markdown; the first column is text."""
    heading = list(heading)
    lines = [heading, ["---", *["--:"] * (len(heading) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def filled(page: str, made: dict[str, str]) -> str:
    """The page with these tables in their places."""
    for name, text in made.items():
        page, times = re.subn(
            rf"(<!-- {name}: .*?-->\n)(.*?)(<!-- end -->)",
            lambda place, text=text: f"{place[1]}\n{text}\n\n{place[3]}",
            page,
            flags=re.DOTALL,
        )
        if times != 1:
            raise SystemExit(f"{PAGE} has {times} places for the table {name!r}: write one")
    return page


def main() -> None:
    """Make them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="latency, constraint, windows or cost; without any, all")
    parser.add_argument("--output", type=Path, default=DOCS)
    options = parser.parse_args()
    facts = found(options.parts, options.output)
    page = filled((DOCS / PAGE).read_text(encoding="utf-8"), tables(facts))
    (options.output / PAGE).write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
