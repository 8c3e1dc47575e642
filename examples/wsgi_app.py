"""
WSGI: one middleware around any application, every client address on its own.

    gunicorn wsgi_app:application --chdir examples --threads 8
    for i in 1 2 3 4 5 6; do curl -i http://127.0.0.1:8000/; done

The sixth answer within ten seconds is 429. Behind a proxy add trusted_proxies=["10.0.0.0/8"], the network of your proxy.
"""

import os

from ratekit.wsgi import RateLimitMiddleware


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello\n"]


application = RateLimitMiddleware(hello, limits="5/10s", store=os.environ.get("RATEKIT_STORE", "memory://"))
