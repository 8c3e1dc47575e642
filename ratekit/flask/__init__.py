"""
Flask: limits for an application, a blueprint, a view.

    app = Flask(__name__)
    RateLimits(app, "1000/hour", default="100/minute", store="redis://localhost:6379/0")

    @app.post("/login")
    @rate_limit("5/minute")
    def login(): ...

All that applies to a request is one hit: charged together or not at all.
"""

from ratekit.errors import MissingExtra

try:
    import flask as _flask  # noqa: F401
except ImportError:
    raise MissingExtra("ratekit.flask", "Flask", "flask") from None

from ratekit.flask.counting import Counting
from ratekit.flask.decorator import exempt, rate_limit
from ratekit.flask.extension import RateLimits
from ratekit.flask.site import RateLimited
from ratekit.web.startup import check

__all__ = ["Counting", "RateLimited", "RateLimits", "check", "exempt", "rate_limit"]
