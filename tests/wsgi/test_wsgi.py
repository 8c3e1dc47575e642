"""
The WSGI middleware, called directly: what a server is told, whatever the application does with start_response and its body.
"""

import json
import logging
import sys
from wsgiref.util import FileWrapper

import pytest
from asking import Counted, ask, environ_of, hello, statuses

from ratekit import ConfigurationError, Limiter, Policy, RateLimitExceeded, StoreUnavailable, rate_limit
from ratekit.stores import AsyncMemoryStore, MemoryStore
from ratekit.testing import ManualClock
from ratekit.wsgi import RateLimitMiddleware


def limited(app=hello, limits=None, **options):
    options = {"store": MemoryStore(clock=ManualClock())} | options
    return RateLimitMiddleware(app, "2/minute" if limits is None and "policies" not in options else limits, **options)


def test_each_address_has_its_quota_and_is_told_what_is_left():
    app = Counted()
    application = limited(app)
    first = ask(application)
    assert (first.status, first.body) == (200, b"hello")
    assert first.items("ratelimit-policy") == [("default", {"q": 2, "w": 60})]
    assert first.items("ratelimit") == [("default", {"r": 1, "t": 60})]
    assert ask(application).status == 200
    refused = ask(application)
    assert (refused.status, refused.header("retry-after"), refused.header("content-type")) == (
        429,
        "60",
        "application/problem+json",
    )
    assert refused.started[0][0] == "429 Too Many Requests"
    assert refused.header("cache-control") == "no-store"
    assert json.loads(refused.body)["violated-policies"] == ["default"]
    assert refused.header("content-length") == str(len(refused.body))
    assert ask(application, client="192.0.2.2").status == 200
    assert app.reached == 3


def test_a_refused_head_request_has_the_fields_and_no_body():
    application = limited(limits="1/minute")
    assert statuses(application, "HEAD /", 2) == [200, 429]
    refused = ask(application, "HEAD /")
    assert refused.body == b""
    assert int(refused.header("content-length")) > 0
    assert refused.header("retry-after") == "60"


def test_several_policies_are_one_hit():
    policies = [Policy("burst", "9/second"), Policy("login", "1/minute", match="POST /login")]
    application = limited(policies=policies)
    assert statuses(application, "POST /login", 3) == [200, 429, 429]
    assert dict(ask(application, "GET /login").items("ratelimit"))["burst"]["r"] == 7


# What the application does with start_response and its body.


def generator(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"hel"
    yield b"lo"


def test_a_generator_that_starts_when_its_body_is_first_asked_for_is_told_the_same():
    first = ask(limited(generator))
    assert (first.status, first.body, len(first.chunks)) == (200, b"hello", 2)
    assert first.items("ratelimit") == [("default", {"r": 1, "t": 60})]


def test_a_body_streams_chunk_by_chunk_and_is_closed_once_also_by_a_client_that_leaves():
    class Body:
        served = closed = 0

        def __iter__(self):
            return self

        def __next__(self):
            self.served += 1
            return b"x"

        def close(self):
            self.closed += 1

    body = Body()

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return body

    answer = limited(app)(environ_of(), lambda *words: lambda data: None)
    assert body.served == 0
    chunks = iter(answer)
    assert [next(chunks), next(chunks), body.served] == [b"x", b"x", 2]
    answer.close()
    assert body.closed == 1


def test_an_empty_body_begins_the_response_all_the_same():
    def app(environ, start_response):
        start_response("204 No Content", [])
        return iter(())

    answer = ask(limited(app))
    assert (answer.status, answer.body) == (204, b"")
    assert answer.header("ratelimit")


def test_what_is_written_by_the_old_write_function_passes_after_the_header_fields():
    def app(environ, start_response):
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"hel")
        return [b"lo"]

    answer = ask(limited(app))
    assert (answer.body, answer.header("ratelimit-policy")) == (b"hello", '"default";q=2;w=60')


