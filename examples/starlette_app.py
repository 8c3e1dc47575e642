"""
Starlette: one middleware, every client address on its own.

    uvicorn starlette_app:app --app-dir examples
    for i in 1 2 3 4 5 6; do curl -i http://127.0.0.1:8000/; done

The sixth answer within ten seconds is 429. Behind a proxy add trusted_proxies=["10.0.0.0/8"], the network of your proxy, and start
uvicorn with --no-proxy-headers: one of the two reads the forwarding header, not both.
"""

import os

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ratekit.asgi import RateLimitMiddleware


async def home(request):
    return PlainTextResponse("hello\n")


app = Starlette(routes=[Route("/", home)])
app.add_middleware(RateLimitMiddleware, limits="5/10s", store=os.environ.get("RATEKIT_STORE", "memory://"))
