"""
The REST API v4 as the simulator serves it: envelope, error codes, who may call, and what each call does. That Cloudflare's own SDK
is content is shown by tests/edge/test_cloudflare_sdk.py.
"""

import base64
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratekit.kv.serve import serving
from ratekit.kv.serve_account import Account
from ratekit.kv.serve_form import parts_of
from ratekit.kv.serve_rest import rest
from ratekit.kv.simulator import World

NS = "/storage/kv/namespaces"


@pytest.fixture
def world(clock):
    return World(seed=1, clock=clock)


@pytest.fixture
def account(world, clock):
    tokens = {"writer": "write", "reader": "read", "me@example.com key": "write"}
    return Account(lambda name: world.async_namespace(name, "API"), tokens=tokens, clock=clock, calls=30)


@pytest.fixture
def api(account):
    """A client of the account's part of the API."""
    with (
        serving({"api": rest(account)}) as urls,
        httpx.Client(
            base_url=f"{urls['api']}/client/v4/accounts/{account.id}", headers={"authorization": "Bearer writer"}
        ) as client,
    ):
        yield client


@pytest.fixture
def ns(account):
    """The path of a namespace."""
    return f"{NS}/{account.create('counters').id}"


def value(ns, key):
    return f"{ns}/values/{quote(key, safe='')}"


def error(response):
    """Status, code and message of an answer that is an error."""
    body = response.json()
    assert (body["success"], body["result"], body["messages"], len(body["errors"])) == (False, None, [], 1)
    return response.status_code, body["errors"][0]["code"], body["errors"][0]["message"]


def test_namespaces_are_created_listed_renamed_and_removed(api):
    first = api.post(NS, json={"title": "first"}).json()
    assert (first["success"], first["errors"], first["messages"]) == (True, [], [])
    made = first["result"]
    assert (made["title"], made["supports_url_encoding"], len(made["id"])) == ("first", True, 32)
    assert api.put(f"{NS}/{made['id']}", json={"title": "renamed"}).json()["result"]["title"] == "renamed"
    assert api.get(f"{NS}/{made['id']}").json()["result"]["title"] == "renamed"
    assert api.delete(f"{NS}/{made['id']}").json()["result"] == {}
    assert error(api.get(f"{NS}/{made['id']}")) == (404, 10013, "get namespace: 'namespace not found'")


def test_namespaces_are_listed_in_pages_and_the_last_one_is_empty(api):
    for title in "bca":
        api.post(NS, json={"title": title})
    first = api.get(NS, params={"per_page": 2, "order": "title"}).json()
    assert [one["title"] for one in first["result"]] == ["a", "b"]
    assert first["result_info"] == {"page": 1, "per_page": 2, "count": 2, "total_count": 3}
    assert api.get(NS, params={"per_page": 2, "page": 3}).json()["result"] == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"title": "taken"}, (400, 10014, "create namespace: 'a namespace with this account ID and title already exists'")),
        ({"title": ""}, (400, 10019, "create namespace: 'namespace title must not be empty'")),
        ([], (400, 10019, "create namespace: 'namespace title must not be empty'")),
    ],
)
def test_a_namespace_needs_a_title_of_its_own(api, body, says):
    api.post(NS, json={"title": "taken"})
    assert error(api.post(NS, json=body)) == says


