"""
Start-up: an application's routes are looked at once, and what is probably not meant is said, or refused.
"""

import logging
import os
import sys
from typing import Any, Final

from ratekit.errors import ConfigurationError
from ratekit.policy import Match
from ratekit.routes import Coverage, coverage
from ratekit.stores.off import said_off
from ratekit.web.asgi_routes import read
from ratekit.web.flask_routes import flask_in
from ratekit.web.flask_routes import read as read_flask
from ratekit.web.openapi import document
from ratekit.workers import workers

log: Final = logging.getLogger("ratekit")

QUIET: Final = "no limit"
"""The kind of finding that is often meant: it is said in the report, and is no warning unless it is asked for (strict)."""
SWITCHED: Final = "off"
"""The kind of finding that is always meant, if not by whom one thinks: a warning, also where strict. Who switches limiting off in
an emergency, or for a run of tests, needs an application that starts."""


def report_on(app: Any, *, unlimited: Match | None = None, processes: int | None = None) -> Coverage:
    """The coverage of an application as it stands, under the workers that this process seems to be one of."""
    seen = read(app) if flask_in(app) is None else read_flask(app)
    stores = seen.stores or [os.environ.get("RATEKIT_STORE") or "memory://"]
    count = workers(sys.argv, os.environ) if processes is None else processes
    return coverage(seen.endpoints, seen.placed, unlimited=unlimited, stores=stores, workers=count, off=said_off())


def check(app: Any, *, strict: bool = False, unlimited: Match | None = None) -> Coverage:
    """
    Log which route has which limits, and warn of what is probably not meant: a policy that matches nothing, a decorated endpoint that
    no middleware is around, memory under several workers.

    `strict` turns warnings into a ConfigurationError, and a route without a limit too, unless `unlimited` patterns name it. That
    RATEKIT_ENABLED=0 switches all limits off stays a warning.

    >>> from starlette.applications import Starlette
    >>> from starlette.routing import Route
    >>> [finding.kind for finding in check(Starlette(routes=[Route("/", print)])).findings]
    ['no limit']
    """
    return told(report_on(app, unlimited=unlimited), strict=strict)


def told(report: Coverage, *, strict: bool) -> Coverage:
    """Log a report; raises ConfigurationError for its findings if it is `strict`, but for a switch that is off."""
    wrong = [finding.text for finding in report.findings if finding.kind != SWITCHED]
    if strict and wrong:
        raise ConfigurationError("strict: " + "; ".join(wrong))
    for endpoint, held in report.rows:
        log.info("rate limiting: %s: %s", endpoint, "; ".join(map(str, held)) or "no limit")
    for finding in report.findings:
        if finding.kind != QUIET:
            log.warning("rate limiting: %s", finding.text)
    return report


def started(middleware: Any, app: Any, *, strict: bool, unlimited: Match | None) -> None:
    """What ratekit's middleware does once, when it first knows the application: the check, and the application's OpenAPI."""
    root = middleware if app is None else app
    app = middleware.app if app is None else app
    if not hasattr(app, "routes"):
        return
    try:
        if hasattr(app, "openapi_url"):
            document(app, root)
        report = report_on(root, unlimited=unlimited)
    except ConfigurationError:
        raise
    except Exception as error:  # an application of a kind that is not known: it is served all the same
        log.warning("rate limiting: the routes cannot be read: %s: %s", type(error).__name__, error)
        return
    told(report, strict=strict)
