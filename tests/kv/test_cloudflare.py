"""
The client of Cloudflare's REST API against the simulator, served: for threads and for event loops, the same tests.
"""

import asyncio
from urllib.parse import quote

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ratekit.errors import ConfigurationError, StoreError
from ratekit.kv import Entry, Key, KVError, Page
from ratekit.kv.cloudflare import AsyncCloudflareKV, BulkFailed, CallBudget, CloudflareKV
from ratekit.kv.serve import serving
from ratekit.kv.serve_account import Account
from ratekit.kv.serve_rest import rest
from ratekit.kv.simulator import World


class Awaited:
    """An AsyncCloudflareKV, called as if it were the other one."""

    def __init__(self, *args, **options):
        self.kv = AsyncCloudflareKV(*args, **options)
        self.loop = asyncio.new_event_loop()

    def __getattr__(self, name):
        return lambda *args, **options: self.loop.run_until_complete(getattr(self.kv, name)(*args, **options))

    def close(self):
        self.loop.run_until_complete(self.kv.aclose())
        self.loop.close()


@pytest.fixture(params=[CloudflareKV, Awaited], ids=["sync", "async"])
def client(request):
    """What makes a client; all of them are closed after the test."""
    made = []

    def make(*args, **options):
        made.append(request.param(*args, **options))
        return made[-1]

    yield make
    for kv in made:
        kv.close()


@pytest.fixture
def account(clock):
    world = World(seed=1, clock=clock)
    tokens = {"secret": "write", "reader": "read"}
    return Account(lambda name: world.async_namespace(name, "API"), tokens=tokens, clock=clock)


@pytest.fixture
def place(account):
    """The arguments of a client of a namespace of that account."""
    with serving({"api": rest(account)}) as urls:
        yield {"account": account.id, "namespace": account.create("counters").id, "url": f"{urls['api']}/client/v4"}


@pytest.fixture
def kv(client, place, clock):
    return client(**place, token="secret", budget=CallBudget("600/5 minutes", clock=clock))


def calls_of(account):
    """How many calls the API has counted."""
    budget = account.budgets["secret"]
    return budget.calls - budget.remaining


def test_a_value_is_read_as_it_was_written(kv):
    kv.put("k", b"\x00\xff\r\n")
    assert kv.get("k") == b"\x00\xff\r\n"
    assert kv.get("none") is None