def test_a_value_is_read_as_the_bytes_that_were_written(api, ns, clock):
    written = api.put(value(ns, "a/ké %"), content=b"\x00\xff", params={"expiration_ttl": 60})
    assert (written.status_code, written.json()) == (200, {"success": True, "errors": [], "messages": [], "result": {}})
    read = api.get(value(ns, "a/ké %"))
    assert (read.content, read.headers["expiration"]) == (b"\x00\xff", str(clock() // 1_000_000 + 60))
    clock.advance(60)
    assert error(api.get(value(ns, "a/ké %"))) == (404, 10009, "get: 'key not found'")


def test_a_form_brings_metadata(api, ns):
    api.put(value(ns, "k"), files={"value": (None, b"\r\n--v\r\n"), "metadata": (None, b'{"n": 1}')})
    assert api.get(value(ns, "k")).content == b"\r\n--v\r\n"
    assert api.get(f"{ns}/metadata/k").json()["result"] == {"n": 1}
    bad = api.put(value(ns, "j"), files={"value": (None, b"v"), "metadata": (None, b"{")})
    assert error(bad) == (400, 10001, "put: 'metadata must be valid json'")
    assert error(api.put(value(ns, "j"), files={"values": (None, b"v")}))[:2] == (400, 10001)


@given(parts=st.dictionaries(st.text("abc", min_size=1), st.binary(), max_size=3))
def test_a_form_is_read_back_whatever_bytes_it_holds(parts):
    request = httpx.Request(
        "PUT", "http://x/", files={name: (None, content) for name, content in parts.items()} or {"a": (None, b"")}
    )
    boundary = request.headers["content-type"].partition("boundary=")[2]
    assert parts_of(request.read(), boundary) == (parts or {"a": b""})


def test_keys_are_listed_in_pages_until_the_cursor_is_empty(api, ns, clock):
    pairs = [{"key": f"k{i:02}", "value": "v", "metadata": i} for i in range(12)]
    api.put(f"{ns}/bulk", json=pairs)
    clock.advance(1)
    first = api.get(f"{ns}/keys", params={"limit": 10}).json()
    assert first["result"][0] == {"name": "k00", "metadata": 0}
    assert first["result_info"]["count"] == 10
    rest = api.get(f"{ns}/keys", params={"limit": 10, "cursor": first["result_info"]["cursor"]}).json()
    assert ([one["name"] for one in rest["result"]], rest["result_info"]) == (["k10", "k11"], {"count": 2, "cursor": ""})
    assert error(api.get(f"{ns}/keys", params={"limit": 9}))[:2] == (400, 10001)


def test_a_bulk_write_is_checked_whole_before_any_of_it_is_written(api, ns, clock):
    pairs = [{"key": "good", "value": "v"}, {"key": "bad", "value": "v", "expiration_ttl": 59}]
    status, code, message = error(api.put(f"{ns}/bulk", json=pairs))
    assert (status, code) == (400, 10001)
    assert message == "1: KV PUT failed: 400 Invalid expiration_ttl of 59. Expiration TTL must be at least 60."
    clock.advance(1)
    assert api.get(f"{ns}/keys").json()["result"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"key": "k", "value": "v"},
        ["k"],
        [{"value": "v"}],
        [{"key": "k"}],
        [{"key": 1, "value": "v"}],
        [{"key": "..", "value": "v"}],
        [{"key": "k", "value": "no base64", "base64": True}],
        [{"key": "k", "value": "v", "expiration": "soon"}],
        [{"key": "k", "value": "v"}] * 10_001,
    ],
    ids=lambda body: str(body)[:40],
)
def test_a_bulk_write_that_makes_no_sense_is_refused(api, ns, body):
    assert error(api.put(f"{ns}/bulk", json=body))[:2] == (400, 10001)


def test_a_bulk_write_names_the_keys_that_were_written_a_moment_ago(api, ns):
    api.put(value(ns, "hot"), content=b"1")
    pairs = [{"key": "hot", "value": "2"}, {"key": "cold", "value": base64.b64encode(b"\xff").decode(), "base64": True}]
    assert api.put(f"{ns}/bulk", json=pairs).json()["result"] == {"successful_key_count": 1, "unsuccessful_keys": ["hot"]}
    assert (api.get(value(ns, "hot")).content, api.get(value(ns, "cold")).content) == (b"1", b"\xff")


@pytest.mark.parametrize(("method", "below"), [("POST", "bulk/delete"), ("DELETE", "bulk")])
def test_keys_are_deleted_in_bulk(api, ns, clock, method, below):
    api.put(f"{ns}/bulk", json=[{"key": key, "value": "v"} for key in "abc"])
    clock.advance(1)
    done = api.request(method, f"{ns}/{below}", json=["a", "b", "none"]).json()["result"]
    assert done == {"successful_key_count": 3, "unsuccessful_keys": []}
    clock.advance(60)
    assert [one["name"] for one in api.get(f"{ns}/keys").json()["result"]] == ["c"]


