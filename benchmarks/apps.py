"""
One JSON route, bare and limited by each library as its own documentation does it; fixed windows, by client address, for everybody.

- ratekit: RateLimitMiddleware, which also sends the RateLimit fields.
- limits by hand: it has no adapter; the shortest pure ASGI middleware around it, which sends no fields.
- asgi-ratelimit: its middleware, one rule. slowapi: its decorator without fields (its limits run synchronously, by design).
- fastapi-limiter: its dependency, with a pyrate bucket per client. throttled-py: its FastAPI decorator without its middleware for
  fields, which would cost more. fastapi-redis-sdk: its dependency without fields. These three need FastAPI, and are compared with a
  bare FastAPI application. So are ratekit's own dependency, alone on its route, which sends the fields, and slowapi's decorator there.
"""

import os
from typing import Any

from libraries import limits_async_hit, pool, pyrate_limiter, throttled_store

ON_FASTAPI = ("fastapi-limiter", "fastapi-redis-sdk", "throttled-py", "ratekit, dependency", "slowapi, FastAPI")
ENDLESS = 1_000_000_000
"""A quota a minute that no server here exhausts."""


async def answer(request: Any) -> Any:
    from starlette.responses import JSONResponse

    return JSONResponse({"hello": "world"})


def starlette_app(endpoint: Any = answer) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Route

    return Starlette(routes=[Route("/", endpoint)])


def fastapi_app(endpoint: Any = None, **options: Any) -> Any:
    from fastapi import FastAPI

    async def hello() -> dict[str, str]:
        return {"hello": "world"}

    app = FastAPI()
    app.get("/", **options)(endpoint or hello)
    return app


def bare(library: str) -> Any:
    """What a library's application is compared with."""
    return fastapi_app() if library in ON_FASTAPI else starlette_app()


def ratekit_app(store: str, quota: int, algorithm: str = "fixed_window") -> Any:
    from ratekit import Limit
    from ratekit.asgi import RateLimitMiddleware

    app = starlette_app()
    app.add_middleware(RateLimitMiddleware, limits=Limit(quota, per=3600, algorithm=algorithm), store=store)
    return app


def ratekit_dependency(store: str, quota: int) -> Any:
    from fastapi import Depends

    from ratekit import Limit
    from ratekit.fastapi import RateLimit

    return fastapi_app(dependencies=[Depends(RateLimit(Limit(quota, per=3600, algorithm="fixed_window"), store=store))])


def by_the_store(library: str, store: str) -> int | None:
    """
    How many hits ratekit's fixed windows hold in Redis, which tells what it decided by itself; None for the others, who never do.
    """
    import redis

    if library not in ("ratekit", "ratekit, dependency") or store == "memory://":
        return None
    with redis.Redis.from_url(store) as client:
        keys = client.keys("ratekit:*")
        return sum(int(value) for value in client.mget(keys) if value and value.isdigit()) if keys else 0


def beside_the_store(before: int | None, after: int | None, requests: int) -> float:
    """The share of so many requests, in percent, that were not counted in Redis meanwhile."""
    return 0.0 if before is None or after is None else max(0.0, 100 * (1 - (after - before) / requests))


def ratekit_default(store: str, quota: int) -> Any:
    return ratekit_app(store, quota, "sliding_window")


class LimitsByHand:
    """What one would write around `limits`."""

    def __init__(self, app: Any, hit: Any) -> None:
        self.app, self.hit = app, hit

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and not await self.hit(scope["client"][0]):
            await send({"type": "http.response.start", "status": 429, "headers": [(b"retry-after", b"60")]})
            await send({"type": "http.response.body", "body": b""})
            return
        await self.app(scope, receive, send)


def limits_app(store: str, quota: int) -> Any:
    app = starlette_app()
    app.add_middleware(LimitsByHand, hit=limits_async_hit("fixed_window", quota, store))
    return app


