"""
OpenAPI shows the 429 of every operation that is limited, with its schema and its header fields, without anyone writing it.
"""

import pytest
from fastapi import APIRouter, Depends, FastAPI
from starlette.applications import Starlette

from ratekit import ConfigurationError, Policy, rate_limit
from ratekit.asgi import RateLimitMiddleware
from ratekit.fastapi import RateLimit, document


def shown(app, client_of):
    """The operations that show a 429, as the running application tells it."""
    with client_of(app) as client:
        schema = client.get("/openapi.json").json()
    return {
        f"{method.upper()} {path}"
        for path, item in schema["paths"].items()
        for method, operation in item.items()
        if "429" in operation["responses"]
    }, schema


def test_what_the_middleware_its_policies_dependencies_and_decorators_limit_is_shown(client_of, store):
    app, router = FastAPI(), APIRouter(prefix="/v1")
    app.add_middleware(RateLimitMiddleware, policies=[Policy("p", "5/minute", match="POST /v1/policy/*")], store=store)
    router.post("/policy/{name}")(lambda name: name)
    router.get("/policy/{name}")(lambda name: name)
    router.get("/decorated")(rate_limit("1/minute")(lambda: "hello"))
    router.get("/free")(lambda: "hello")
    router.get("/rest/{path:path}", dependencies=[Depends(RateLimit("1/minute"))])(lambda path: path)
    app.include_router(router)
    found, schema = shown(app, client_of)
    assert found == {"POST /v1/policy/{name}", "GET /v1/decorated", "GET /v1/rest/{path}"}
    assert schema["paths"]["/v1/decorated"]["get"]["responses"]["429"] == {"$ref": "#/components/responses/RateLimitExceeded"}
    response = schema["components"]["responses"]["RateLimitExceeded"]
    assert set(response["headers"]) == {"Retry-After", "RateLimit", "RateLimit-Policy"}


def test_the_schema_that_is_shown_is_what_a_refusal_is(client_of, store):
    app = FastAPI()
    app.add_middleware(RateLimitMiddleware, limits="1/minute", store=store)
    app.get("/")(lambda: "hello")
    with client_of(app) as client:
        schema = client.get("/openapi.json").json()
        refused = client.get("/")
    assert refused.status_code == 429
    (media,) = schema["components"]["responses"]["RateLimitExceeded"]["content"]
    assert refused.headers["content-type"] == media
    problem = schema["components"]["schemas"]["RateLimitExceeded"]
    kinds = {"string": str, "integer": int, "array": list}
    assert set(problem["required"]) <= set(refused.json())
    assert all(isinstance(value, kinds[problem["properties"][name]["type"]]) for name, value in refused.json().items())
    for name in schema["components"]["responses"]["RateLimitExceeded"]["headers"]:
        assert name in refused.headers


def test_without_the_middleware_one_line_does_it(client_of, store):
    app = FastAPI(dependencies=[Depends(RateLimit("5/minute", store=store))])
    app.get("/")(lambda: "hello")
    assert shown(app, client_of)[0] == set()
    app.openapi_schema = None
    document(app)
    document(app)
    assert shown(app, client_of)[0] == {"GET /"}


def test_a_429_that_the_application_describes_itself_stays(client_of, store):
    app = FastAPI()
    app.add_middleware(RateLimitMiddleware, limits="1/minute", store=store)
    app.get("/", responses={429: {"description": "own"}})(lambda: "hello")
    assert shown(app, client_of)[1]["paths"]["/"]["get"]["responses"]["429"] == {"description": "own"}


def test_an_own_openapi_function_and_a_server_that_runs_no_start_are_served_as_well(client_of, store):
    app = FastAPI()
    app.add_middleware(RateLimitMiddleware, limits="9/minute", store=store)
    app.get("/")(lambda: "hello")
    plain = app.openapi
    app.openapi = lambda: plain() | {"x-own": True}
    schema = client_of(app).get("/openapi.json").json()
    assert schema["x-own"] is True
    assert "429" in schema["paths"]["/"]["get"]["responses"]


def test_an_application_without_openapi_or_of_another_kind():
    with pytest.raises(ConfigurationError, match="give it a FastAPI application"):
        document(Starlette())