def test_a_bulk_read_is_of_text_and_tells_what_is_known_when_asked(api, ns, clock):
    expires = clock() // 1_000_000 + 60
    api.put(f"{ns}/bulk", json=[{"key": "k", "value": "[1]", "expiration": expires, "metadata": {"m": 1}}])
    api.put(value(ns, "binary"), content=b"\xff")
    get = f"{ns}/bulk/get"
    assert api.post(get, json={"keys": ["k", "none"]}).json()["result"] == {"values": {"k": "[1]", "none": None}}
    whole = api.post(get, json={"keys": ["k", "none"], "type": "json", "withMetadata": True}).json()["result"]["values"]
    assert whole == {"k": {"value": [1], "metadata": {"m": 1}, "expiration": expires}, "none": None}
    says = "bulk get keys: 'At least one of the requested keys corresponds to a non-text value'"
    assert error(api.post(get, json={"keys": ["binary"]})) == (400, 10029, says)
    too_many = error(api.post(get, json={"keys": ["k"] * 101}))
    assert too_many == (400, 10029, "bulk get keys: 'You can request a maximum of 100 keys'")
    assert error(api.post(get, json={"keys": "k"}))[:2] == (400, 10001)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": "Bearer writer"}, 200),
        ({"authorization": "", "x-auth-email": "me@example.com", "x-auth-key": "key"}, 200),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Basic writer"}, 401),
        ({"authorization": ""}, 401),
    ],
)
def test_only_who_has_a_token_gets_in(api, headers, status):
    answer = api.get(NS, headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert error(answer) == (401, 10000, "Authentication error")


def test_a_token_that_may_read_may_not_write(api, ns):
    reader = {"authorization": "Bearer reader"}
    api.put(value(ns, "k"), content=b"v")
    assert api.get(value(ns, "k"), headers=reader).content == b"v"
    assert api.post(f"{ns}/bulk/get", json={"keys": ["k"]}, headers=reader).status_code == 200
    refused = (
        api.put(value(ns, "k"), content=b"w", headers=reader),
        api.delete(value(ns, "k"), headers=reader),
        api.post(f"{ns}/bulk/delete", json=["k"], headers=reader),
        api.delete(ns, headers=reader),
        api.post(NS, json={"title": "t"}, headers=reader),
    )
    assert {error(answer) for answer in refused} == {(403, 10000, "Authentication error")}


def test_unknown_places_are_not_found(api, ns, account):
    root = str(api.base_url).removesuffix(f"{account.id}/")
    assert error(api.get(f"{root}other{NS}"))[:2] == (404, 7003)
    assert error(api.get("/storage/kv"))[:2] == (404, 7000)
    assert error(api.get(f"{ns}/nothing"))[:2] == (404, 7000)
    assert error(api.get(f"{NS}/unknown/keys")) == (404, 10013, "list keys: 'namespace not found'")
    assert error(api.put(f"{NS}/unknown/values/k")) == (404, 10013, "put: 'namespace not found'")


def test_one_call_too_many_and_all_are_refused_for_five_minutes(api, clock):
    for left in range(29, -1, -1):
        answer = api.get(NS)
        assert (answer.status_code, answer.headers["ratelimit"]) == (200, f'"default";r={left};t=300')
    assert answer.headers["ratelimit-policy"] == '"default";q=30;w=300'
    clock.advance(100)
    refused = api.get(NS)
    assert error(refused) == (429, 971, "Please wait and consider throttling your request speed")
    assert refused.headers["retry-after"] == "300"
    clock.advance(299.5)
    assert api.get(NS).headers["retry-after"] == "1"
    clock.advance(0.5)
    assert api.get(NS).status_code == 200


def test_another_token_has_calls_of_its_own(api):
    for _ in range(31):
        api.get(NS)
    assert api.get(NS).status_code == 429
    assert api.get(NS, headers={"authorization": "Bearer reader"}).status_code == 200


def test_a_key_that_was_written_a_moment_ago_is_429_with_a_second_to_wait(api, ns, clock):
    api.put(value(ns, "k"), content=b"1")
    refused = api.put(value(ns, "k"), content=b"2")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    clock.advance(1)
    assert api.put(value(ns, "k"), content=b"2").status_code == 200


def test_the_free_plans_day_ends_with_a_code_of_its_own(clock):
    world = World(clock=clock, plan="free")
    account = Account(lambda name: world.async_namespace(name, "API"), tokens={"writer": "write"}, clock=clock)
    bulk = f"{NS}/{account.create('counters').id}/bulk"
    headers = {"authorization": "Bearer writer"}
    with serving({"api": rest(account)}) as urls, httpx.Client(headers=headers) as client:
        base = f"{urls['api']}/client/v4/accounts/{account.id}"
        first = client.put(base + bulk, json=[{"key": f"k{i}", "value": ""} for i in range(1_001)])
        second = client.put(base + bulk, json=[{"key": "k", "value": ""}])
    assert first.json()["result"] == {"successful_key_count": 1_000, "unsuccessful_keys": ["k1000"]}
    assert error(second) == (429, 10048, "your account has reached the free usage limit for this operation for today")
