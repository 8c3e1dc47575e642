"""
The extension: what RateLimits(app) is given, by its arguments and by app.config.
"""

from collections.abc import Callable, Sequence
from typing import Any

from flask import Flask

from ratekit.decision import Decision
from ratekit.errors import ConfigurationError
from ratekit.flask.site import Site
from ratekit.guarded.gate import OnOutage
from ratekit.http.headers import DEFAULT, Headers
from ratekit.limit import Limit
from ratekit.policy import Match, Policy
from ratekit.request import Request
from ratekit.stores.protocol import Store
from ratekit.web.flask_routes import EXTENSION
from ratekit.web.wsgi_calls import INSIDE

Limits = str | Limit | Sequence[str | Limit]
OnRefused = Callable[[Request, Decision], Any]


class RateLimits:
    """
    The extension. `limits` (or `policies`) are the application's: one quota per client for all requests, also for those that no route
    matches. `default` is for each view that has no limits of its own and is not exempt, counted view by view; static files are left
    out of it.

    `store` is a URL or a store for threads; `on_refused(request, decision)` may give what a view may return, or None for the problem
    body; `app.errorhandler(429)` works, too. A request's client is REMOTE_ADDR, unless `trusted_proxies` names networks whose
    `forwarded_header` is believed; with werkzeug's ProxyFix leave that out. The rest is as in `ratekit.wsgi.RateLimitMiddleware`.
    app.config["RATEKIT_STORE"] and its like say it for one application, and RATEKIT_ENABLED = False leaves it alone.

    Routes are looked at before the first request: what is probably not meant is a warning in the log, and with `strict` nothing is
    served then; `check(app, strict=True)` at the end of a factory does not wait for that. Raises ConfigurationError for what
    cannot be.

    >>> app = Flask("shop")
    >>> limits = RateLimits(app, "100/minute")
    """

    def __init__(
        self,
        app: Flask | None = None,
        limits: Limits | None = None,
        *,
        policies: Sequence[Policy] | None = None,
        default: Limits | None = None,
        store: str | Store = "memory://",
        name: str = "default",
        prefix: str = "ratekit",
        trusted_proxies: Sequence[str] = (),
        forwarded_header: str = "x-forwarded-for",
        on_refused: OnRefused | None = None,
        budget: float | None = None,
        on_outage: OnOutage = "local",
        deny_cache: float = 1.0,
        fallback_share: float = 1.0,
        lease: float | None = None,
        headers: str | Sequence[str] | Headers = DEFAULT,
        hash_keys: bool | str | bytes = False,
        strict: bool = False,
        unlimited: Match | None = None,
    ) -> None:
        self._options: dict[str, Any] = {
            "limits": limits,
            "policies": policies,
            "default": default,
            "store": store,
            "name": name,
            "prefix": prefix,
            "trusted_proxies": trusted_proxies,
            "forwarded_header": forwarded_header,
            "on_refused": on_refused,
            "budget": budget,
            "on_outage": on_outage,
            "deny_cache": deny_cache,
            "fallback_share": fallback_share,
            "lease": lease,
            "headers": headers,
            "hash_keys": hash_keys,
            "strict": strict,
            "unlimited": unlimited,
        }
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Limit an application, once; its views and blueprints may come later."""
        if not isinstance(app, Flask):
            raise ConfigurationError(f"RateLimits({app!r}): write RateLimits(app, '100/minute')")
        if EXTENSION in app.extensions:
            raise ConfigurationError(f"RateLimits is on {app!r} already: give it all limits at once")
        said = {key.removeprefix("RATEKIT_").lower(): value for key, value in app.config.items() if key.startswith("RATEKIT_")}
        enabled = said.pop("enabled", True)
        unknown = sorted(said.keys() - self._options.keys())
        if unknown:
            known = ", ".join(f"RATEKIT_{key.upper()}" for key in ("enabled", *self._options))
            raise ConfigurationError(f"app.config['RATEKIT_{unknown[0].upper()}'] is unknown: there are {known}")
        site = Site(app, enabled=enabled, **self._options | said)
        app.extensions[EXTENSION] = site
        app.wsgi_app = site  # type: ignore[method-assign]  # as Flask's documentation adds a middleware
        app.before_request(site.before)
        handlers = app.error_handler_spec[None][None]
        for kind in INSIDE:
            handlers.setdefault(kind, site.inside)
