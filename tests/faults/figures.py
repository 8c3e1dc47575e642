"""
Figures: what was measured, what is asked, and whether that is met; rows of them, and the table of all rows.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

UNITS: Final = {"ms": 1000, "s": 1, "": 1}


@dataclass(frozen=True, slots=True)
class Figure:
    """
    Something measured that may be at most `most`, both in `unit` ("ms", "s" or "" for a count).

    A figure that is `timed` depends on how busy the machine is: short forms do not judge it.
    """

    what: str
    measured: float
    most: float
    unit: str = ""
    timed: bool = False

    @property
    def met(self) -> bool:
        return self.measured <= self.most

    def __str__(self) -> str:
        asked = "none asked" if self.most == float("inf") else f"at most {self.most:g} {self.unit}".strip()
        return f"{self.what}: {_number(self.measured)} {self.unit}".rstrip() + f" ({asked}: {'met' if self.met else 'MISSED'})"


Measure = Callable[[bool], Awaitable[list[Figure]]]
"""One run of a row, in full (True) or in short."""


@dataclass(frozen=True, slots=True)
class Row:
    """A fault, what is asked, how the best and the typical peer fare today, the measurement, and how many runs are enough."""

    name: str
    fault: str
    asked: str
    peers: str
    measure: Measure
    runs: int = 3


def count(what: str, measured: float, most: float = 0) -> Figure:
    """A count, judged in short forms too."""
    return Figure(what, measured, most)


def milliseconds(what: str, seconds: float, most: float) -> Figure:
    """A time in milliseconds, given in seconds."""
    return Figure(what, seconds * 1000, most, "ms", timed=True)


def seconds(what: str, measured: float, most: float) -> Figure:
    """A time in seconds."""
    return Figure(what, measured, most, "s", timed=True)


def timely(what: str, measured: float, most: float = 0) -> Figure:
    """A count that depends on time: on a machine that is busy enough, a good store is late."""
    return Figure(what, measured, most, timed=True)


def noted(what: str, measured: float, unit: str = "") -> Figure:
    """What is shown and never judged."""
    return Figure(what, measured, float("inf"), unit, timed=True)


def worst(runs: Sequence[Sequence[Figure]]) -> list[Figure]:
    """Of each figure the worst of several runs, in the order of their first appearance."""
    found: dict[str, Figure] = {}
    for run in runs:
        for figure in run:
            known = found.get(figure.what)
            if known is None or figure.measured > known.measured:
                found[figure.what] = figure
    return list(found.values())


def markdown(results: Sequence[tuple[Row, Sequence[Sequence[Figure]]]]) -> str:
    """The table for docs/reliability.md."""
    lines = ["| fault | asked | measured, the worst run | best peer / typical peer today |", "|-|-|-|-|"]
    for row, runs in results:
        figures = worst(runs)
        cell = "; ".join(_cell(figure) for figure in figures)
        verdict = "met" if all(figure.met for figure in figures) else "**missed**"
        lines.append(f"| {row.fault} | {row.asked} | {verdict}: {cell} | {row.peers} |")
    return "\n".join(lines)


def _cell(figure: Figure) -> str:
    text = f"{figure.what} {_number(figure.measured)} {figure.unit}".rstrip()
    return text if figure.met else f"**{text}**"


def _number(value: float) -> str:
    if value == float("inf"):
        return "never"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.2f}"
