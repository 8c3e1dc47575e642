"""
`ratekit simulate`: who would have been refused by which policy: the question before every roll-out.
"""

from pathlib import Path
from typing import Annotated

import typer

from ratekit.cli import accesslog, simulating
from ratekit.cli.common import ERR, Json, plainly, print_json
from ratekit.cli.drawing import pyplot
from ratekit.cli.replay import LogPath, Picture, Top, bars
from ratekit.cli.simulate_picture import draw
from ratekit.cli.simulate_report import facts, show
from ratekit.errors import ConfigurationError
from ratekit.policy_file import policies_of
from ratekit.stores.off import switched_off

File = Annotated[
    Path,
    typer.Argument(metavar="POLICIES.toml", help="[[policies]] tables with the names of Policy's arguments.", show_default=False),
]


def simulate(policies: File, log: LogPath, plot: Picture = None, top: Top = 10, as_json: Json = False) -> None:
    """
    Say who would have been refused by which policy, by an access log's own times.

    Example: ratekit simulate policies.toml access.log --plot out.png
    """
    with plainly():
        given = policies_of(policies)
        if switched_off():
            raise ConfigurationError("a simulation with limiting switched off would admit everything: unset RATEKIT_ENABLED")
        if plot is not None:
            pyplot("--plot")
        for policy, name in simulating.unlogged(given):
            ERR.print(f"note: a log keeps no header {name!r}: policy {policy.name!r} finds it missing in every request")
        with bars() as shown:
            size = Path(log).stat().st_size if Path(log).is_file() else None
            reading = shown.add_task("reading", total=size)
            requests = accesslog.read_as(log, simulating.asked, lambda at: shown.update(reading, completed=at))
            shown.update(reading, total=size or 1, completed=size or 1)
            driven = shown.add_task("simulating", total=len(requests.times))
            result = simulating.run(requests, given, lambda done: shown.update(driven, completed=done))
            shown.update(driven, completed=len(requests.times))
        if plot is not None:
            draw(result, plot, log)
        if as_json:
            print_json(facts(result, str(policies), log, top, plot))
        else:
            show(result, log, top, plot)
