"""
Charging by the response under WSGI: reserved before, settled when the server has sent all, or nobody is there any more.
"""

import json
import logging

import pytest
from asking import ask, environ_of, hello, statuses

from ratekit import Policy, rate_limit
from ratekit.stores import MemoryStore
from ratekit.testing import ManualClock
from ratekit.wsgi import RateLimitMiddleware


def charged(app, charge, limits="2/minute", **options):
    options = {"store": MemoryStore(clock=ManualClock())} | options
    return RateLimitMiddleware(app, policies=[Policy("charged", limits, charge=charge)], **options)


def failed_only(response):
    return int(response.status in (401, 500))


def login(environ, start_response):
    wrong = environ["QUERY_STRING"] == "wrong"
    start_response("401 Unauthorized" if wrong else "200 OK", [("Content-Type", "text/plain"), ("X-Why", "password")])
    return [b"body"]


def test_only_failed_logins_count():
    application = charged(login, failed_only)
    assert statuses(application, times=5) == [200] * 5
    assert statuses(application, query="wrong") == [401, 401, 429]
    assert ask(application).status == 429


def streaming(chunks):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        for chunk in chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    return app


@pytest.mark.parametrize(
    ("app", "status", "complete"),
    [
        (hello, 200, True),
        (streaming([b"hel", b"lo"]), 200, True),
        (streaming([]), 200, True),
        (streaming([LookupError()]), 500, False),
        (streaming([b"hel", LookupError()]), 200, False),
    ],
    ids=["a list", "a stream", "no body", "an error before the first bytes", "an error half way"],
)
def test_a_charge_sees_what_became_of_the_response(app, status, complete):
    seen = []
    application = charged(app, lambda response: seen.append(response) or 0)
    for _ in range(3):
        try:
            ask(application, "POST /path", strict=False)
        except LookupError:
            assert not complete
    assert [(one.status, one.complete, one.request.path) for one in seen] == [(status, complete, "/path")] * 3


def test_a_client_that_leaves_half_way_is_seen_and_settled_once():
    seen = []
    application = charged(streaming([b"hel", b"lo"]), lambda response: seen.append((response.status, response.complete)) or 1)
    body = application(environ_of(), lambda *words: lambda data: None)
    assert next(iter(body)) == b"hel"
    assert seen == []
    body.close()
    body.close()
    assert seen == [(200, False)]


def test_a_client_that_leaves_before_the_first_bytes_is_a_499():
    seen = []
    application = charged(streaming([b"hel"]), lambda response: seen.append((response.status, response.complete)) or 0)
    application(environ_of(), lambda *words: lambda data: None).close()
    assert seen == [(499, False)]


def test_the_header_fields_of_a_response_can_say_what_it_costs():
    def tokens(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json"), ("X-Tokens", "30")])
        return [json.dumps({}).encode()]

    policy = Policy("tokens", "100/minute", cost=60, charge=lambda response: int(response.headers["x-tokens"]))
    application = RateLimitMiddleware(tokens, policies=[policy], store=MemoryStore(clock=ManualClock()))
    assert [ask(application).items("ratelimit")[0][1]["r"] for _ in range(2)] == [40, 10]
    assert ask(application).status == 429


def test_a_refusal_inside_the_application_is_settled_as_the_429_that_it_is():
    seen = []

    @rate_limit("1/minute", store=MemoryStore(clock=ManualClock()))
    def once():
        return b"once"

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield once()

    application = charged(app, lambda response: seen.append(response.status) or 0)
    assert statuses(application, times=2) == [200, 429]
    assert seen == [200, 429]


def test_a_charge_that_raises_leaves_it_spent_and_is_logged_once(caplog):
    application = charged(hello, lambda response: 1 // 0)
    assert statuses(application) == [200, 200, 429]
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1


# What else is the same around every application.


def test_the_form_of_the_fields_is_the_one_that_is_asked_for():
    application = RateLimitMiddleware(hello, limits="2/minute", store=MemoryStore(clock=ManualClock()), headers="x-ratelimit")
    answer = ask(application)
    assert (answer.header("x-ratelimit-limit"), answer.header("x-ratelimit-remaining")) == ("2", "1")
    assert answer.header("ratelimit") is None


def test_hashed_keys_keep_addresses_out_of_the_store(redis_url, redis_client):
    application = RateLimitMiddleware(hello, limits="2/minute", store=redis_url, hash_keys="a secret of some length", budget=10.0)
    assert statuses(application, client="192.0.2.77") == [200, 200, 429]
    (key,) = redis_client.keys()
    assert b"192.0.2.77" not in key
    application.close()


def test_an_own_answer_to_a_refusal_is_kept_by_no_cache_unless_it_says_so():
    def own(request, decision):
        def page(environ, start_response):
            mine = [("Cache-Control", "max-age=1")] if request.path == "/mine" else []
            start_response("429 Too Many Requests", [("Content-Type", "text/plain"), *mine])
            return [b"own"]

        return page

    application = RateLimitMiddleware(hello, limits="1/minute", store=MemoryStore(clock=ManualClock()), on_refused=own)
    assert [ask(application, "GET /mine").header("cache-control") for _ in range(2)] == [None, "max-age=1"]
    assert ask(application).header("cache-control") == "no-store"
