"""
What one call may ask for: every limit at its last allowed and its first refused value, with the real thing's status and message.
"""

import pytest

from ratekit.kv import KVError
from ratekit.kv.simulator import World
from ratekit.testing import ManualClock

START = 1_800_000_000
"""Unix seconds."""


@pytest.fixture
def world():
    return World(clock=ManualClock(START * 1_000_000))


@pytest.fixture
def namespace(world):
    return world.namespace("limits")


def refused(call, status, message):
    with pytest.raises(KVError) as caught:
        call()
    assert (caught.value.status, caught.value.kind, str(caught.value)) == (status, "argument", message)


@pytest.mark.parametrize("key", ["a", "ü/ x:?#%", "...", "k" * 512, "€" * 170 + "kk", "\U0001f511" * 128, "\0"])
def test_keys_of_up_to_512_bytes_are_kept_as_they_are(world, namespace, key):
    namespace.put(key, b"value")
    assert namespace.get(key) == b"value"
    assert namespace.get_many([key]) == {key: b"value"}
    world.clock.advance(1)
    assert [found.name for found in namespace.list().keys] == [key]


@pytest.mark.parametrize(
    ("key", "status", "message"),
    [
        ("", 400, "Key name cannot be empty."),
        (".", 400, '"." is not allowed as a key name.'),
        ("..", 400, '".." is not allowed as a key name.'),
        ("k" * 513, 414, "KV {} failed: 414 UTF-8 encoded length of 513 exceeds key length limit of 512."),
        ("€" * 171, 414, "KV {} failed: 414 UTF-8 encoded length of 513 exceeds key length limit of 512."),
        ("\U0001f511" * 128 + "k", 414, "KV {} failed: 414 UTF-8 encoded length of 513 exceeds key length limit of 512."),
        ("\ud800", 400, "KV {} failed: 400 a key is text that UTF-8 can say; this one has half a surrogate pair"),
        (b"bytes", 400, "KV {} failed: 400 a key is text, not bytes"),
    ],
)
def test_what_is_no_key_is_refused_by_every_operation(namespace, key, status, message):
    refused(lambda: namespace.put(key, b""), status, message.format("PUT"))
    refused(lambda: namespace.get(key), status, message.format("GET"))
    refused(lambda: namespace.get_with_metadata(key), status, message.format("GET"))
    refused(lambda: namespace.delete(key), status, message.format("DELETE"))
    refused(lambda: namespace.get_many(["good", key]), status, message.format("GET_BULK"))


def test_a_value_may_have_25_mib(namespace):
    namespace.put("large", b"v" * 26_214_400)
    assert len(namespace.get("large")) == 26_214_400
    message = "KV PUT failed: 413 Value length of 26214401 exceeds limit of 26214400."
    refused(lambda: namespace.put("larger", b"v" * 26_214_401), 413, message)
    refused(lambda: namespace.put("larger", "€" * 8_738_133 + "vv"), 413, message)
    assert namespace.get("larger") is None


def test_a_value_is_bytes_or_text(namespace):
    namespace.put("text", "é")
    namespace.put("empty", b"")
    assert namespace.get("text") == "é".encode()
    assert namespace.get("empty") == b""
    refused(lambda: namespace.put("number", 1), 400, "KV PUT failed: 400 a value is bytes or text, not int")
    message = "KV PUT failed: 400 a text value is what UTF-8 can say; this one has half a surrogate pair"
    refused(lambda: namespace.put("half", "\ud800"), 400, message)


def test_metadata_may_have_1024_bytes_as_json(namespace):
    namespace.put("most", b"", metadata="m" * 1022)
    message = "KV PUT failed: 413 Metadata length of 1025 exceeds limit of 1024."
    refused(lambda: namespace.put("more", b"", metadata="m" * 1023), 413, message)
    refused(lambda: namespace.put("more", b"", metadata="€" * 341), 413, message)
    with pytest.raises(KVError, match="Metadata must be serialisable as JSON"):
        namespace.put("no json", b"", metadata={1, 2})
    with pytest.raises(KVError, match="Metadata must be serialisable as JSON"):
        namespace.put("no json", b"", metadata=float("nan"))


def test_metadata_comes_back_as_json_does_and_is_the_readers_own(world, namespace):
    namespace.put("key", b"v", metadata={"a": [1, None, "é"], "b": (1.5, True)})
    entry = namespace.get_with_metadata("key")
    assert (entry.value, entry.metadata) == (b"v", {"a": [1, None, "é"], "b": [1.5, True]})
    entry.metadata["a"].append("mine")
    world.clock.advance(1)
    namespace.list().keys[0].metadata["a"].append("mine")
    assert namespace.get_with_metadata("key").metadata["a"] == [1, None, "é"]
    assert namespace.list().keys[0].metadata["a"] == [1, None, "é"]


