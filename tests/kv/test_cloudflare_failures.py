"""
The client of Cloudflare's REST API when the other side is away, late, or says what makes no sense; and what a 429 means.
"""

import asyncio
import contextlib
import json
import socket
import threading

import pytest

from ratekit.kv import Entry, KVError
from ratekit.kv.cloudflare import AsyncCloudflareKV, CallBudget, CloudflareKV
from ratekit.kv.cloudflare_errors import Answer, error_of, retry_after, spent_for
from ratekit.kv.serve import serving
from ratekit.kv.serve_http import Told, application, told_json

ENVELOPE = {"success": True, "errors": [], "messages": []}


@contextlib.contextmanager
def answering(*answers, timeout=30):
    """A client of a server that gives these answers one after another, the last one for ever; and the requests it saw."""
    asked, left = [], list(answers)

    async def handler(request):
        asked.append(request)
        answer = left.pop(0) if len(left) > 1 else left[0]
        return await answer(request) if callable(answer) else answer

    with (
        serving({"api": application(handler)}) as urls,
        CloudflareKV("a", "n", token="t", url=urls["api"], timeout=timeout, budget=CallBudget()) as kv,
    ):
        yield kv, asked


def kind_of(call):
    """What a call raises: its kind and fault."""
    with pytest.raises(KVError) as raised:
        call()
    return raised.value.kind, raised.value.fault


async def never(request):
    await asyncio.sleep(1)
    return Told(200)


def test_no_answer_in_time_is_late_and_nothing_is_sent_twice():
    with answering(never, timeout=0.3) as (kv, asked):
        assert kind_of(lambda: kv.put("k", "v")) == ("late", "late")
    assert len(asked) == 1


def test_no_answer_in_time_is_late_in_an_event_loop_too():
    async def late(url):
        async with AsyncCloudflareKV("a", "n", token="t", url=url, timeout=0.3, budget=CallBudget()) as kv:
            with pytest.raises(KVError) as raised:
                await kv.delete("k")
            return raised.value.kind

    with serving({"api": application(never)}) as urls:
        assert asyncio.run(late(urls["api"])) == "late"


def test_nobody_there_is_away():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with CloudflareKV("a", "n", token="t", url=f"http://127.0.0.1:{port}", budget=CallBudget()) as kv:
        assert kind_of(lambda: kv.get("k")) == ("away", "away")


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"])
def test_an_answer_that_is_cut_is_late_because_the_write_may_have_happened(said):
    def cut(listening):
        connection, _ = listening.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=cut, args=(listening,))
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with CloudflareKV("a", "n", token="t", url=url, timeout=5, budget=CallBudget()) as kv:
            assert kind_of(lambda: kv.put("k", "v")) == ("late", "late")
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        Told(502, b"<html>bad gateway</html>"),
        Told(500, b'{"success": false, "errors": "many"}'),
        Told(302, b"", (("location", "http://127.0.0.1:1/"),)),
        Told(200, b"<html>a captive portal</html>"),
        Told(200, b"[]"),
        told_json({"success": False, "errors": [], "result": {}}),
        told_json({**ENVELOPE, "result": None}),
        told_json({**ENVELOPE, "result": {"values": {"k": 7}}}),
        told_json({**ENVELOPE, "result": {"values": {"k": {"value": 7}}}}),
    ],
    ids=lambda answer: f"{answer.status} {answer.body[:30]!r}",
)
def test_an_answer_that_makes_no_sense_is_the_servers_fault(answer):
    with answering(answer) as (kv, asked):
        assert kind_of(lambda: kv.get_many(["k"])) == ("server", "server")
        assert kind_of(kv.list) == ("server", "server")
    assert len(asked) == 2


@pytest.mark.parametrize("result", [[7], [{"name": 7}], [{}], [None]])
def test_a_list_that_makes_no_sense_is_the_servers_fault(result):
    with answering(told_json({**ENVELOPE, "result": result, "result_info": {"cursor": ""}})) as (kv, _):
        assert kind_of(kv.list) == ("server", "server")


def test_a_404_without_the_code_of_a_missing_key_is_no_missing_key():
    with answering(Told(404, b"not found")) as (kv, _):
        assert kind_of(lambda: kv.get("k")) == ("missing", "server")


def test_a_bulk_write_asks_again_for_what_was_left_out_and_only_for_that():
    def result(*keys):
        return told_json({**ENVELOPE, "result": {"successful_key_count": 1, "unsuccessful_keys": [*keys, "never sent", 7]}})

    with answering(result("b", "c"), result("c"), result()) as (kv, asked):
        kv.put_many({"a": "1", "b": "2", "c": b"\xff"}, expiration_ttl=60, metadata={"c": [1]})
    sent = [json.loads(request.body) for request in asked]
    assert [[pair["key"] for pair in pairs] for pairs in sent] == [["a", "b", "c"], ["b", "c"], ["c"]]
    assert sent[2] == [{"key": "c", "expiration_ttl": 60, "value": "/w==", "base64": True, "metadata": [1]}]


