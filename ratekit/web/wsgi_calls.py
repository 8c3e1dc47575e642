"""
How WSGI calls: an application that is asked on behalf of a visit, and what it answers, with header fields on it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final, TypeVar
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from ratekit.decision import Decision
from ratekit.errors import ConfigurationError, RateLimitExceeded, StoreError
from ratekit.http.fields import retry_after_fields
from ratekit.http.owed import GONE, Response, status_of
from ratekit.http.problem import Answer
from ratekit.http.visit import VISIT, Visit
from ratekit.keys import Proxies
from ratekit.request import Request

T = TypeVar("T")
Headers = list[tuple[str, str]]
Instead = Callable[[Exception, Visit, StartResponse], Iterable[bytes]]
Settle = Callable[[Visit, Response], None]

INSIDE: Final = (RateLimitExceeded, StoreError, ConfigurationError)
"""What a limited function inside the application raises, and what is answered as it would be outside."""


def answered(
    app: WSGIApplication, visit: Visit, start_response: StartResponse, instead: Instead, settle: Settle
) -> Iterable[bytes]:
    """
    What an application answers to a visit, which it knows of; `instead` answers to what of INSIDE it raises before it has begun. A
    visit that owes is settled when the last byte was sent, or nobody is there to send it to.
    """
    environ: WSGIEnvironment = visit.native
    answering = _Answering(visit, start_response, instead, settle=settle)
    try:
        body = answering.inside(lambda: app(environ, answering.start))
    except INSIDE as error:
        return answering.rescue(error)
    except BaseException as error:
        answering.settle(error)
        raise
    file_wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(body, list | tuple) or (isinstance(file_wrapper, type) and isinstance(body, file_wrapper)):
        answering.begin()  # all is said, and servers know short cuts for these
        if getattr(visit, "owed", None) is None:
            return body
    return _Body(answering, body)


def answered_own(app: WSGIApplication, visit: Visit, start_response: StartResponse, refused: Decision) -> Iterable[bytes]:
    """What an own answer to a refusal says, with header fields, and when to come again where it does not say so itself."""
    answering = _Answering(visit, start_response, refused=refused)
    return _Body(answering, app(visit.native, answering.start))


def answered_with(answer: Answer, visit: Visit, start_response: StartResponse) -> Iterable[bytes]:
    """An answer as it is."""
    visit.started = True
    start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", strings(answer.fields))
    return [] if visit.native.get("REQUEST_METHOD") == "HEAD" else [answer.body]


class _Answering:
    """
    An answer under way. It is held back until its first bytes: so all that is decided until then can be told, and a refusal inside
    the application can still take its place.
    """

    __slots__ = ("_held", "_instead", "_refused", "_send", "_settle", "start_response", "visit")

    def __init__(
        self,
        visit: Visit,
        start_response: StartResponse,
        instead: Instead | None = None,
        *,
        settle: Settle | None = None,
        refused: Decision | None = None,
    ) -> None:
        self.visit, self.start_response = visit, start_response
        self._instead, self._settle, self._refused = instead, settle, refused
        self._held: tuple[str, Headers] | None = None
        self._send: Callable[[bytes], object] | None = None

    def start(self, status: str, headers: Headers, exc_info: Any = None, /) -> Callable[[bytes], object]:
        """What the application calls as `start_response`."""
        if self._send is not None:  # too late for us: the server raises what exc_info holds, or says that this is one too many
            return self.start_response(status, headers, exc_info)
        if self._held is not None and not exc_info:
            raise AssertionError("start_response was called a second time, without exc_info")
        self._held = status, headers
        return self._write

    def begin(self) -> None:
        """Begin the response, with header fields, if that was not done yet; without an answer there is nothing to begin."""
        if self.visit.started or self._held is None:
            return
        status, headers = self._held
        fields = self.visit.fields()
        if self._refused is not None:  # an own answer may say by itself when to come again, and who may keep it
            theirs = {name.lower() for name, _ in headers}
            when = [] if "retry-after" in theirs else retry_after_fields(self._refused, self.visit.told()[0])
            kept = [] if "cache-control" in theirs else [(b"cache-control", b"no-store")]
            fields = [*when, *kept, *fields]
        self.visit.started = True
        self._send = self.start_response(status, [*headers, *strings(fields)])

    def inside(self, call: Callable[[], T]) -> T:
        """A call into the application, in which it is known what request this is."""
        token = VISIT.set(self.visit)
        try:
            return call()
        finally:
            VISIT.reset(token)

    def rescue(self, error: Exception) -> Iterable[bytes]:
        """What is answered to an error in the application's stead; raises it where that has begun, or is itself such an answer."""
        self.settle(error)
        if self.visit.started or self._instead is None:
            raise error
        return self._instead(error, self.visit, self.start_response)

    def settle(self, error: BaseException | None = None, *, complete: bool = False) -> None:
        """Charge for the response, where that was to be seen first; a second time changes nothing."""
        if self._settle is None or getattr(self.visit, "owed", None) is None:
            return
        status, headers = self._held or (str(GONE), [])
        if error is not None and not self.visit.started:
            status, headers = str(status_of(error)), []
        self._settle(self.visit, Response(self.visit.request, int(status[:3]), headers, complete=complete))

    def _write(self, data: bytes) -> None:
        self.begin()
        if self._send is not None:
            self._send(data)


