"""
Counting: what a Flask application serves, by the rules of its views.
"""

from typing import Any

from flask import Flask, request, request_started

from ratekit.errors import ConfigurationError
from ratekit.web.wsgi_counting import ROUTE, CountingMiddleware

EXTENSION = "ratekit counting"


class Counting:
    """
    Counts what an application serves: the options are those of `ratekit.wsgi.CountingMiddleware`. Raises ConfigurationError.

    `app.extensions["ratekit counting"].traffic` reads it. With RateLimits make this one after it.

    >>> counting = Counting(Flask("shop"), name="shop")
    """

    def __init__(self, app: Flask | None = None, **options: Any) -> None:
        self._options = options
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Count what an application serves, once."""
        if not isinstance(app, Flask):
            raise ConfigurationError(f"Counting({app!r}): write Counting(app, store='redis://...')")
        if EXTENSION in app.extensions:
            raise ConfigurationError(f"Counting is on {app!r} already: once is enough")
        try:
            counting = CountingMiddleware(app.wsgi_app, **self._options)
        except TypeError as error:
            raise ConfigurationError(f"Counting: {error}") from None
        app.extensions[EXTENSION] = counting
        app.wsgi_app = counting  # type: ignore[method-assign]  # as Flask's documentation adds a middleware
        request_started.connect(_note, app, weak=False)


def _note(app: Flask, **_: Any) -> None:
    """Leave the rule that was chosen where the middleware looks for it: Flask's request is gone by then."""
    if request.url_rule is not None:
        request.environ[ROUTE] = request.url_rule.rule
