"""
What the live commands share: a picture in the terminal that is drawn anew every so often until somebody has seen enough.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Final

import typer
from rich.console import RenderableType
from rich.live import Live

from ratekit.cli.common import OUT

WIDTH: Final = 16
"""Characters of a whole bar."""

Every = Annotated[float, typer.Option("--every", min=0.1, metavar="S", help="Seconds between two looks.")]
Count = Annotated[
    int, typer.Option("--count", min=0, metavar="N", help="Looks to take; 0: until Ctrl-C. One where nobody looks on.")
]


def live(look: Callable[[], RenderableType], every: float, count: int) -> None:
    """Draw what `look` gives, `count` times; where the output is no terminal, once is enough."""
    if not OUT.is_terminal or count == 1:
        for _ in range(max(1, count) - 1):
            look()
            time.sleep(every)
        OUT.print(look())
        return
    with suppress(KeyboardInterrupt), Live(look(), console=OUT, auto_refresh=False) as picture:
        done = 1
        while not count or done < count:
            time.sleep(every)
            picture.update(look(), refresh=True)
            done += 1


def bar(part: float) -> str:
    """
    A part from 0 to 1 as a bar.

    >>> bar(0.5).count("█")
    8
    """
    full = round(WIDTH * min(1.0, max(0.0, part)))
    return "█" * full + "·" * (WIDTH - full)