def test_a_429_in_the_middle_of_a_bulk_write_ends_it():
    first = told_json({**ENVELOPE, "result": {"successful_key_count": 1, "unsuccessful_keys": ["b"]}})
    with answering(first, Told(429, b"", (("retry-after", "9"),))) as (kv, asked):
        with pytest.raises(KVError) as refused:
            kv.put_many({"a": "1", "b": "2"})
        assert (refused.value.kind, refused.value.retry_after) == ("budget", 9)
        assert kind_of(lambda: kv.get("k"))[0] == "budget"  # not sent
    assert len(asked) == 2


def test_a_bulk_delete_is_cut_into_calls_of_ten_thousand_keys():
    with answering(told_json({**ENVELOPE, "result": {}})) as (kv, asked):
        kv.delete_many(f"k{i}" for i in range(20_001))
    assert [len(json.loads(request.body)) for request in asked] == [10_000, 10_000, 1]


def test_a_bulk_write_is_cut_into_calls_of_a_hundred_megabytes():
    with answering(told_json({**ENVELOPE, "result": {}})) as (kv, asked):
        kv.put_many({str(i): "v" * 26_000_000 for i in range(4)})
    assert [len(json.loads(request.body)) for request in asked] == [3, 1]
    assert max(len(request.body) for request in asked) <= 100_000_000


def test_a_value_that_is_deleted_between_two_calls_is_none():
    not_text = told_json({"success": False, "errors": [{"code": 10029, "message": "bulk get keys: 'a non-text value'"}]}, 400)
    missing = told_json({"success": False, "errors": [{"code": 10009, "message": "get: 'key not found'"}]}, 404)
    value, about = Told(200, b"\xff", (("expiration", "99"),)), told_json({**ENVELOPE, "result": {"m": 1}})
    with answering(not_text, value, missing) as (kv, _):
        assert kv.get_with_metadata("k") is None
    with answering(not_text, value, about) as (kv, _):
        assert kv.get_with_metadata("k") == Entry(b"\xff", {"m": 1}, 99)


def refused(code, message, *, writes=True, **headers):
    """What a 429 is taken for, and the seconds it says to wait."""
    body = json.dumps({"success": False, "errors": [{"code": code, "message": message}]}).encode()
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    error = error_of(Answer(429, fields, body), "put", writes=writes)
    return error.kind, error.retry_after


def test_three_kinds_of_429_are_told_apart():
    today = "your account has reached the free usage limit for this operation for today"
    date = "Sat, 21 Nov 2026 23:59:00 GMT"
    assert refused(10048, today, date=date) == ("day", 60)
    assert refused(99999, today) == ("day", None)
    assert refused(10000, "KV put() limit exceeded for the day.", retry_after="7") == ("day", 7)
    assert refused(971, "Please wait and consider throttling your request speed") == ("budget", 300)
    assert refused(10429, "Rate limited.", retry_after="120") == ("budget", 120)
    assert refused(10000, "Too Many Requests") == ("write rate", 1)
    assert refused(10000, "Too Many Requests", retry_after="1") == ("write rate", 1)
    assert refused(10000, "Too Many Requests", retry_after="30") == ("budget", 30)
    assert refused(10000, "Too Many Requests", writes=False) == ("budget", 300)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 7 "}, 7),
        ({"retry-after": "Sat, 21 Nov 2026 00:00:09 GMT", "date": "Sat, 21 Nov 2026 00:00:02 GMT"}, 7),
        ({"retry-after": "Sat, 21 Nov 2026 00:00:00 GMT", "date": "Sat, 21 Nov 2026 00:00:02 GMT"}, 0),
        ({"retry-after": "Sat, 21 Nov 2026 00:00:09 GMT"}, None),
        ({"retry-after": "soon", "date": "Sat, 21 Nov 2026 00:00:02 GMT"}, None),
        ({"retry-after": "-7"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "\u0667"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_beside_the_answers_own(headers, seconds):
    assert retry_after(Answer(429, headers, b"")) == seconds


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ('"default";r=0;t=30', 30),
        ('"default";r=50;t=30', 0),
        ('"burst";r=0;t=3, "default";r=50;t=30', 3),
        ('"burst";r=0;t=3, "default";r=0;t=30', 30),
        ("nonsense", 0),
        ("", 0),
    ],
)
def test_the_ratelimit_field_says_when_no_call_is_left(field, seconds):
    assert spent_for(Answer(200, {"ratelimit": field}, b"")) == seconds
