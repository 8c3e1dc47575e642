"""
The REST server of these tests does what Upstash's documentation says of the real one.
"""

from base64 import b64encode

import httpx
import pytest
import servers
from upstash.running import replica_of, upstash


@pytest.fixture
def rest(redis_url, upstash_server):
    """A plain HTTP client with the token for everything."""
    with httpx.Client(base_url=upstash_server.address, headers={"Authorization": f"Bearer {upstash_server.token}"}) as client:
        yield client


def test_a_command_is_a_path_or_a_json_array(rest):
    assert rest.get("/set/foo/bar").json() == {"result": "OK"}
    assert rest.post("/", json=["GET", "foo"]).json() == {"result": "bar"}
    assert rest.post("/", json=["SET", "n", 5, "EX", 100]).json() == {"result": "OK"}
    assert rest.get("/ttl/n").json()["result"] in (99, 100)
    assert rest.get("/mget/foo/none/n").json() == {"result": ["bar", None, "5"]}
    assert rest.post("/incr/n").json() == {"result": 6}


def test_a_body_is_the_last_argument_but_for_what_the_query_adds(rest):
    assert rest.post("/set/foo?EX=100", content=b'{"a": "/b"}').json() == {"result": "OK"}
    assert rest.get("/get/foo").json() == {"result": '{"a": "/b"}'}
    assert rest.get("/ttl/foo").json()["result"] in (99, 100)
    assert rest.get("/set/a%2Fb%20c/%E2%82%AC").json() == {"result": "OK"}
    assert rest.post("/", json=["GET", "a/b c"]).json() == {"result": "€"}


@pytest.mark.parametrize("path", ["/", "/pipeline", "/multi-exec", "/get/foo"])
def test_nobody_gets_in_without_the_token(redis_url, upstash_server, path):
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {upstash_server.token}"}):
        answer = httpx.post(upstash_server.address + path, headers=headers, json=[["GET", "foo"]])
        assert (answer.status_code, answer.json()) == (401, {"error": "WRONGPASS invalid or missing auth token"})


def test_a_token_may_stand_in_the_query(redis_url, upstash_server):
    words = upstash_server.address, upstash_server.token
    assert httpx.get("{}/set/foo/bar?_token={}".format(*words)).json() == {"result": "OK"}
    assert httpx.get("{}/get/foo?_token={}".format(*words)).json() == {"result": "bar"}
    assert httpx.get("{}/get/foo?_token=wrong".format(*words)).status_code == 401


def test_a_token_that_only_reads_only_reads(redis_url, upstash_server):
    headers = {"Authorization": f"Bearer {upstash_server.app.read_only}"}
    assert httpx.get(f"{upstash_server.address}/get/foo", headers=headers).json() == {"result": None}
    for words in (["SET", "foo", "bar"], ["EVAL", "return 1", 0], ["KEYS", "*"]):
        answer = httpx.post(upstash_server.address, headers=headers, json=words)
        assert (answer.status_code, answer.json()["error"][:7]) == (400, "NOPERM ")
    assert httpx.post(upstash_server.address, headers=headers, json=["EVAL_RO", "return 1", 0]).json() == {"result": 1}


def test_other_methods_are_not_allowed(rest):
    assert [rest.request(method, "/get/foo").status_code for method in ("GET", "POST", "PUT", "HEAD", "DELETE", "PATCH")] == [
        *(200, 200, 200, 200),
        *(405, 405),
    ]


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"nonsense", b'["GET", ["foo"]]', b'["GET", null]'])
@pytest.mark.parametrize("path", ["/", "/pipeline", "/multi-exec"])
def test_what_is_no_command_is_a_bad_request(rest, path, content):
    answer = rest.post(path, content=content)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("ERR failed to parse")


def test_the_servers_own_errors_come_with_their_whole_text(rest):
    answers = [rest.post("/", json=words) for words in (["GET"], ["EVALSHA", "0" * 40, 0], ["BLPOP", "list", 1], ["NONSENSE"])]
    assert [answer.status_code for answer in answers] == [400] * 4
    arguments, script, blocking = [answer.json()["error"] for answer in answers[:3]]
    assert arguments == "ERR wrong number of arguments for 'get' command"
    assert script.startswith("NOSCRIPT No matching script.")  # Redis says more, Valkey does not
    assert blocking == "ERR Command is not available: 'BLPOP'"


