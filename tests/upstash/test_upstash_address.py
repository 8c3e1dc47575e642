"""
From a URL, a token or the environment to a store; nothing that is said of them shows the token.
"""

import pytest
from doors import PATIENT

from ratekit import AsyncLimiter, ConfigurationError, Limiter, open_async_store, open_store
from ratekit.stores import AsyncUpstashStore, UpstashStore
from ratekit.stores.upstash.address import TOKEN, URL, Address, address_of

KINDS = (UpstashStore, AsyncUpstashStore)


@pytest.mark.parametrize(
    ("url", "token", "expected"),
    [
        ("upstash://AXb_-=@name.upstash.io", None, ("https://name.upstash.io/", "AXb_-=")),
        ("upstash://A%2FX@name.upstash.io", None, ("https://name.upstash.io/", "A/X")),
        ("https://name.upstash.io", "AX", ("https://name.upstash.io/", "AX")),
        ("https://name.upstash.io/", "AX", ("https://name.upstash.io/", "AX")),
        ("https://proxy.example/redis/", "AX", ("https://proxy.example/redis/", "AX")),
        ("upstash+http://AX@localhost:8080", None, ("http://localhost:8080/", "AX")),
        ("http://[::1]:8080", "AX", ("http://[::1]:8080/", "AX")),
    ],
)
def test_an_address_is_a_url_and_a_token(url, token, expected):
    address = address_of(url, token)
    assert (address.url, address.token) == expected
    assert address.token not in repr(address)


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("https://name.upstash.io", None),
        ("https://name.upstash.io", ""),
        ("https://name.upstash.io", b"AX"),
        ("https://name.upstash.io", "a secret token"),
        ("https://name.upstash.io", "secret\n"),
        ("https://name.upstash.io", "sécret"),
        ("upstash://secret@name.upstash.io", "secret"),
        ("upstash://default:secret@name.upstash.io", None),
        ("upstash://secret@", None),
        ("upstash://secret@name.upstash.io:port", None),
        ("upstash://secret@name.upstash.io/?db=1", None),
        ("rediss://default:secret@name.upstash.io:6379", None),
        ("name.upstash.io", "secret"),
        ("", "secret"),
        (None, "secret"),
        (5, "secret"),
    ],
)
def test_what_is_no_address_is_an_error_that_says_what_would_be_right(url, token):
    for kind in KINDS:
        with pytest.raises(ConfigurationError, match="upstash://TOKEN@name") as caught:
            kind(url, token)
        assert "secret" not in str(caught.value)


def test_the_environment_names_a_database(monkeypatch, redis_url, upstash_server):
    monkeypatch.setenv(URL, upstash_server.address)
    monkeypatch.setenv(TOKEN, upstash_server.token)
    assert address_of("upstash://") == Address(f"{upstash_server.address}/", upstash_server.token)
    store = UpstashStore.from_env()
    assert Limiter("9/minute", store=store, **PATIENT).hit("ann").remaining == 8
    store.close()
    with Limiter("9/minute", store="upstash://", **PATIENT) as limiter:
        assert limiter.hit("ann").remaining == 7
    assert isinstance(AsyncUpstashStore.from_env(), AsyncUpstashStore)


@pytest.mark.parametrize("missing", [{URL}, {TOKEN}, {URL, TOKEN}])
def test_what_the_environment_does_not_say_is_named(monkeypatch, missing):
    for name, value in ((URL, "https://name.upstash.io"), (TOKEN, "secret")):
        monkeypatch.setenv(name, "" if name in missing else value)
    for kind in KINDS:
        with pytest.raises(ConfigurationError) as caught:
            kind.from_env()
        said = str(caught.value).split(" in the environment")[0]
        assert {name for name in (URL, TOKEN) if name in said.split()} == missing


def test_one_url_is_one_store(redis_url, upstash_server):
    one, other = open_store(upstash_server.url), open_store(upstash_server.url)
    assert one is other
    assert isinstance(one, UpstashStore)
    assert isinstance(open_async_store(upstash_server.url), AsyncUpstashStore)
    with Limiter("5/minute", store=upstash_server.url, **PATIENT) as limiter:
        assert limiter.hit("ann").remaining == 4
    one.close()
    other.close()
    assert open_store(upstash_server.url) is not one


def test_a_url_opens_a_store_for_event_loops(redis_url, upstash_server):
    import anyio

    async def main():
        async with AsyncLimiter("5/minute", store=upstash_server.url, **PATIENT) as limiter:
            return (await limiter.hit("ann")).remaining

    assert anyio.run(main) == 4
