"""
The application that the faults happen to: one limited route, and /health beside the limit, under a real uvicorn.

    python app.py PORT          with FAULTS_STORE, FAULTS_LIMITS, FAULTS_PROXIES, FAULTS_PROXY_HEADERS, FAULTS_BESIDE

Each answer says who decided and how long it took in here; /health says how the limiter is and what nobody caught.
"""

import asyncio
import gc
import json
import logging
import os
import sys
import time
from dataclasses import asdict

import uvicorn
from beside import Beside

from ratekit import AsyncLimiter
from ratekit.asgi import RateLimitMiddleware
from ratekit.http.visit import VISIT

STORE = os.environ.get("FAULTS_STORE", "memory://")
LIMITS = os.environ.get("FAULTS_LIMITS", "1000000/hour fixed_window")
PROXIES = os.environ.get("FAULTS_PROXIES", "127.0.0.1").split()


async def answer(scope, receive, send):
    """The limited route; a lifespan that just says yes."""
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    await respond(send, 200, VISIT.get().applied[0].decision.source)


def refused(request, decision):
    """A refusal that says who decided."""

    async def response(scope, receive, send):
        await respond(send, 429, decision.source)

    return response


async def respond(send, status: int, source: str, body: bytes = b"ok") -> None:
    fields = [(b"content-length", str(len(body)).encode()), (b"x-source", source.encode())]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


class Watched:
    """The limited application, timed and watched from outside."""

    def __init__(self) -> None:
        self.limited = RateLimitMiddleware(answer, limits=LIMITS, store=STORE, trusted_proxies=PROXIES, on_refused=refused)
        self.limiter = AsyncLimiter("1/second", store=STORE, name="health")  # shares the circuit of the store
        self.unhandled: list[str] = []
        self.lines: list[str] = []
        self.beside: Beside | None = None

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: self.unhandled.append(str(context)))
            if os.environ.get("FAULTS_BESIDE") == "1":
                self.beside = Beside(STORE, lambda error: self.unhandled.append(f"beside: {error!r}"))
            await self.limited(scope, receive, send)
        elif scope["path"] == "/health":
            await respond(send, 200, "", json.dumps(self.health(b"collect" in scope["query_string"])).encode())
        else:
            await self.timed(scope, receive, send)

    async def timed(self, scope, receive, send):
        began = time.perf_counter()

        async def stamped(message):
            if message["type"] == "http.response.start":
                took = f"{time.perf_counter() - began:.6f}".encode()
                message = {**message, "headers": [*message["headers"], (b"x-took", took), (b"x-pid", str(os.getpid()).encode())]}
            await send(message)

        try:
            await self.limited(scope, receive, stamped)
        except Exception as error:
            self.unhandled.append(repr(error))
            raise

    def health(self, collect: bool) -> dict:
        """How the limiter is; after garbage was collected, which takes some 10 ms, what is left of this process's objects, too."""
        left = {}
        if collect:
            gc.collect()  # "exception was never retrieved" is said when a future goes
            left = {"objects": len(gc.get_objects()), "tasks": len(asyncio.all_tasks())}
        health = asdict(self.limiter.health())
        fault = health["fault"] and health["fault"].value
        beside = dict(self.beside.came) if self.beside else {}
        kept = {"unhandled": self.unhandled, "lines": self.lines, "pid": os.getpid()}
        return {**health, "fault": fault, "beside": beside, **left, **kept}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what is logged: the limiter's lines, and everything else that is an error."""
        ours = record.name == "ratekit"
        if ours or record.name == "py.warnings":
            self.lines.append(f"{record.levelname} {record.getMessage()}")
        if record.levelno >= logging.ERROR and not ours:
            self.unhandled.append(f"{record.name}: {record.getMessage()}")


class Kept(logging.Handler):
    def __init__(self, watched: Watched) -> None:
        super().__init__(logging.INFO)
        self.emit = watched.emit


def main() -> None:
    logging.captureWarnings(True)
    watched = Watched()
    logging.basicConfig(level=logging.INFO, handlers=[Kept(watched)])
    rewrite = os.environ.get("FAULTS_PROXY_HEADERS") == "1"
    gc.freeze()  # as servers do that count milliseconds: to look through all that was imported takes the collector 20 to 40 of them
    uvicorn.run(watched, port=int(sys.argv[1]), log_config=None, access_log=False, proxy_headers=rewrite)


if __name__ == "__main__":
    main()
