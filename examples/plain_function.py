"""
No server, no framework: a limiter, and a decorated function.

    python examples/plain_function.py

State is in this process; with RATEKIT_STORE=redis://localhost:6379/0 all processes that run this share it.
"""

import os

from ratekit import Limiter, RateLimitExceeded, rate_limit

STORE = os.environ.get("RATEKIT_STORE", "memory://")


@rate_limit("2/minute", key=lambda user, **_: user, store=STORE)
def send_mail(user: str, text: str) -> str:
    return f"sent to {user}: {text}"


@rate_limit("10/second burst 1", wait=1.0, store=STORE)
def call_a_slow_service(number: int) -> str:
    return f"call {number}, a tenth of a second after the one before"


def main() -> None:
    for user in ("ann", "ann", "ann", "bob"):
        try:
            print(send_mail(user, "hello"))
        except RateLimitExceeded as error:
            print(f"not sent to {user}: {error}")

    for number in range(3):
        print(call_a_slow_service(number))

    with Limiter("100/minute", "1000/day", store=STORE, name="tokens") as limiter:
        decision = limiter.hit("ann", cost=40)
        print(f"admitted: {decision.allowed}; of {decision.limit} there are {decision.remaining} left")


if __name__ == "__main__":
    main()
