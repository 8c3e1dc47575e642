"""
OpenAPI: the 429 that limits add to a FastAPI application's operations, with its schema and its header fields.
"""

from collections.abc import Callable
from typing import Any, Final

from ratekit.errors import ConfigurationError
from ratekit.routes import coverage
from ratekit.web.asgi_routes import read

NAME: Final = "RateLimitExceeded"

PROBLEM: Final[dict[str, Any]] = {
    "title": NAME,
    "description": "A problem body (RFC 9457) that says which limits are exceeded.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "violated-policies"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer", "const": 429},
        "detail": {"type": "string"},
        "violated-policies": {"type": "array", "items": {"type": "string"}},
    },
}
RESPONSE: Final[dict[str, Any]] = {
    "description": "Too many requests: a rate limit is exceeded.",
    "headers": {
        "Retry-After": {
            "description": "Seconds until the same request is let in; absent where it can never be.",
            "schema": {"type": "integer", "minimum": 1},
        },
        "RateLimit": {
            "description": "What is left now (`r`), and the seconds until there is more (`t`), for each limit.",
            "schema": {"type": "string"},
        },
        "RateLimit-Policy": {
            "description": "The quota (`q`) in a window of so many seconds (`w`), for each limit.",
            "schema": {"type": "string"},
        },
    },
    "content": {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/{NAME}"}}},
}


def document(app: Any, root: Any = None) -> None:
    """
    Have a FastAPI application's OpenAPI show a 429 for every operation that is limited, and that does not show one itself.

    With ratekit's middleware on the application this is done already. `root` is what the application is wrapped in. Raises
    ConfigurationError for what is no FastAPI application.

    >>> from fastapi import Depends, FastAPI
    >>> from ratekit.fastapi import RateLimit, document
    >>> app = FastAPI(dependencies=[Depends(RateLimit("100/minute"))])
    >>> document(app)
    """
    plain: Callable[[], dict[str, Any]] | None = getattr(app, "openapi", None)
    if not callable(plain) or not hasattr(app, "openapi_url"):
        raise ConfigurationError(f"document({app!r}): give it a FastAPI application")
    if hasattr(plain, "__ratekit__"):
        return

    def openapi() -> dict[str, Any]:
        return documented(plain(), limited_operations(root if root is not None else app))

    openapi.__ratekit__ = ()  # type: ignore[attr-defined]
    app.openapi = openapi


def limited_operations(app: Any) -> set[tuple[str, str]]:
    """The methods (lower case) and paths, as OpenAPI writes them, that are limited."""
    seen = read(app)
    report = coverage(seen.endpoints, seen.placed)
    return {
        (method.lower(), endpoint.path.replace(":path}", "}"))
        for endpoint, held in report.rows
        for method in endpoint.methods
        if held
    }


def documented(schema: dict[str, Any], operations: set[tuple[str, str]]) -> dict[str, Any]:
    """A schema with the 429 of these operations, written into it; what is there already stays."""
    written = False
    for path, item in schema.get("paths", {}).items():
        for method, operation in item.items():
            if (method, path) in operations and "429" not in operation.setdefault("responses", {}):
                operation["responses"]["429"] = {"$ref": f"#/components/responses/{NAME}"}
                written = True
    if written:
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {}).setdefault(NAME, PROBLEM)
        components.setdefault("responses", {}).setdefault(NAME, RESPONSE)
    return schema
