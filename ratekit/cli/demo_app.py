"""
The application of `ratekit demo`: three routes and one middleware. Run it by hand with

    uvicorn ratekit.cli.demo_app:app --no-proxy-headers

It believes `x-forwarded-for` from this machine, so that one machine can play many clients. RATEKIT_STORE says where state lives,
by default in the memory of this process.
"""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ratekit import Policy
from ratekit.asgi import RateLimitMiddleware


async def home(request: Request) -> Response:
    """What everybody wants."""
    return JSONResponse({"hello": "world"})


async def login(request: Request) -> Response:
    """What a guesser of passwords wants."""
    return PlainTextResponse("wrong password", status_code=401)


async def health(request: Request) -> Response:
    """What nobody is charged for."""
    return PlainTextResponse("ok")


app = Starlette(routes=[Route("/", home), Route("/login", login, methods=["POST"]), Route("/health", health)])
app.add_middleware(
    RateLimitMiddleware,
    store=os.environ.get("RATEKIT_STORE") or "memory://",
    name=os.environ.get("RATEKIT_DEMO_NAME", "demo"),
    trusted_proxies=["127.0.0.0/8"],
    policies=[
        Policy("api", "5/second burst 20", exempt="/health"),
        Policy("login", "5/minute", match="POST /login"),
    ],
)
