"""
The wire protocol behind a KV binding: the simulator on a port per location, asked as workerd asks. That workerd itself is content
is shown by tests/edge/test_workerd.py.
"""

from urllib.parse import quote

import httpx
import pytest

from ratekit.kv.serve import serving
from ratekit.kv.serve_binding import binding
from ratekit.kv.simulator import World


@pytest.fixture
def world(clock):
    return World(seed=1, clock=clock)


@pytest.fixture
def served(world):
    """Clients of one namespace at two locations."""
    apps = {location: binding(world.async_namespace("ns", location)) for location in ("IAD", "FRA")}
    with serving(apps) as urls, httpx.Client(base_url=urls["IAD"]) as here, httpx.Client(base_url=urls["FRA"]) as there:
        yield here, there


def url(key):
    return f"/{quote(key, safe='')}?urlencoded=true"


def test_a_value_is_read_as_it_was_written_with_its_metadata(served):
    here, _ = served
    put = here.put(url("k"), content=b"\x00\xffv", headers={"CF-KV-Metadata": '{"name": "é"}'.encode()})
    got = here.get(url("k"))
    assert (put.status_code, got.content, got.headers["cf-kv-metadata"]) == (204, b"\x00\xffv", '{"name": "\\u00e9"}')
    assert got.headers["cf-cache-status"] in {"HIT", "MISS"}


def test_the_second_write_of_a_key_within_a_second_is_answered_with_429_too_many_requests(served, clock):
    here, there = served
    assert here.put(url("k"), content=b"1").status_code == 204
    refused = there.put(url("k"), content=b"2")
    assert (refused.status_code, refused.reason_phrase) == (429, "Too Many Requests")
    clock.advance(1)
    assert there.put(url("k"), content=b"2").status_code == 204


def test_a_location_that_has_read_a_key_does_not_see_a_write_elsewhere_until_its_copy_is_too_old(served, clock):
    here, there = served
    here.put(url("k"), content=b"old")
    clock.advance(1)
    assert there.get(url("k")).content == b"old"
    clock.advance(2)
    here.put(url("k"), content=b"new")
    assert (here.get(url("k")).content, there.get(url("k")).content) == (b"new", b"old")
    clock.advance(60)
    assert there.get(url("k")).content == b"new"


def test_cache_ttl_says_how_old_a_copy_may_be(served, clock):
    here, there = served
    here.put(url("k"), content=b"old")
    clock.advance(1)
    there.get(url("k"))
    clock.advance(31)
    here.put(url("k"), content=b"new")
    clock.advance(1)
    assert there.get(url("k")).content == b"old"
    assert there.get(f"{url('k')}&cache_ttl=30").content == b"new"
    refused = there.get(f"{url('k')}&cache_ttl=29")
    assert (refused.status_code, refused.reason_phrase) == (400, "Invalid cache_ttl of 29. Cache TTL must be at least 30.")


def test_a_missing_and_a_deleted_key_are_404(served, clock):
    here, _ = served
    assert here.get(url("none")).status_code == 404
    here.put(url("k"), content=b"v")
    clock.advance(1)
    assert here.delete(url("k")).status_code == 204
    assert here.get(url("k")).status_code == 404


def test_a_key_expires_when_it_was_said_to(served, clock):
    here, _ = served
    here.put(f"{url('k')}&expiration_ttl=60", content=b"v")
    clock.advance(59)
    assert here.get(url("k")).content == b"v"
    clock.advance(1)
    assert here.get(url("k")).status_code == 404


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("&expiration_ttl=59", 400, "Invalid expiration_ttl of 59. Expiration TTL must be at least 60."),
        ("&expiration_ttl=x", 400, "Invalid expiration_ttl of x. Please specify an integer."),
    ],
)
def test_the_status_line_says_why_a_write_is_refused(served, query, status, reason):
    here, _ = served
    refused = here.put(url("k") + query, content=b"v")
    assert (refused.status_code, refused.reason_phrase) == (status, reason)