def test_an_application_may_start_again_with_exc_info_before_anything_was_sent():
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        try:
            environ["no such page"] += 1
        except LookupError:
            start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "4")], sys.exc_info())
        return [b"gone"]

    answer = ask(limited(app))
    assert (answer.status, answer.body, answer.header("content-length")) == (404, b"gone", "4")
    assert answer.header("ratelimit")
    assert len(answer.started) == 1


def test_starting_again_after_the_first_bytes_raises_what_exc_info_holds():
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"hel"
        try:
            environ["half way"] += 1
        except LookupError:
            start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())

    with pytest.raises(KeyError, match="half way"):
        ask(limited(app))


def test_starting_twice_without_exc_info_is_the_applications_error():
    def app(environ, start_response):
        start_response("200 OK", [])
        start_response("200 OK", [])
        return []

    with pytest.raises(AssertionError, match="second time"):
        ask(limited(app), strict=False)


@pytest.mark.parametrize("when", ["before it starts", "after it started", "half way"])
def test_an_application_that_raises_is_the_servers_affair_and_was_charged(when):
    def app(environ, start_response):
        if when == "before it starts":
            raise LookupError
        start_response("200 OK", [("Content-Type", "text/plain")])
        if when == "after it started":
            raise LookupError
        return half_way()

    def half_way():
        yield b"hel"
        raise LookupError

    application = limited(app)
    for _ in range(2):
        with pytest.raises(LookupError):
            ask(application, strict=False)
    assert ask(application).status == 429


def test_a_file_goes_to_the_server_in_the_wrapper_that_the_server_gave(tmp_path):
    (tmp_path / "file").write_bytes(b"hello")

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return environ["wsgi.file_wrapper"]((tmp_path / "file").open("rb"))

    started = []
    body = limited(app)(environ_of(**{"wsgi.file_wrapper": FileWrapper}), lambda status, headers: started.append(headers))
    assert isinstance(body, FileWrapper)
    assert b"".join(body) == b"hello"
    assert "ratelimit" in dict(started[0])
    body.close()


# Limited functions inside the application.


def test_a_limited_function_inside_counts_by_address_and_answers_as_the_middleware_does():
    @rate_limit("1/minute")
    def report():
        return b"a long report"

    def app(environ, start_response):
        body = report()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body]

    application = limited(app, limits="9/minute")
    assert [name for name, _ in ask(application).items("ratelimit-policy")] == ["default", "report"]
    refused = ask(application)
    assert (refused.status, json.loads(refused.body)["violated-policies"]) == (429, ["report"])
    assert ask(application, client="192.0.2.2").status == 200


@pytest.mark.parametrize("start", ["late", "early"])
def test_a_limited_function_is_known_to_be_in_a_request_while_the_body_is_made(start):
    @rate_limit("1/minute")
    def line():
        return b"a line"

    closed = []

    def app(environ, start_response):
        try:
            if start == "early":
                start_response("200 OK", [("Content-Type", "text/plain")])
            first = line()
            if start == "late":
                start_response("200 OK", [("Content-Type", "text/plain")])
            yield first
        finally:
            closed.append(environ["REMOTE_ADDR"])

    application = limited(app, limits="9/minute")
    first, refused, other = (ask(application, client=client) for client in ("192.0.2.1", "192.0.2.1", "192.0.2.2"))
    assert [answer.status for answer in (first, refused, other)] == [200, 429, 200]
    assert [name for name, _ in first.items("ratelimit")] == ["default", "line"]
    assert json.loads(refused.body)["violated-policies"] == ["line"]
    assert len(refused.started) == 1
    assert closed == ["192.0.2.1", "192.0.2.1", "192.0.2.2"]


def test_a_refusal_after_the_first_bytes_is_raised_because_nothing_can_be_said_any_more():
    @rate_limit("1/minute")
    def line():
        return b"a line"

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield line()
        yield line()

    with pytest.raises(RateLimitExceeded):
        ask(limited(app, limits="9/minute"))


