"""
An application for a real server: what is limited, what is not, and what takes a while.
"""

import os
import time

from ratekit import Policy, rate_limit
from ratekit.wsgi import RateLimitMiddleware


@rate_limit("5/minute")
def line(number):
    return f"line {number}\n".encode()


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(0.3)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/lines":
        return (line(number) for number in range(1))
    return [str(os.getpid()).encode()]


application = RateLimitMiddleware(
    app,
    policies=[
        Policy("exact", "40/minute", match="/exact"),
        Policy("waiting", "1000/minute", match=["/slow", "/ask"]),
        Policy("login", "3/minute", match="POST /login"),
    ],
    store=os.environ["RATEKIT_STORE"],
    budget=float(os.environ.get("BUDGET", "10")),
)
