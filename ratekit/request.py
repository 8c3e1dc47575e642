"""
Request: what a policy may look at, the same in every framework. Read-only, and lazy where it costs.
"""

from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl


class Request:
    """
    One request: `method` ("WS" for a WebSocket handshake), the decoded `path` that the application routes, `headers` (lower-case
    names to values, the first of several), `query` (names to values), `client` (the client's address, None where there is
    none) and `native`: the framework's own object.
    """

    __slots__ = ("_client", "_fields", "_headers", "_query", "method", "native", "path")

    def __init__(
        self,
        *,
        method: str,
        path: str,
        fields: Iterable[tuple[bytes, bytes]],
        query: bytes,
        client: "Callable[[Request], str | None]",
        native: Any,
    ) -> None:
        self.method = method
        self.path = path
        self.native = native
        self._fields = fields
        self._query = query
        self._client = client
        self._headers: MappingProxyType[str, str] | None = None

    @property
    def headers(self) -> MappingProxyType[str, str]:
        """Header fields by lower-case name; of several with one name the first."""
        if self._headers is None:
            found: dict[str, str] = {}
            for name, value in self._fields:
                found.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
            self._headers = MappingProxyType(found)
        return self._headers

    def lines(self, name: str) -> list[str]:
        """All values of one header field, in order."""
        wanted = name.encode("latin-1")
        return [value.decode("latin-1") for field, value in self._fields if field.lower() == wanted]

    @property
    def query(self) -> MappingProxyType[str, str]:
        """The query's parameters; of several with one name the last."""
        return MappingProxyType(dict(parse_qsl(self._query.decode("latin-1"), keep_blank_values=True)))

    @property
    def client(self) -> str | None:
        """The client's address: the socket's peer, or what the named proxies say of it."""
        return self._client(self)

    @property
    def preflight(self) -> bool:
        """Whether a browser asks by this request if it may send another one (CORS)."""
        return self.method == "OPTIONS" and "origin" in self.headers and "access-control-request-method" in self.headers