class _Body:
    """The application's body, chunk by chunk as it comes; something else, where it raises one of INSIDE before the first."""

    __slots__ = ("_answering", "_chunks", "_whole")

    def __init__(self, answering: _Answering, body: Iterable[bytes]) -> None:
        self._answering, self._whole = answering, body
        self._chunks: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            chunk = self._answering.inside(self._from_application)
        except INSIDE as error:
            instead = self._answering.rescue(error)
            self.close()
            self._whole, self._chunks = instead, None
            return next(self)
        except StopIteration:
            self._answering.begin()
            self._answering.settle(complete=True)  # asked for more, the server has sent what there was
            raise
        except BaseException as error:
            self._answering.settle(error)
            raise
        self._answering.begin()
        return chunk

    def close(self) -> None:
        """The server has sent all, or the client has gone."""
        close = getattr(self._whole, "close", None)
        try:
            if close is not None:
                self._answering.inside(close)
        finally:
            self._answering.settle()

    def _from_application(self) -> bytes:
        if self._chunks is None:
            self._chunks = iter(self._whole)
        return next(self._chunks)


def request_of(environ: WSGIEnvironment, proxies: Proxies, native: Any = None) -> Request:
    """A server's environ as a Request; `native` is the framework's object, by default the environ."""
    return Request(
        method=environ.get("REQUEST_METHOD", "GET").upper(),
        path=routed_path(environ),
        fields=Received(environ),
        query=environ.get("QUERY_STRING", "").encode("latin-1", "replace"),
        client=lambda request: proxies.client(request, environ.get("REMOTE_ADDR") or None),
        native=environ if native is None else native,
    )


class Received:
    """The request's header fields, as often as they are asked for: what a server has made of them in `environ`."""

    __slots__ = ("_environ",)

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._environ = environ

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        for name, value in self._environ.items():
            if name.startswith("HTTP_") or (name in ("CONTENT_TYPE", "CONTENT_LENGTH") and value):
                field = name.removeprefix("HTTP_").replace("_", "-").lower()
                yield field.encode("latin-1", "replace"), str(value).encode("latin-1", "replace")


def routed_path(environ: WSGIEnvironment) -> str:
    """The decoded path that the application routes: without the prefix it is mounted under, from one slash on."""
    path: str = environ.get("PATH_INFO", "")
    return "/" + path.encode("latin-1", "replace").decode("utf-8", "replace").lstrip("/")


def strings(fields: Sequence[tuple[bytes, bytes]]) -> Headers:
    """Header fields as WSGI writes them."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]
