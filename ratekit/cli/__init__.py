"""
The command line: `ratekit`, also `python -m ratekit`.

Each command is one file that asks, and beside it the files that know: nothing in here decides anything.
"""

from ratekit.errors import MissingExtra

try:
    import rich  # noqa: F401
    import typer  # noqa: F401
except ImportError as error:
    raise MissingExtra("the command line", error.name or "typer", "cli") from None

from ratekit.cli.commands import app

__all__ = ["app"]