def test_outside_of_a_request_a_function_is_in_no_request_again():
    @rate_limit("1/minute", store=MemoryStore())
    def once():
        return b"once"

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [once()]

    ask(limited(app))
    assert once() == b"once"  # the function's own quota: nobody is asking here
    with pytest.raises(RateLimitExceeded):
        once()


def test_a_store_that_is_away_inside_the_application_is_503_and_logged_once(caplog):
    def app(environ, start_response):
        raise StoreUnavailable("gone")

    application = limited(app, limits="9/minute")
    assert statuses(application) == [503, 503, 503]
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1


# Own answers.


def own_page(request, decision):
    def page(environ, start_response):
        start_response("429 Too Many Requests", [("Content-Type", "text/html")])
        return [f"<p>{request.path}: {decision.retry_after:g} s".encode()]

    return page


def test_an_own_answer_to_a_refusal_keeps_the_fields_and_gets_retry_after():
    application = limited(limits="1/minute", on_refused=own_page)
    refused = [ask(application, "GET /page") for _ in range(2)][1]
    assert (refused.status, refused.body, refused.header("retry-after")) == (429, b"<p>/page: 60 s", "60")
    assert refused.items("ratelimit") == [("default", {"r": 0, "t": 60})]


def test_an_own_answer_that_is_none_is_the_problem_body():
    application = limited(limits="1/minute", on_refused=lambda request, decision: None)
    assert [ask(application).header("content-type") for _ in range(2)] == ["text/plain", "application/problem+json"]


def test_an_own_answer_is_given_to_a_limited_function_that_refuses_late_and_is_closed():
    limiter = Limiter("1/minute", store=MemoryStore())
    closed = []

    class Page:
        def __iter__(self):
            yield b"own"

        def close(self):
            closed.append("page")

    def own(request, decision):
        def page(environ, start_response):
            start_response("429 Too Many Requests", [("Content-Type", "text/plain"), ("Retry-After", "7")])
            return Page()

        return page

    @rate_limit(limiter)
    def line():
        return b"a line"

    def app(environ, start_response):
        try:
            start_response("200 OK", [("Content-Type", "text/plain")])
            yield line()
        finally:
            closed.append("app")

    application = limited(app, limits="9/minute", on_refused=own)
    assert ask(application).status == 200
    refused = ask(application)
    assert (refused.status, refused.body, refused.header("retry-after")) == (429, b"own", "7")
    assert closed == ["app", "app", "page"]


# What cannot be.


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"limits": "1/minute", "policies": []}, "both given"),
        ({"limits": "5/month"}, "month"),
        ({"store": AsyncMemoryStore()}, "a store for threads"),
        ({"on_outage": "hope"}, "on_outage"),
        ({"trusted_proxies": "10.0.0.0/8"}, "write a list"),
    ],
)
def test_what_cannot_be_is_said_when_the_application_is_made(options, says):
    with pytest.raises(ConfigurationError, match=says):
        RateLimitMiddleware(hello, **options)


def test_an_async_callable_is_an_error_of_the_configuration(caplog):
    async def key(request):
        return "ann"

    application = limited(policies=[Policy("keyed", "1/minute", key=key)])
    assert statuses(application) == [500, 500, 500]
    assert "write plain functions" in caplog.text


def test_a_store_that_was_passed_in_stays_open_and_one_of_a_url_is_closed(redis_url):
    class Kept(MemoryStore):
        closed = 0

        def close(self):
            self.closed += 1

    store = Kept()
    limited(store=store).close()
    assert store.closed == 0
    application = limited(store=redis_url, budget=10.0)
    assert ask(application).status == 200
    application.close()


def test_a_policy_has_an_outage_policy_of_its_own():
    policies = [Policy("closed", "9/minute", match="/closed", on_outage="closed"), Policy("open", "1/minute", match="/open")]
    application = limited(policies=policies, store="redis://127.0.0.1:1/0", on_outage="open")
    assert statuses(application, "GET /closed") == [503] * 3
    assert statuses(application, "GET /open") == [200] * 3
    application.close()
