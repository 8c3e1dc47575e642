"""
What type checkers see: a decorated function keeps its own type, and the middleware fits where frameworks want one.
"""

from typing import assert_type

from starlette.applications import Starlette
from starlette.middleware import Middleware

from ratekit import AsyncLimiter, Decision, Limiter, Policy, rate_limit
from ratekit.asgi import RateLimitMiddleware


@rate_limit("5/minute")
def plain(user: int, *, text: str = "") -> float:
    return float(user)


@rate_limit("5/minute", key=lambda user, **_: user, cost=2, wait=1.0)
async def awaited(user: int) -> str:
    return str(user)


class Mailer:
    @rate_limit("5/minute", key=lambda self, user: user)
    def send(self, user: int) -> bytes:
        return bytes(user)

    @staticmethod
    @rate_limit("5/minute")
    def ping() -> bool:
        return True


async def calls() -> None:
    assert_type(plain(1, text="a"), float)
    assert_type(await awaited(1), str)
    assert_type(Mailer().send(1), bytes)
    assert_type(Mailer.ping(), bool)
    plain("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(Limiter("5/minute").hit("user:42"), Decision)
    assert_type(await AsyncLimiter("5/minute").hit(("tenant", 42)), Decision)


app = Starlette(middleware=[Middleware(RateLimitMiddleware, limits="100/minute")])
app.add_middleware(RateLimitMiddleware, policies=[Policy("login", "5/minute", match="POST /login")], trusted_proxies=["10.0.0.0/8"])
