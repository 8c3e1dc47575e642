"""
`ratekit explain KEY`, against a real Redis.
"""

import json

import pytest

from ratekit import Limiter
from ratekit.algorithms import SPEND
from ratekit.limit import limits_of
from ratekit.stores.naming import plan_of
from ratekit.stores.protocol import hit
from ratekit.stores.redis import RedisStore

FILE = """
[[policies]]
name = "login"
limits = ["3/hour", "50/day"]

[[policies]]
name = "api"
limits = "1000/hour"
"""


def test_it_says_which_limits_what_was_spent_and_when_it_is_free(ratekit, redis_url):
    with Limiter("3/hour", "50/day", store=redis_url, name="explained") as limiter:
        limiter.hit("user:42", cost=2)
        options = ("--limit", "3/hour", "--limit", "50/day", "--store", redis_url, "--name", "explained")
        for _ in range(2):
            (one,) = json.loads(ratekit("explain", "user:42", *options, "--json").stdout)["policies"]
            assert [(told["spent"], told["remaining"]) for told in one["limits"]] == [(2, 1), (2, 48)]
            assert one["allowed"] is True
            assert 3500 < one["limits"][0]["free_after"] <= 3600
        limiter.hit("user:42")
        said = ratekit("explain", "user:42", *options).stdout
        assert "user:42 is refused by 3/hour; retry after 3," in said
        assert "3 of 3" in said


def test_a_file_of_policies_is_explained_as_the_middleware_counts_them(ratekit, redis_url, tmp_path):
    file = tmp_path / "policies.toml"
    file.write_text(FILE)
    store = RedisStore(redis_url, budget=5.0)
    hit(store, plan_of(limits_of(["3/hour", "50/day"]), prefix="ratekit", name="default", policy="login"), "192.0.2.7", 3, SPEND)
    store.close()
    options = ("--policies", file, "--store", redis_url)
    login, api = json.loads(ratekit("explain", "192.0.2.7", *options, "--json").stdout)["policies"]
    assert (login["policy"], login["allowed"], login["limits"][0]["spent"]) == ("login", False, 3)
    assert (api["policy"], api["allowed"], api["limits"][0]["spent"]) == ("api", True, 0)
    assert "192.0.2.7 is refused by login: 3/hour" in ratekit("explain", "192.0.2.7", *options).stdout


@pytest.mark.parametrize("options", [(), ("--limit", "3/hour", "--policies", "a.toml"), ("--policies", "a.toml", "--policy", "b")])
def test_it_asks_for_either_limits_or_a_file(ratekit, redis_url, options):
    result = ratekit("explain", "user:42", "--store", redis_url, *options)
    assert result.exit_code == 2
    assert "--policies FILE.toml" in result.stderr


def test_it_needs_a_store_that_is_shared_and_there(ratekit):
    assert ratekit("explain", "user:42", "--limit", "3/hour").exit_code == 2
    assert ratekit("explain", "user:42", "--limit", "3/hour", "--store", "redis://127.0.0.1:1/0").exit_code == 1
