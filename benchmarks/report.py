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

![How near each ratio comes to its goal](performance.png)

| work | ratekit | against | ratio (least to greatest) | goal | |
|-|-|-|-|-|-|
"""


def record(row: Row, samples: dict[str, list[Figures]], *, judged: bool = True, skipped: str = "", failed: str = "") -> Record:
    """One row with its raw numbers and what they came to."""
    found: Record = {"name": row.name, "unit": row.unit, "headline": row.headline, "goals": [str(goal) for goal in row.goals]}
    if skipped or failed:
        return {**found, "skipped" if skipped else "failed": skipped or failed}
    found["ours"], found["theirs"] = row.ours, opponent(row, samples)
    found["sides"] = {side.name: {"role": side.role, "samples": samples[side.name]} for side in row.sides}
    nothing = [name for name in samples if medians(samples[name])["figure"] <= 0]
    if nothing and found["theirs"]:
        # A time added that noise made negative, a load of which nothing counted: no ratio of such a number means anything.
        return {**found, "noisy": f"{', '.join(nothing)} came to zero or less"}
    if found["theirs"]:
        pairs = ratios(row, samples, found["theirs"])
        found["ratio"] = {"median": statistics.median(pairs), "least": min(pairs), "greatest": max(pairs)}
    if not judged:
        return found
    found["outcome"] = [{"goal": str(goal), "got": got, "met": met} for goal, got, met in reached(row, samples)]
    return found


def lines(row: Record) -> list[str]:
    """A row for the screen: its verdict, its ratio, and every side."""
    if "sides" not in row:
        return [f"{'FAILED' if 'failed' in row else '-':<7} {row['name']}: {row.get('failed') or row['skipped']}"]
    goals = f"   goal {', '.join(row['goals'])}" if row["goals"] else ""
    text = [f"{verdict(row):<7} {row['name']}{spread(row, '   ratio ')}{goals}   [{row['seconds']:.0f} s]"]
    for name, side in row["sides"].items():
        mark = "*" if name == row["ours"] else ">" if name == row["theirs"] else " "
        text.append(f"      {mark} {name:<34} {figures(side['samples'], row['unit'])}")
    return text


def verdict(row: Record) -> str:
    """Met or missed; failed, or too noisy to say; nothing where there is no goal, or the run was a short one."""
    for word in ("failed", "noisy"):
        if word in row:
            return word
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
        machine=results["machine"],
        redis=results["redis-server"],
        versions=versions,
        summary=f"{met} of {judged} rows meet their goals." if judged else "This was a short run: nothing is judged.",
    )
    page += "".join(table_line(row) for row in rows)
    page += "\n## Every side\n\n| work | side | median |\n|-|-|-|\n"
    for row in rows:
        for name, side in row.get("sides", {}).items():
            page += f"| {row['name']} | {name} | {figures(side['samples'], row['unit'])} |\n"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "performance.md").write_text(page)
    draw([row for row in rows if "ratio" in row and target(row)], directory / "performance.png")


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


def target(row: Record) -> tuple[str, float] | None:
    """What the row's ratio has to reach: whether more or less, and how much; None when its goals are of another kind."""
    for goal in row["goals"]:
        words = goal.replace("x as fast", "").split()
        if "as fast" in goal:
            return ">=", float(words[0])
        if words[0] == "ratio":
            return words[1], float(words[2])
    return None


def draw(rows: list[Record], path: Path) -> None:
    """One bar per row: how near its ratio comes to its goal, 1 being there; a line from the worst pair to the best."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(11, 1.4 + 0.26 * len(rows)), layout="constrained")
    for place, row in enumerate(rows):
        ratio, (sign, goal) = row["ratio"], target(row)
        near = {which: value / goal if sign == ">=" else goal / value for which, value in ratio.items()}
        color = {"met": "#3a7d44", "missed": "#c0504d"}.get(verdict(row), "#8c9bab")
        axes.plot([1, near["median"]], [place, place], color=color, linewidth=7, solid_capstyle="butt")
        axes.plot([near["least"], near["greatest"]], [place, place], color="#222222", linewidth=1)
        said = f"{short(ratio['median'])}   goal {row['goals'][0].removeprefix('ratio ').removesuffix(' as fast')}"
        axes.text(1.01, place, said, va="center", fontsize=7.5, transform=axes.get_yaxis_transform())
    axes.set_yticks(range(len(rows)), [f"{row['name']}  /  {row['theirs']}" for row in rows], fontsize=7.5)
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if row["headline"] else "normal")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xscale("log")
    marks = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]
    axes.set_xticks(marks, [f"{mark:g}" for mark in marks], fontsize=8)
    axes.minorticks_off()
    axes.set_xlim(marks[0], marks[-1])
    axes.axvline(1, color="black", linewidth=1.5)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("ratio by its goal: from 1 to the right is met; thin line: all pairs", fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
