"""
The typer application: which commands there are.
"""

from typing import Annotated

import typer

from ratekit.cli.count import count
from ratekit.cli.count_requests import requests
from ratekit.cli.demo import demo
from ratekit.cli.doctor import doctor
from ratekit.cli.edge import edge
from ratekit.cli.explain import parse
from ratekit.cli.explain_key import explain
from ratekit.cli.replay import replay
from ratekit.cli.routes import routes
from ratekit.cli.simulate import simulate
from ratekit.cli.state import peek, reset
from ratekit.cli.top import top
from ratekit.cli.watch import watch

app = typer.Typer(
    name="ratekit",
    help="Rate limits: try them on a log, look at them, reset them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo)
app.command("edge")(edge)
app.command("doctor")(doctor)
app.command("replay")(replay)
app.command("simulate")(simulate)
app.command("routes")(routes)
app.command("explain")(explain)
app.command("top")(top)
app.command("watch")(watch)
count.command("requests")(requests)
app.add_typer(count, name="count")
app.command("peek")(peek)
app.command("reset")(reset)
app.command("parse")(parse)


def _version(wanted: bool) -> None:
    if wanted:
        from ratekit import __version__

        typer.echo(f"ratekit {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Rate limits: try them on a log, look at them, reset them."""