def test_nobody_can_write_a_line_of_their_own_into_the_answer(served):
    here, _ = served
    refused = here.put(f"{url('k')}&expiration_ttl=1%0D%0Aevil:%201", content=b"v")
    assert refused.status_code == 400
    assert "evil" not in refused.headers


def test_too_much_metadata_and_too_long_a_key_are_refused_as_the_real_thing_does(served):
    here, _ = served
    metadata = here.put(url("k"), content=b"v", headers={"CF-KV-Metadata": '"' + "m" * 1023 + '"'})
    key = here.put(url("k" * 513), content=b"v")
    assert (metadata.status_code, metadata.reason_phrase) == (413, "Metadata length of 1025 exceeds limit of 1024.")
    assert (key.status_code, key.reason_phrase) == (414, "UTF-8 encoded length of 513 exceeds key length limit of 512.")


def test_a_list_has_pages_and_metadata_as_json_within_json(served, clock):
    here, _ = served
    for name in ("a/1", "a/2", "a/3", "b"):
        here.put(url(name), content=b"v", headers={"CF-KV-Metadata": "[1]"})
    clock.advance(1)
    first = here.get("/?prefix=a%2F&key_count_limit=2").json()
    assert first["keys"] == [{"name": "a/1", "metadata": "[1]"}, {"name": "a/2", "metadata": "[1]"}]
    assert first["list_complete"] is False
    second = here.get("/", params={"prefix": "a/", "cursor": first["cursor"]}).json()
    assert second == {"keys": [{"name": "a/3", "metadata": "[1]"}], "list_complete": True}


def test_a_bulk_read_says_null_for_what_is_missing_with_metadata_or_without(served):
    here, _ = served
    here.put(url("k"), content=b'{"n": 1}', headers={"CF-KV-Metadata": "7"})
    ask = {"keys": ["k", "none"], "cacheTtl": "30"}
    assert here.post("/bulk/get", json=ask).json() == {"k": '{"n": 1}', "none": None}
    asked = here.post("/bulk/get", json={**ask, "type": "json", "withMetadata": True}).json()
    assert asked == {"k": {"value": {"n": 1}, "metadata": 7}, "none": None}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"keys": []}, "You must request a minimum of 1 key"),
        ({"keys": ["k"] * 101}, "You can request a maximum of 100 keys"),
        ({"keys": ["k"], "type": "arrayBuffer"}, '"arrayBuffer" is not a valid type. Use "json" or "text"'),
        ({"keys": ["k"], "type": "json"}, "At least one of the requested keys corresponds to a non-JSON value"),
        ({"keys": "k"}, "keys must be a list"),
        ([], "Request body must be a JSON object"),
    ],
)
def test_a_bulk_read_that_cannot_be_says_so(served, body, reason):
    here, _ = served
    here.put(url("k"), content=b"no json")
    refused = here.post("/bulk/get", json=body)
    assert (refused.status_code, refused.reason_phrase) == (400, reason)


def test_the_day_is_over_when_the_free_plan_has_had_its_writes(clock):
    world = World(clock=clock, plan="free")
    with serving({"IAD": binding(world.async_namespace("ns"))}) as urls, httpx.Client(base_url=urls["IAD"]) as here:
        for i in range(1_000):
            assert here.put(url(f"k{i}"), content=b"").status_code == 204
        refused = here.put(url("k"), content=b"")
    assert (refused.status_code, refused.reason_phrase) == (429, "KV put() limit exceeded for the day.")


def test_a_slash_and_a_percent_sign_are_letters_of_a_key(served, clock):
    here, _ = served
    here.put(url("a/../b%2F é"), content=b"v")
    clock.advance(1)
    assert here.get("/").json()["keys"] == [{"name": "a/../b%2F é"}]
    assert here.get(url("a/../b%2F é")).content == b"v"


def test_other_methods_and_paths_are_not_answered(served):
    here, _ = served
    assert (here.patch("/k").status_code, here.get("/a/b").status_code) == (405, 405)
