"""
What the WSGI middleware makes of an environ: who is asking, and which path is meant.
"""

import logging

import pytest
from asking import Counted, ask, hello, statuses

from ratekit import Policy
from ratekit.stores import MemoryStore
from ratekit.wsgi import RateLimitMiddleware


def limited(app=hello, **options):
    return RateLimitMiddleware(app, **{"store": MemoryStore()} | options)


def seen(what="GET /", **options):
    """The Request that a policy sees."""
    requests = []
    trusted = options.pop("trusted_proxies", ())
    policy = Policy("looking", "9/minute", key=lambda request: requests.append(request) or "who")
    assert ask(limited(policies=[policy], trusted_proxies=trusted), what, **options).status == 200
    return requests[0]


def test_a_request_has_what_policies_look_at():
    headers = [("X-Api-Key", "ann"), ("Accept-Language", "de")]
    request = seen("POST /login", headers=headers, query="page=2&empty=", CONTENT_TYPE="text/plain", CONTENT_LENGTH="")
    assert (request.method, request.path, request.client) == ("POST", "/login", "192.0.2.1")
    assert dict(request.headers) == {"x-api-key": "ann", "accept-language": "de", "content-type": "text/plain"}
    assert dict(request.query) == {"page": "2", "empty": ""}
    assert request.native["wsgi.url_scheme"] == "http"


@pytest.mark.parametrize(
    ("path", "script", "meant"),
    [
        ("/login", "", "/login"),
        ("/login", "/app", "/login"),
        ("", "/app", "/"),
        ("//login", "", "/login"),
        ("///login", "/app", "/login"),
        ("/a//b", "", "/a//b"),
        ("/a/", "", "/a/"),
        ("/caf\xc3\xa9", "", "/café"),
        ("/caf\xe9", "", "/caf\ufffd"),
        ("/a%2fb", "", "/a%2fb"),
    ],
)
def test_the_path_matched_is_the_path_that_the_application_is_given(path, script, meant):
    given = []

    def app(environ, start_response):
        given.append(environ)
        return hello(environ, start_response)

    policy = Policy("path", "9/minute", match="/*", key=lambda request: request.path)
    application = limited(app, policies=[policy])
    assert ask(application, f"GET {path}", script=script, strict=False).status == 200
    assert seen(f"GET {path}", script=script).path == meant
    assert given[0]["SCRIPT_NAME"] == script
    assert given[0]["PATH_INFO"].encode("latin-1").decode("utf-8", "replace") in (meant, "")


def test_an_asterisk_is_no_path_that_a_policy_would_miss():
    assert statuses(limited(limits="1/minute"), "OPTIONS *", strict=False) == [200, 429, 429]


def test_a_policy_on_a_path_is_not_slipped_past_by_slashes():
    app = Counted()
    application = limited(app, policies=[Policy("login", "1/minute", match="POST /login")])
    assert statuses(application, "POST //login") == [200, 429, 429]
    assert statuses(application, "POST /login") == [429] * 3
    assert app.reached == 1


def test_forwarded_addresses_are_believed_of_named_proxies_only():
    forwarded = [("X-Forwarded-For", "198.51.100.7, 203.0.113.9")]
    assert seen(headers=forwarded).client == "192.0.2.1"
    assert seen(headers=forwarded, trusted_proxies=["192.0.2.0/24"]).client == "203.0.113.9"
    assert seen(headers=forwarded, trusted_proxies=["192.0.2.0/24", "203.0.113.9"]).client == "198.51.100.7"
    assert seen(headers=[("X-Forwarded-For", "rubbish")], trusted_proxies=["192.0.2.0/24"]).client == "192.0.2.1"


@pytest.mark.parametrize("client", [None, ""])
def test_without_an_address_the_answer_is_500_and_one_line_says_what_to_do(client, caplog):
    application = limited(limits="9/minute")
    assert statuses(application, client=client) == [500, 500, 500]
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "trusted_proxies" in errors[0]


@pytest.mark.parametrize("client", [None, ""])
def test_a_proxy_on_a_unix_socket_is_believed_when_it_is_named(client):
    application = limited(limits="1/minute", trusted_proxies=["unix"])
    for address in ("198.51.100.7", "198.51.100.8"):
        assert statuses(application, times=2, client=client, headers=[("X-Forwarded-For", address)]) == [200, 429]


def test_a_header_is_a_key_and_its_absence_is_what_missing_says():
    application = limited(policies=[Policy("keyed", "1/minute", key="header:x-api-key", missing="refuse")])
    assert [ask(application, headers=[("X-Api-Key", who)]).status for who in ("ann", "ann", "bob")] == [200, 429, 200]
    nobody = ask(application)
    assert (nobody.status, nobody.started[0][0]) == (401, "401 Unauthorized")
    assert nobody.header("www-authenticate") == 'ApiKey header="x-api-key"'


def test_ipv6_clients_are_counted_by_their_network():
    application = limited(limits="1/minute")
    clients = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "::ffff:192.0.2.9", "192.0.2.9"]
    assert [ask(application, client=client).status for client in clients] == [200, 429, 200, 200, 429]


def test_a_preflight_is_free():
    preflight = [("Origin", "https://example.org"), ("Access-Control-Request-Method", "POST")]
    application = limited(limits="1/minute")
    assert statuses(application, "OPTIONS /", headers=preflight) == [200] * 3
    assert ask(application).header("ratelimit") == '"default";r=0;t=60'
