"""
`ratekit routes`: which route of an application has which limits, which has none, and what limits nothing.
"""

import importlib
import sys
from functools import reduce
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from ratekit.cli.common import ERR, OUT, Json, plainly, print_json, printable
from ratekit.errors import ConfigurationError
from ratekit.routes import Coverage, Held
from ratekit.web.startup import report_on

Target = Annotated[
    str, typer.Argument(metavar="MODULE:APP", help="The application, as its server is given it.", show_default=False)
]
Directory = Annotated[str, typer.Option("--app-dir", metavar="DIR", help="Where modules are looked for first.")]
Factory = Annotated[bool, typer.Option("--factory", help="APP is a function that makes the application.")]
Unlimited = Annotated[
    list[str], typer.Option("--unlimited", metavar="PATTERN", help="Routes that are to have no limit; may be given several times.")
]
Workers = Annotated[int | None, typer.Option("--workers", min=1, metavar="N", help="As many as the server will have.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 1 if there is a warning or a route without a limit.")]


def routes(
    target: Target,
    app_dir: Directory = ".",
    factory: Factory = False,
    unlimited: Unlimited = [],  # noqa: B006 - how typer is told of an empty list
    workers: Workers = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Say which route of an application has which limits. The application is imported, and not started."""
    with plainly():
        app = imported(target, app_dir)
        if not callable(app):
            raise ConfigurationError(f"{target} is no application but {printable(repr(app), 60)}")
        report = _report(app() if factory else app, unlimited, workers)
        if as_json:
            print_json(_facts(report))
        else:
            _print(report)
        if strict and report.findings:
            raise typer.Exit(1)


def imported(target: str, directory: str) -> Any:
    """The object that "module:name" means; raises ConfigurationError where there is none."""
    module, _, name = target.partition(":")
    if not module or not name:
        raise ConfigurationError(f"{target!r}: write MODULE:APP, such as main:app")
    sys.path.insert(0, directory)
    try:
        return reduce(getattr, name.split("."), importlib.import_module(module))
    except Exception as error:  # whatever a module of somebody else does when it is imported
        raise ConfigurationError(f"{target} cannot be imported: {type(error).__name__}: {error}") from None
    finally:
        sys.path.remove(directory)


def _report(app: Any, unlimited: list[str], workers: int | None) -> Coverage:
    if not type(app).__module__.startswith("django."):
        return report_on(app, unlimited=unlimited or None, processes=workers)
    if unlimited or workers:
        raise ConfigurationError("Django: write unlimited routes into settings.RATEKIT; `manage.py check --deploy` judges workers")
    from ratekit.django.routes import report_on as report_on_project
    from ratekit.django.settings import current

    return report_on_project(current())


def _print(report: Coverage) -> None:
    table = Table("route", "limits", box=box.SIMPLE)
    for endpoint, held in report.rows:
        said = [printable(str(one)) for one in held] or ["-" if endpoint.own else "no limit"]
        table.add_row(printable(str(endpoint)), "\n".join(said))
    OUT.print(table)
    for finding in report.findings:
        ERR.print(f"warning: {printable(finding.text, 1000)}")


def _facts(report: Coverage) -> dict[str, Any]:
    return {
        "routes": [
            {
                "methods": endpoint.methods,
                "path": endpoint.path,
                "own": endpoint.own,
                "limits": [_held(one) for one in held],
            }
            for endpoint, held in report.rows
        ],
        "findings": [{"kind": finding.kind, "text": finding.text} for finding in report.findings],
    }


def _held(held: Held) -> dict[str, Any]:
    return {"policy": held.label, "limits": [str(limit) for limit in held.limits], "requests": held.share}
