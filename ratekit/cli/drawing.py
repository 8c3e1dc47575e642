"""
What the pictures share: matplotlib where it is installed, imported only when a picture is wanted, and one look.

The two colours stay apart for every kind of colour blindness (Okabe and Ito), and refused is the darker of them in grey.
"""

from importlib import import_module
from pathlib import Path
from typing import Any, Final

from ratekit.errors import ConfigurationError, MissingExtra

ADMITTED: Final = "#56B4E9"
REFUSED: Final = "#D55E00"
INK: Final = "#222222"
QUIET: Final = "#767676"
LINES: Final = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#222222")
"""Colours of curves that stand for limits."""

_LOOK: Final = {
    "font.size": 10.5,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "text.parse_math": False,  # a client may be called anything, also "$x$"
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
}


def pyplot(what: str) -> Any:
    """matplotlib.pyplot, drawing to files only; raises MissingExtra where it is not installed."""
    try:
        import_module("matplotlib").use("Agg")
        plt = part("pyplot")
    except ImportError:
        raise MissingExtra(what, "matplotlib", "plot") from None
    plt.rcParams.update(_LOOK)
    return plt


def part(name: str) -> Any:
    """A module of matplotlib. Any, because its types differ from release to release."""
    return import_module(f"matplotlib.{name}")


def save(figure: Any, path: Path) -> None:
    """Write a picture; raises ConfigurationError where that cannot be."""
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"the picture {str(path)!r} cannot be written: {reason}") from None


def headline(figure: Any, text: str, below: str) -> None:
    """What the picture says, in one line, and what it is of."""
    left = 0.012
    figure.text(left, 0.975, text, fontsize=15, fontweight="bold", va="top")
    figure.text(left, 0.925, below, fontsize=10.5, color=QUIET, va="top")


def grid(axes: Any, axis: str = "y") -> None:
    """Thin lines behind the data."""
    axes.grid(visible=True, axis=axis, color="#E4E4E4", linewidth=0.8)
    axes.set_axisbelow(True)
