"""
FastAPI: a small shop, with every way to limit a route.

    uvicorn fastapi_app:app --app-dir examples
    curl -i http://127.0.0.1:8000/items -H 'x-api-key: ann'
    for i in 1 2 3 4; do curl -i -X POST http://127.0.0.1:8000/login; done
    for i in 1 2 3; do curl -i http://127.0.0.1:8000/report; done
    ratekit routes fastapi_app:app --app-dir examples

Items are counted by API key, logins by address, orders by shop; the report is limited where it is made. http://127.0.0.1:8000/docs shows
the 429 of each. With `strict` the application does not start when a route has no limit by mistake. RATEKIT_STORE=redis://localhost:6379/0
makes all workers, and other applications with a policy "login", count together.
"""

import os

from fastapi import APIRouter, Depends, FastAPI, WebSocket

from ratekit import Policy, rate_limit
from ratekit.asgi import RateLimitMiddleware
from ratekit.fastapi import RateLimit

app = FastAPI(title="A small shop")
app.add_middleware(
    RateLimitMiddleware,
    store=os.environ.get("RATEKIT_STORE", "memory://"),
    policies=[
        Policy("items", "100/minute burst 10", key="header:x-api-key", match="/items", missing="refuse"),
        Policy("login", "3/minute", match="POST /login"),
    ],
    strict=True,
    unlimited=["/health"],
)


@app.get("/items")
async def items() -> list[str]:
    return ["one", "two"]


@app.post("/login")
async def login() -> str:
    return "welcome"


@app.get("/report")
@rate_limit("2/minute")
def report() -> str:
    return "a long report"


@app.get("/health")
async def health() -> str:
    return "well"


# A dependency sees what the route knows: whose shop it is, in whatever order.
orders = APIRouter(
    prefix="/shops/{shop}/orders",
    dependencies=[Depends(RateLimit("2/second", "5/hour", key=lambda request: request.native.path_params["shop"]))],
)


@orders.post("")
async def order(shop: str) -> str:
    return f"ordered at {shop}"


app.include_router(orders)

messages = RateLimit("2/minute", name="messages")


@app.websocket("/chat", dependencies=[Depends(RateLimit("10/minute"))])
async def chat(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        decision = await messages.hit(websocket)
        await websocket.send_text(text.upper() if decision else f"wait {decision.retry_after:.0f} s")