COMMANDS = [["SET", "key", "valuex"], ["SETEX", "other", 13, "z"], ["INCR", "key"], ["ZADD", "set", 11, "one", 22, "two"]]


@pytest.mark.parametrize("path", ["/pipeline", "/multi-exec"])
def test_a_command_that_fails_leaves_the_others_of_its_request_alone(rest, path):
    answer = rest.post(path, json=COMMANDS)
    assert answer.status_code == 200
    error = {"error": "ERR value is not an integer or out of range"}
    assert answer.json() == [{"result": "OK"}, {"result": "OK"}, error, {"result": 2}]


def test_a_transaction_that_cannot_be_is_discarded_as_a_whole(rest, redis_client):
    for wrong in (["SET"], ["SUBSCRIBE", "channel"], ["NONSENSE"]):
        answer = rest.post("/multi-exec", json=[["SET", "foo", "bar"], wrong])
        assert (answer.status_code, answer.json()["error"][:9]) == (400, "EXECABORT")
    assert redis_client.get("foo") is None
    assert rest.post("/pipeline", json=[["SET", "foo", "bar"], ["SUBSCRIBE", "channel"]]).json()[0] == {"result": "OK"}


def test_every_string_but_ok_is_base64_where_that_is_asked_for(rest):
    rest.headers["Upstash-Encoding"] = "base64"
    raw = bytes(range(256))
    assert rest.post("/set/raw", content=raw).json() == {"result": "OK"}
    assert rest.get("/get/raw").json() == {"result": b64encode(raw).decode()}
    script = "return {'a', {1, 'b'}, false}"
    nested = ["YQ==", [1, "Yg=="], None]
    assert rest.post("/", json=["EVAL", script, 0]).json() == {"result": nested}
    assert rest.post("/pipeline", json=[["EVAL", script, 0], ["GET"]]).json() == [
        {"result": nested},
        {"error": "ERR wrong number of arguments for 'get' command"},
    ]
    assert rest.post("/multi-exec", json=[["EVAL", script, 0]]).json() == [{"result": nested}]


def test_without_base64_what_is_no_text_is_replaced(rest):
    rest.post("/set/raw", content=b"a\xff")
    assert rest.get("/get/raw").json() == {"result": "a�"}


def test_every_answer_says_how_far_the_database_has_come(rest):
    tokens = [rest.post("/incr/n").headers["upstash-sync-token"] for _ in range(3)]
    tokens += [rest.post("/pipeline", json=[["INCR", "n"]]).headers["upstash-sync-token"]]
    tokens += [rest.post("/multi-exec", json=[["INCR", "n"]]).headers["upstash-sync-token"]]
    assert all(tokens)
    assert "upstash-sync-token" in rest.post("/", json=["GET"]).headers
    assert "upstash-sync-token" in httpx.get(str(rest.base_url)).headers


def test_a_replica_that_lags_answers_at_once_but_not_before_it_has_seen_what_a_token_says():
    with servers.RedisServer() as primary, replica_of(primary) as (replica, link), upstash(primary, [replica]) as server:
        headers = {"Authorization": f"Bearer {server.token}"}
        first = httpx.get(f"{server.address}/set/foo/old", headers=headers).headers["upstash-sync-token"]
        assert httpx.get(f"{server.address}/get/foo", headers={**headers, "upstash-sync-token": first}).json() == {"result": "old"}
        link.hold()
        token = httpx.get(f"{server.address}/set/foo/new", headers=headers).headers["upstash-sync-token"]
        assert token != first
        assert httpx.get(f"{server.address}/get/foo", headers=headers).json() == {"result": "old"}
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{server.address}/get/foo", headers={**headers, "upstash-sync-token": token}, timeout=0.3)
        link.let_go()
        answer = httpx.get(f"{server.address}/get/foo", headers={**headers, "upstash-sync-token": token})
        assert answer.json() == {"result": "new"}
        # A pipeline that writes is the primary's, whatever else it does.
        link.hold()
        assert httpx.post(f"{server.address}/pipeline", headers=headers, json=[["INCR", "n"], ["GET", "n"]]).json()[1] == {
            "result": "1"
        }
        assert httpx.post(f"{server.address}/pipeline", headers=headers, json=[["GET", "n"]]).json() == [{"result": None}]