@pytest.mark.parametrize(("value", "calls"), [("text é", 2), (b"\xff\x00", 4)])
def test_what_is_known_of_a_value_is_read_with_it(kv, account, clock, value, calls):
    kv.put("k", value, metadata={"n": [1, "é"]}, expiration_ttl=90)
    content = value.encode() if isinstance(value, str) else value
    assert kv.get_with_metadata("k") == Entry(content, {"n": [1, "é"]}, clock() // 1_000_000 + 90)
    assert calls_of(account) == calls
    assert kv.get_with_metadata("none") is None


def test_a_key_expires_at_an_instant_that_only_the_api_judges(kv, clock):
    now = clock() // 1_000_000
    kv.put("k", "v", expiration=now + 60)
    with pytest.raises(KVError) as refused:
        kv.put("j", "v", expiration=now + 59)
    assert (refused.value.kind, refused.value.status) == ("argument", 400)
    clock.advance(60)
    assert kv.get("k") is None


def test_many_keys_are_read_in_one_call(kv, account, clock):
    kv.put_many({f"k{i}": str(i) for i in range(99)}, metadata={"k7": 7})
    clock.advance(1)
    before = calls_of(account)
    found = kv.get_many([*(f"k{i}" for i in range(99)), "none"])
    assert found == {**{f"k{i}": b"%d" % i for i in range(99)}, "none": None}
    assert kv.get_many_with_metadata(["k7", "none"]) == {"k7": Entry(b"7", 7), "none": None}
    assert calls_of(account) == before + 2


def test_values_that_are_no_text_cannot_be_read_in_bulk(kv):
    kv.put("k", b"\xff")
    with pytest.raises(KVError, match="non-text value") as refused:
        kv.get_many(["k"])
    assert refused.value.kind == "argument"


def test_keys_are_listed_page_by_page(kv, clock):
    kv.put_many({f"k{i:02}": "v" for i in range(12)}, metadata={"k11": "last"}, expiration_ttl=90)
    ends = clock() // 1_000_000 + 90
    clock.advance(1)
    first = kv.list(prefix="k", limit=10)
    assert ([key.name for key in first.keys], first.complete) == ([f"k{i:02}" for i in range(10)], False)
    rest_of = kv.list(prefix="k", limit=10, cursor=first.cursor)
    assert rest_of == Page((Key("k10", ends, None), Key("k11", ends, "last")), complete=True, cursor="")


def test_a_deleted_key_is_gone_and_one_that_was_not_there_is_no_error(kv, clock):
    kv.put("k", "v")
    clock.advance(1)
    kv.delete("k")
    kv.delete("none")
    assert kv.get("k") is None


@pytest.mark.parametrize("key", ["", ".", "..", "k" * 513, "\ud800", 7])
def test_what_is_no_key_is_refused_before_a_url_is_built(kv, account, key):
    calls = [kv.get, kv.get_with_metadata, kv.delete, lambda key: kv.put(key, "v"), lambda key: kv.put_many({key: "v"})]
    for call in [*calls, lambda key: kv.get_many([key]), lambda key: kv.delete_many([key])]:
        with pytest.raises(KVError) as refused:
            call(key)
        assert refused.value.kind == "argument"
    assert calls_of(account) == 0
    assert len(account.listed) == 1


@given(key=st.text(min_size=1, max_size=40).filter(lambda key: key not in {".", ".."}))
@example(key="../..")
@example(key="a/../../keys")
@example(key="%2e%2e")
@example(key="..%2f")
@example(key="k?x=1#f")
def test_a_key_stays_one_part_of_the_path_whatever_is_in_it(key):
    try:
        quoted = quote(key, safe="")
    except UnicodeEncodeError:
        return
    url = httpx.Request("GET", f"http://host/ns/values/{quoted}").url
    assert url.raw_path == f"/ns/values/{quoted}".encode()


@pytest.mark.parametrize("key", ["../..", "a/../../keys", "%2e%2e", "..%2f", "k?x=1#f", "é ☃", "\r\nx: 1", "\x00"])
def test_strange_keys_are_keys(kv, key, clock):
    kv.put(key, "v")
    clock.advance(1)
    assert (kv.get(key), kv.list().keys) == (b"v", (Key(key, None, None),))


@pytest.mark.parametrize(
    "call",
    [
        lambda kv: kv.put("k", "v", expiration_ttl=59),
        lambda kv: kv.put("k", "v", metadata="m" * 1023),
        lambda kv: kv.put("k", "v", metadata=float("nan")),
        lambda kv: kv.put("k", bytes(26_214_401)),
        lambda kv: kv.put_many({"k": "v"}, expiration_ttl=0),
        lambda kv: kv.get("k", cache_ttl=29),
        lambda kv: kv.get_many(["k"], cache_ttl=29),
        lambda kv: kv.get_many([]),
        lambda kv: kv.get_many(["k"] * 101),
        lambda kv: kv.list(limit=9),
        lambda kv: kv.list(limit=1001),
    ],
)
def test_what_can_never_succeed_is_not_sent(kv, account, call):
    with pytest.raises(KVError) as refused:
        call(kv)
    assert refused.value.kind == "argument"
    assert calls_of(account) == 0


def test_a_key_that_was_written_a_moment_ago_says_so_and_when(kv, clock):
    kv.put("hot", "1")
    with pytest.raises(KVError) as refused:
        kv.put("hot", "2")
    assert (refused.value.status, refused.value.kind, refused.value.retry_after) == (429, "write rate", 1)
    kv.put("cold", "1")  # nothing else is held back
    clock.advance(1)
    kv.put("hot", "2")


def test_wrong_credentials_are_told_apart(client, place):
    with pytest.raises(KVError) as unknown:
        client(**place, token="wrong").get("k")
    reader = client(**place, token="reader")
    reader.get("k")
    with pytest.raises(KVError) as forbidden:
        reader.put("k", "v")
    assert (unknown.value.kind, unknown.value.status, unknown.value.fault) == ("credentials", 401, "refused")
    assert (forbidden.value.kind, forbidden.value.status) == ("credentials", 403)


def test_a_missing_namespace_is_no_missing_key(client, place):
    kv = client(**{**place, "namespace": "none"}, token="secret", budget=CallBudget())
    for call in (kv.get, kv.get_with_metadata, kv.delete, lambda key: kv.get_many([key])):
        with pytest.raises(KVError, match="namespace not found") as missing:
            call("k")
        assert (missing.value.kind, missing.value.status) == ("missing", 404)


def test_the_free_plans_day_is_told_apart_and_says_how_long_it_is(client, clock):
    world = World(clock=clock, plan="free")
    account = Account(lambda name: world.async_namespace(name, "API"), tokens={"secret": "write"}, clock=clock)
    with serving({"api": rest(account)}) as urls:
        kv = client(account.id, account.create("n").id, token="secret", url=f"{urls['api']}/client/v4", budget=CallBudget())
        kv.put_many({f"k{i}": "" for i in range(1_000)})
        with pytest.raises(KVError) as refused:
            kv.put("k", "")
        assert kv.get("k0") == b""  # reads have a quota of their own
    assert (refused.value.status, refused.value.kind) == (429, "day")
    assert 0 < refused.value.retry_after <= 86_400


def test_no_more_than_half_of_the_apis_calls_are_made(kv, account, clock):
    for _ in range(600):
        kv.get("k")
    with pytest.raises(KVError) as refused:
        kv.get("k")
    assert (refused.value.kind, refused.value.status) == ("budget", 0)
    assert 0 < refused.value.retry_after <= 300
    assert calls_of(account) == 600
    clock.advance(refused.value.retry_after)
    assert kv.get("k") is None


def test_all_clients_of_a_token_share_its_calls_by_default(client, place):
    one, other = (client(**place, token="shared") for _ in range(2))
    another = client(**place, token="not shared")
    line = [kv.kv._line if isinstance(kv, Awaited) else kv._line for kv in (one, other, another)]
    assert line[0].budget is line[1].budget
    assert line[0].budget is not line[2].budget
    assert line[0].budget.limit.quota * 2 == 1_200


def test_a_token_that_others_have_spent_is_left_alone_until_the_api_listens_again(kv, account, clock):
    for _ in range(1_200):
        account.budgets["secret"].spend()
    with pytest.raises(KVError, match="throttling") as refused:
        kv.get("k")
    assert (refused.value.kind, refused.value.status, refused.value.retry_after) == ("budget", 429, 300)
    clock.advance(299)
    with pytest.raises(KVError, match="not sent") as held:
        kv.put("k", "v")
    assert (held.value.status, held.value.retry_after) == (0, 1)
    clock.advance(1)
    assert kv.get("k") is None


def test_the_last_call_that_the_api_has_left_is_the_last_one_sent(kv, account):
    for _ in range(1_199):
        account.budgets["secret"].spend()
    kv.get("k")
    with pytest.raises(KVError, match="not sent"):
        kv.get("k")
    assert account.budgets["secret"].remaining == 0
    assert calls_of(account) == 1_200


def test_keys_that_a_bulk_write_left_out_are_sent_again_and_then_named(kv, account, clock):
    kv.put("hot", "1")
    before = calls_of(account)
    with pytest.raises(BulkFailed, match="1 of 3 keys failed 3 times: 'hot'") as failed:
        kv.put_many({"a": "1", "hot": "2", "b": b"\xff"})
    assert failed.value.keys == ("hot",)
    assert calls_of(account) == before + 3
    assert (kv.get("a"), kv.get("hot"), kv.get("b")) == (b"1", b"1", b"\xff")


def test_many_keys_are_deleted_in_one_call(kv, account, clock):
    kv.put_many(dict.fromkeys("abc", "v"))
    clock.advance(1)
    before = calls_of(account)
    kv.delete_many(["a", "b", "a", "none"])
    assert calls_of(account) == before + 1
    clock.advance(60)
    assert [key.name for key in kv.list().keys] == ["c"]


def test_no_keys_at_all_are_no_call(kv, account):
    kv.put_many({})
    kv.delete_many([])
    assert calls_of(account) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"account": ""},
        {"account": ".."},
        {"namespace": "."},
        {"namespace": 7},
        {"token": ""},
        {"token": "a\nb"},
        {"url": "ftp://host"},
        {"timeout": 0},
        {"timeout": None},
        {"timeout": True},
        {"retries": -1},
    ],
    ids=str,
)
def test_what_cannot_be_is_a_configuration_error(client, wrong):
    with pytest.raises(ConfigurationError):
        client(**{"account": "a", "namespace": "n", "token": "t", **wrong})


@pytest.mark.parametrize("limit", ["many", 600, None])
def test_a_budget_is_a_limit(limit):
    with pytest.raises(ConfigurationError):
        CallBudget(limit)


def test_an_error_is_a_store_error(kv):
    with pytest.raises(StoreError):
        kv.get("..")
