"""
What a run came to: as JSON, as lines on the screen, as a page and a picture.
"""

import statistics
from pathlib import Path
from typing import Any

from measure import Figures, Row, medians, opponent, ratios, reached

Record = dict[str, Any]

HEAD = """# How fast

Written by `make bench`; [benchmarks/](../benchmarks/README.md) says how each row is measured and how each library is set up.
{machine}; redis-server {redis} on loopback; {versions}.

A ratio is ours to theirs, taken turn by turn in one run; its median is judged, the least and the greatest are beside it. Absolute
figures are medians of this machine and move from run to run. **Bold**: the headline rows. {summary}

![Ratios of the rows that are compared with another library](performance.png)

| work | ratekit | against | ratio (least to greatest) | goal | |
|-|-|-|-|-|-|
"""


def record(row: Row, samples: dict[str, list[Figures]], *, skipped: str = "", failed: str = "") -> Record:
    """One row with its raw numbers and what they came to."""
    found: Record = {"name": row.name, "unit": row.unit, "headline": row.headline, "goals": [str(goal) for goal in row.goals]}
    if skipped or failed:
        return {**found, "skipped" if skipped else "failed": skipped or failed}
    found["ours"], found["theirs"] = row.ours, opponent(row, samples)
    found["sides"] = {side.name: {"role": side.role, "samples": samples[side.name]} for side in row.sides}
    if found["theirs"]:
        pairs = ratios(row, samples, found["theirs"])
        found["ratio"] = {"median": statistics.median(pairs), "least": min(pairs), "greatest": max(pairs)}
    found["outcome"] = [{"goal": str(goal), "got": got, "met": met} for goal, got, met in reached(row, samples)]
    return found


def lines(row: Record, *, judged: bool = True) -> list[str]:
    """A row for the screen: its verdict, its ratio, and every side."""
    if "sides" not in row:
        return [f"{'FAILED' if 'failed' in row else '-':<7} {row['name']}: {row.get('failed') or row['skipped']}"]
    goals = f"   goal {', '.join(row['goals'])}" if row["goals"] else ""
    text = [f"{verdict(row) if judged else '':<7} {row['name']}{spread(row, '   ratio ')}{goals}   [{row['seconds']:.0f} s]"]
    for name, side in row["sides"].items():
        mark = "*" if name == row["ours"] else ">" if name == row["theirs"] else " "
        text.append(f"      {mark} {name:<34} {figures(side['samples'], row['unit'])}")
    return text


def verdict(row: Record) -> str:
    """Met or missed; where there is no goal, how it compares, or nothing."""
    if "failed" in row:
        return "failed"
    if not row.get("outcome"):
        return ""
    return "met" if all(part["met"] for part in row["outcome"]) else "missed"


def spread(row: Record, before: str = "") -> str:
    """The ratio and its spread."""
    ratio = row.get("ratio")
    return f"{before}{short(ratio['median'])} ({short(ratio['least'])} to {short(ratio['greatest'])})" if ratio else ""


def figures(samples: list[Figures], unit: str) -> str:
    """A side's medians."""
    found = medians(samples)
    for name in ("not by the store %", "refused %"):
        if not found.get(name):
            found.pop(name, None)
    first = f"{short(found.pop('figure'))} {unit}"
    return ", ".join([first, *(f"{name} {short(value)}" for name, value in found.items())])


def short(value: float) -> str:
    """Three digits that matter."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write(results: Record, directory: Path) -> None:
    """performance.md and performance.png."""
    rows = results["rows"]
    met = sum(verdict(row) == "met" for row in rows)
    judged = sum(verdict(row) != "" for row in rows)
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    page = HEAD.format(
        machine=results["machine"], redis=results["redis-server"], versions=versions, summary=f"{met} of {judged} goals are met."
    )
    page += "".join(table_line(row) for row in rows)
    page += "\n## Every side\n\n| work | side | median |\n|-|-|-|\n"
    for row in rows:
        for name, side in row.get("sides", {}).items():
            page += f"| {row['name']} | {name} | {figures(side['samples'], row['unit'])} |\n"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "performance.md").write_text(page)
    draw([row for row in rows if row.get("ratio")], directory / "performance.png")


def table_line(row: Record) -> str:
    name = f"**{row['name']}**" if row["headline"] else row["name"]
    goal = ", ".join(row["goals"])
    if "sides" not in row:
        why = "failed" if "failed" in row else row["skipped"]
        return f"| {name} | | | | {goal} | {why} |\n"
    ours = figures(row["sides"][row["ours"]]["samples"], row["unit"])
    theirs = ""
    if row["theirs"]:
        theirs = f"{row['theirs']}: {figures(row['sides'][row['theirs']]['samples'], row['unit'])}"
    return f"| {name} | {ours} | {theirs} | {spread(row)} | {goal} | {verdict(row)} |\n"


def draw(rows: list[Record], path: Path) -> None:
    """One bar per row: the ratio, its spread, and a tick where the goal is."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 1.2 + 0.27 * len(rows)), layout="constrained")
    for place, row in enumerate(rows):
        ratio, state = row["ratio"], verdict(row)
        axes.barh(place, ratio["median"], color={"met": "#3a7d44", "missed": "#c0504d"}.get(state, "#8c9bab"), height=0.62)
        axes.plot([ratio["least"], ratio["greatest"]], [place, place], color="#333333", linewidth=1)
        goals = [part for part in row["goals"] if "fast" in part or part.startswith("ratio")]
        if goals:
            goal = float(goals[0].split("x")[0] if "fast" in goals[0] else goals[0].split()[-1])
            axes.plot([goal, goal], [place - 0.42, place + 0.42], color="black", linewidth=2.2)
        axes.text(max(ratio["greatest"], ratio["median"]) * 1.06, place, short(ratio["median"]), va="center", fontsize=7.5)
    labels = [f"{row['name']}  /  {row['theirs']}" for row in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=7.5)
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if row["headline"] else "normal")
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(
        "ours to theirs (log scale): bar = median, line = least to greatest of the pairs, black tick = goal; green met, red missed"
    )
    axes.xaxis.label.set_fontsize(8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
