"""
Cloudflare's own Python SDK on our simulator: unchanged, but for its base URL.
"""

import cloudflare
import pytest
from cloudflare import Cloudflare

from ratekit.kv.serve import serving
from ratekit.kv.serve_account import Account
from ratekit.kv.serve_rest import rest
from ratekit.kv.simulator import World

KEY = "sdk/x y:é%2F?"


@pytest.fixture
def account(clock):
    world = World(seed=1, clock=clock)
    return Account(lambda name: world.async_namespace(name, "API"), tokens={"secret": "write", "reader": "read"}, clock=clock)


@pytest.fixture
def url(account):
    """Where the account is served."""
    with serving({"api": rest(account)}) as urls:
        yield f"{urls['api']}/client/v4"


@pytest.fixture
def namespaces(url):
    """The SDK's way to namespaces."""
    with Cloudflare(api_token="secret", base_url=url) as client:
        yield client.kv.namespaces


@pytest.fixture
def at(account):
    """Where keys are, as the SDK takes it."""
    return {"account_id": account.id, "namespace_id": account.create("counters").id}


def test_namespaces_are_created_listed_renamed_and_removed(namespaces, account):
    made = [namespaces.create(account_id=account.id, title=title) for title in ("a", "b", "c")]
    assert [one.title for one in made] == ["a", "b", "c"]
    assert {one.id for one in namespaces.list(account_id=account.id, per_page=2)} == {one.id for one in made}
    namespaces.update(made[0].id, account_id=account.id, title="renamed")
    assert namespaces.get(made[0].id, account_id=account.id).title == "renamed"
    namespaces.delete(made[0].id, account_id=account.id)
    with pytest.raises(cloudflare.NotFoundError) as missing:
        namespaces.get(made[0].id, account_id=account.id)
    assert missing.value.errors[0].code == 10013


def test_a_title_that_is_taken_is_a_bad_request(namespaces, account):
    namespaces.create(account_id=account.id, title="a")
    with pytest.raises(cloudflare.BadRequestError) as taken:
        namespaces.create(account_id=account.id, title="a")
    assert taken.value.errors[0].code == 10014


def test_a_value_is_written_read_and_deleted_with_its_metadata(namespaces, at, clock):
    namespaces.values.update(KEY, **at, value=b"\x00\xff", metadata={"n": 1}, expiration_ttl=60)
    assert namespaces.values.get(KEY, **at).read() == b"\x00\xff"
    assert namespaces.metadata.get(KEY, **at) == {"n": 1}
    clock.advance(1)
    namespaces.values.delete(KEY, **at)
    with pytest.raises(cloudflare.NotFoundError) as missing:
        namespaces.values.get(KEY, **at)
    assert missing.value.errors[0].code == 10009


def test_keys_are_listed_over_pages(namespaces, at, clock):
    namespaces.bulk_update(**at, body=[{"key": f"k{i:02}", "value": "v", "metadata": {"i": i}} for i in range(25)])
    clock.advance(1)
    listed = list(namespaces.keys.list(**at, limit=10, prefix="k"))
    assert [key.name for key in listed] == [f"k{i:02}" for i in range(25)]
    assert listed[7].metadata == {"i": 7}


def test_bulk_calls_write_read_and_delete(namespaces, at, clock):
    expires = clock() // 1_000_000 + 60
    pairs = [{"key": "a", "value": "1", "expiration": expires}, {"key": "b", "value": "Mg==", "base64": True}]
    done = namespaces.bulk_update(**at, body=pairs)
    assert (done.successful_key_count, done.unsuccessful_keys) == (2, [])
    again = namespaces.bulk_update(**at, body=[{"key": "a", "value": "2"}, {"key": "c", "value": "3"}])
    assert (again.successful_key_count, again.unsuccessful_keys) == (1, ["a"])
    assert namespaces.bulk_get(**at, keys=["a", "b", "none"]).values == {"a": "1", "b": "2", "none": None}
    whole = namespaces.bulk_get(**at, keys=["a"], with_metadata=True).values["a"]
    assert (whole.value, whole.expiration) == ("1", expires)
    clock.advance(1)
    assert namespaces.bulk_delete(**at, body=["a", "b"]).successful_key_count == 2
    clock.advance(60)
    assert [key.name for key in namespaces.keys.list(**at)] == ["c"]


def test_the_sdk_raises_what_it_should(url, namespaces, at, clock):
    namespaces.values.update("hot", **at, value=b"1")
    with Cloudflare(api_token="secret", base_url=url, max_retries=0) as impatient, pytest.raises(cloudflare.RateLimitError):
        impatient.kv.namespaces.values.update("hot", **at, value=b"2")
    with Cloudflare(api_token="wrong", base_url=url) as stranger, pytest.raises(cloudflare.AuthenticationError):
        stranger.kv.namespaces.get(at["namespace_id"], account_id=at["account_id"])
    with Cloudflare(api_token="reader", base_url=url) as reader, pytest.raises(cloudflare.PermissionDeniedError):
        reader.kv.namespaces.values.update("k", **at, value=b"v")


def test_the_older_way_of_an_address_and_a_key_gets_in(account, clock, url):
    account.tokens["me@example.com 0123"] = "write"
    account.budgets["me@example.com 0123"] = account.budgets["secret"]
    with Cloudflare(api_email="me@example.com", api_key="0123", base_url=url) as client:
        assert client.kv.namespaces.create(account_id=account.id, title="t").title == "t"
