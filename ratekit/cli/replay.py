"""
`ratekit replay`: what limits would have done to the requests in an access log.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ratekit.cli import accesslog, replaying
from ratekit.cli.common import ERR, Json, Limits, parsed, plainly, print_json
from ratekit.cli.drawing import pyplot
from ratekit.cli.replay_picture import draw
from ratekit.cli.replay_report import facts, show
from ratekit.errors import ConfigurationError
from ratekit.stores.naming import plan_of
from ratekit.stores.off import switched_off

LogPath = Annotated[
    str,
    typer.Argument(metavar="LOG", help="An access log, common or combined, gzip or not; - is standard input.", show_default=False),
]
KeyField = Annotated[str, typer.Option(metavar="FIELD", help=f"Who is asking: {', '.join(accesslog.KEYS)}.")]
Picture = Annotated[Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw a picture of it.", show_default=False)]
Top = Annotated[int, typer.Option(min=0, metavar="N", help="How many of the most refused clients to show.")]


def replay(log: LogPath, limit: Limits, key: KeyField = "ip", plot: Picture = None, top: Top = 10, as_json: Json = False) -> None:
    """
    Replay an access log through limits, by the log's own times.

    Example: ratekit replay access.log --limit "30/minute" --limit "60/hour" --plot out.png
    """
    with plainly():
        limits = parsed(limit)
        plan_of(limits, prefix="ratekit", name="replay")  # what cannot be is said before a long log is read
        if switched_off():
            raise ConfigurationError("a replay with limiting switched off would admit everything: unset RATEKIT_ENABLED")
        if plot is not None:
            pyplot("--plot")
        with bars() as shown:
            size = Path(log).stat().st_size if Path(log).is_file() else None
            reading = shown.add_task("reading", total=size)
            requests = accesslog.read(log, key, lambda at: shown.update(reading, completed=at))
            count = len(requests.times)
            shown.update(reading, total=size or 1, completed=size or 1)
            replayed = shown.add_task("replaying", total=count)
            result = replaying.run(requests, limits, lambda done: shown.update(replayed, completed=done))
            shown.update(replayed, completed=count)
        if plot is not None:
            draw(result, plot, log)
        if as_json:
            print_json(facts(result, log, key, top, plot))
        else:
            show(result, log, top, plot)


def bars() -> Progress:
    """Bars that say how far it is, in a terminal alone."""
    columns = (TextColumn("{task.description:<10}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    return Progress(*columns, console=ERR, transient=True, disable=not ERR.is_terminal)