def asgi_ratelimit_app(store: str, quota: int) -> Any:
    from ratelimit import RateLimitMiddleware, Rule
    from ratelimit.backends.redis import RedisBackend
    from ratelimit.backends.simple import MemoryBackend
    from redis import asyncio

    async def authenticate(scope: Any) -> tuple[str, str]:
        return scope["client"][0], "default"

    backend = MemoryBackend() if store == "memory://" else RedisBackend(asyncio.StrictRedis(connection_pool=pool(asyncio, store)))
    app = starlette_app()
    app.add_middleware(RateLimitMiddleware, authenticate=authenticate, backend=backend, config={r"^/": [Rule(minute=quota)]})
    return app


def slowapi_app(store: str, quota: int) -> Any:
    from slowapi import Limiter, _rate_limit_exceeded_handler
    from slowapi.errors import RateLimitExceeded
    from slowapi.util import get_remote_address
    from starlette.requests import Request

    limiter = Limiter(key_func=get_remote_address, storage_uri=store)

    async def limited(request: Request) -> Any:
        return await answer(request)

    app = starlette_app(limiter.limit(f"{quota}/minute")(limited))
    app.state.limiter = limiter
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)
    return app


def slowapi_fastapi_app(store: str, quota: int) -> Any:
    from fastapi import Request
    from slowapi import Limiter, _rate_limit_exceeded_handler
    from slowapi.errors import RateLimitExceeded
    from slowapi.util import get_remote_address

    limiter = Limiter(key_func=get_remote_address, storage_uri=store)

    @limiter.limit(f"{quota}/minute")
    async def hello(request: Request) -> dict[str, str]:
        return {"hello": "world"}

    app = fastapi_app(hello)
    app.state.limiter = limiter
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)
    return app


def fastapi_limiter_app(store: str, quota: int) -> Any:
    from fastapi import Depends
    from fastapi_limiter.depends import RateLimiter
    from redis import asyncio

    client = None if store == "memory://" else asyncio.Redis(connection_pool=pool(asyncio, store))
    return fastapi_app(dependencies=[Depends(RateLimiter(limiter=pyrate_limiter("token_bucket", quota, client)))])


def throttled_app(store: str, quota: int) -> Any:
    import throttled.asyncio
    from starlette.requests import Request
    from throttled.asyncio.contrib import fastapi

    limiter = fastapi.Limiter(
        throttled.asyncio.per_min(quota),
        store=throttled_store(throttled.asyncio, "redis.asyncio", store),
        using="fixed_window",
        key_func=fastapi.get_remote_address,
    )

    @limiter.limit()
    async def hello(request: Request) -> dict[str, str]:
        return {"hello": "world"}

    app = fastapi_app(hello)
    app.add_exception_handler(fastapi.RateLimitExceededError, fastapi.rate_limit_exceeded_handler)
    return app


def fastapi_redis_sdk_app(store: str, quota: int) -> Any:
    os.environ["REDIS_URL"] = store
    from fastapi import Depends
    from redis_fastapi import FastAPIRedis, rate_limit

    app = fastapi_app(dependencies=[Depends(rate_limit(f"{quota}/minute", emit_headers=False))])
    FastAPIRedis(app).lifespan().rate_limiting()
    return app


LIMITED = {
    "ratekit": ratekit_app,
    "ratekit, sliding_window": ratekit_default,
    "ratekit, dependency": ratekit_dependency,
    "limits by hand": limits_app,
    "asgi-ratelimit": asgi_ratelimit_app,
    "slowapi": slowapi_app,
    "slowapi, FastAPI": slowapi_fastapi_app,
    "fastapi-limiter": fastapi_limiter_app,
    "throttled-py": throttled_app,
    "fastapi-redis-sdk": fastapi_redis_sdk_app,
}


def served() -> Any:
    """The application that the environment names, for `uvicorn --factory apps:served`."""
    library, store, quota = (os.environ[f"BENCH_{word}"] for word in ("LIBRARY", "STORE", "QUOTA"))
    return starlette_app() if library == "bare" else LIMITED[library](store, int(quota))
