"""
A WSGI application whose limiter has been used before the server forks its workers: /COST answers what remains.
"""

import os

from subprocesses import LIMIT, hits

from ratekit import Limiter

LIMITER = Limiter(f"{LIMIT}/hour fixed_window", store=os.environ["FAULTS_STORE"], name="preloaded", budget=5.0)
hits(LIMITER, "master", 3)


def application(environ, start_response):
    cost = environ["PATH_INFO"].strip("/")
    if not cost.isdecimal():
        start_response("200 OK", [("Content-Length", "0")])
        return []
    decision = LIMITER.hit(f"user-{cost}", int(cost))
    body = str(decision.remaining).encode()
    fields = [("Content-Length", str(len(body))), ("X-Source", decision.source), ("X-Pid", str(os.getpid()))]
    start_response("200 OK" if decision else "429 Too Many Requests", fields)
    return [body]