@pytest.mark.parametrize(
    ("ttl", "why"),
    [
        (59, "Invalid expiration_ttl of 59. Expiration TTL must be at least 60."),
        (0, "Invalid expiration_ttl of 0. Please specify integer greater than 0."),
        (-5, "Invalid expiration_ttl of -5. Please specify integer greater than 0."),
        (60.5, "Invalid expiration_ttl of 60.5. Please specify integer greater than 0."),
    ],
)
def test_nothing_lives_for_less_than_a_minute(namespace, ttl, why):
    refused(lambda: namespace.put("key", b"", expiration_ttl=ttl), 400, f"KV PUT failed: 400 {why}")
    namespace.put("key", b"", expiration_ttl=60)
    assert namespace.get_with_metadata("key").expiration == START + 60


def test_an_expiration_is_a_minute_away_at_least_and_the_time_to_live_wins(namespace):
    text = f"Invalid expiration of {START + 59}. Expiration times must be at least 60 seconds in the future."
    refused(lambda: namespace.put("key", b"", expiration=START + 59), 400, f"KV PUT failed: 400 {text}")
    text = f"Invalid expiration of {START}. Please specify integer greater than the current number of seconds since the UNIX epoch."
    refused(lambda: namespace.put("key", b"", expiration=START), 400, f"KV PUT failed: 400 {text}")
    namespace.put("key", b"", expiration=START + 60)
    namespace.put("both", b"", expiration=1, expiration_ttl=90)
    assert namespace.get_with_metadata("key").expiration == START + 60
    assert namespace.get_with_metadata("both").expiration == START + 90


@pytest.mark.parametrize("cache_ttl", [29, 0, -1, 30.0, True])
def test_no_answer_can_be_asked_to_be_younger_than_30_seconds(namespace, cache_ttl):
    why = f"400 Invalid cache_ttl of {cache_ttl}. Cache TTL must be at least 30."
    refused(lambda: namespace.get("key", cache_ttl=cache_ttl), 400, f"KV GET failed: {why}")
    refused(lambda: namespace.get_many(["key"], cache_ttl=cache_ttl), 400, f"KV GET_BULK failed: {why}")
    assert namespace.get("key", cache_ttl=30) is None


def test_a_page_has_1_to_1000_names(namespace):
    why = "400 Invalid key_count_limit of 1001. Please specify an integer less than 1000."
    refused(lambda: namespace.list(limit=1001), 400, f"KV GET failed: {why}")
    why = "400 Invalid key_count_limit of 0. Please specify an integer greater than 0."
    refused(lambda: namespace.list(limit=0), 400, f"KV GET failed: {why}")
    why = "414 UTF-8 encoded length of 513 exceeds key length limit of 512."
    refused(lambda: namespace.list(prefix="p" * 513), 414, f"KV GET failed: {why}")
    assert namespace.list(prefix="p" * 512, limit=1000) == ((), True, "")


@pytest.mark.parametrize("cursor", ["?", "aGFsZg", "gICA", "ohne"])
def test_what_no_page_gave_is_no_cursor(namespace, cursor):
    with pytest.raises(KVError, match="KV GET failed: 400 Invalid cursor") as caught:
        namespace.list(prefix="p", cursor=cursor)
    assert (caught.value.status, caught.value.kind) == (400, "argument")


def test_a_bulk_read_has_1_to_100_keys_and_25_mib(namespace):
    refused(lambda: namespace.get_many([]), 400, "KV GET_BULK failed: 400 You must request a minimum of 1 key")
    keys = [f"key {i}" for i in range(101)]
    refused(lambda: namespace.get_many(keys), 400, "KV GET_BULK failed: 400 You can request a maximum of 100 keys")
    assert namespace.get_many(keys[:100]) == dict.fromkeys(keys[:100])
    namespace.put("half", b"v" * 13_107_200)
    namespace.put("other", b"v" * 13_107_200)
    assert len(namespace.get_many_with_metadata(["half", "other"])) == 2
    namespace.put("more", b"v")
    why = "KV GET_BULK failed: 413 Total size of request exceeds the limit of 25MB"
    refused(lambda: namespace.get_many(["half", "other", "more"]), 413, why)


def test_what_is_refused_for_its_arguments_is_neither_billed_nor_counted():
    world = World(plan="free")
    namespace = world.namespace("limits").invocation(1)
    refused(lambda: namespace.get(""), 400, "Key name cannot be empty.")
    with pytest.raises(KVError):
        namespace.put("key", b"", expiration_ttl=5)
    assert not world.usage
    assert world.last is None
    assert namespace.get("key") is None
