"""
FastAPI: policies for some routes, a decorator on one function.

    uvicorn fastapi_app:app --app-dir examples
    curl -i http://127.0.0.1:8000/items -H 'x-api-key: ann'
    for i in 1 2 3 4; do curl -i -X POST http://127.0.0.1:8000/login; done
    for i in 1 2 3; do curl -i http://127.0.0.1:8000/report; done

Items are counted by API key, logins by address; the report is limited where it is made, and needs no request parameter for that.
"""

import os

from fastapi import FastAPI

from ratekit import Policy, rate_limit
from ratekit.asgi import RateLimitMiddleware

app = FastAPI()
app.add_middleware(
    RateLimitMiddleware,
    store=os.environ.get("RATEKIT_STORE", "memory://"),
    policies=[
        Policy("items", "100/minute burst 10", key="header:x-api-key", match="/items", missing="refuse"),
        Policy("login", "3/minute", match="POST /login"),
    ],
)


@app.get("/items")
async def items() -> list[str]:
    return ["one", "two"]


@app.post("/login")
async def login() -> str:
    return "welcome"


@app.get("/report")
@rate_limit("2/minute")
async def report() -> str:
    return "a long report"
