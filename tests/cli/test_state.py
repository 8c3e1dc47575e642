"""
`ratekit peek` and `ratekit reset`, against a real Redis.
"""

import asyncio
import json
from contextlib import closing

import httpx
import pytest
from starlette.responses import PlainTextResponse

from ratekit import Limit, Limiter, Policy
from ratekit.algorithms import SPEND
from ratekit.asgi import RateLimitMiddleware
from ratekit.stores.naming import plan_of
from ratekit.stores.protocol import hit
from ratekit.stores.redis import AsyncRedisStore, RedisStore

LIMIT = ("--limit", "3/hour")


@pytest.fixture
def spent(redis_url):
    """A limiter on Redis, whose user:42 has spent two of three."""
    with Limiter("3/hour", store=redis_url) as limiter:
        limiter.hit("user:42", cost=2)
        yield limiter


def test_peek_says_what_is_left_and_charges_nothing(ratekit, redis_url, spent):
    for _ in range(3):
        facts = json.loads(ratekit("peek", "user:42", *LIMIT, "--store", redis_url, "--json").stdout)
        assert (facts["allowed"], facts["remaining"], facts["limit"]) == (True, 1, "3/hour")


def test_peek_asks_about_a_cost(ratekit, redis_url, spent):
    facts = json.loads(ratekit("peek", "user:42", *LIMIT, "--cost", 2, "--store", redis_url, "--json").stdout)
    assert facts["allowed"] is False
    assert 0 < facts["retry_after"] <= 3600
    never = json.loads(ratekit("peek", "user:42", *LIMIT, "--cost", 4, "--store", redis_url, "--json").stdout)
    assert never["retry_after"] is None


def test_peek_is_readable_by_people(ratekit, redis_url, spent):
    result = ratekit("peek", "user:42", *LIMIT, "--store", redis_url)
    assert "user:42: a hit would be admitted" in result.stdout
    assert "1 of 3" in result.stdout
    spent.hit("user:42")
    assert "would be refused; retry after" in ratekit("peek", "user:42", *LIMIT, "--store", redis_url).stdout


def test_the_store_is_the_environments_where_none_is_named(ratekit, redis_url, spent):
    facts = json.loads(ratekit("peek", "user:42", *LIMIT, "--json", env={"RATEKIT_STORE": redis_url}).stdout)
    assert facts["remaining"] == 1


def test_reset_makes_a_client_as_new_and_no_other(ratekit, redis_url, spent):
    spent.hit("user:7")
    result = ratekit("reset", "user:42", *LIMIT, "--store", redis_url)
    assert result.exit_code == 0
    assert "user:42 is as new for 3/hour" in result.stdout
    assert spent.peek("user:42").remaining == 3
    assert spent.peek("user:7").remaining == 2


def test_names_and_prefixes_keep_limiters_apart(ratekit, redis_url, spent):
    for option in ("--name", "--prefix"):
        facts = json.loads(ratekit("peek", "user:42", *LIMIT, option, "other", "--store", redis_url, "--json").stdout)
        assert facts["remaining"] == 3


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ({"limits": "3/hour"}, ()),
        ({"policies": [Policy("login", "3/hour")]}, ("--policy", "login")),
        ({"policies": [Policy("key", "3/hour", key="header:x-key")], "name": "web"}, ("--policy", "key", "--name", "web")),
    ],
)
def test_what_the_middleware_counts_is_seen_and_reset(ratekit, redis_url, redis_client, arguments, options):
    async def visited():
        store = AsyncRedisStore(redis_url)
        app = RateLimitMiddleware(PlainTextResponse("hello"), store=store, **arguments)
        transport = httpx.ASGITransport(app, client=("192.0.2.7", 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers={"x-key": "192.0.2.7"}) as client:
            assert (await client.get("/")).status_code == 200
        await store.aclose()

    asyncio.run(visited())
    peek = ("peek", "192.0.2.7", *LIMIT, *options, "--store", redis_url, "--json")
    assert json.loads(ratekit(*peek).stdout)["remaining"] == 2
    assert ratekit("reset", *peek[1:]).exit_code == 0
    assert json.loads(ratekit(*peek).stdout)["remaining"] == 3


@pytest.mark.parametrize("command", ["peek", "reset"])
@pytest.mark.parametrize(
    ("store", "says"), [((), "--store redis://"), (("--store", "memory://"), "memory of each process on its own")]
)
def test_commands_that_need_shared_state_require_a_store(ratekit, command, store, says):
    result = ratekit(command, "user:42", *LIMIT, *store)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["peek", "reset"])
def test_a_store_that_is_away_is_said_in_one_line_with_exit_code_1(ratekit, command):
    result = ratekit(command, "user:42", *LIMIT, "--store", "redis://127.0.0.1:1/0")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("store", ["mysql://localhost", "redis", "redis://localhost:many/0"])
def test_a_store_that_cannot_be_is_said_with_exit_code_2(ratekit, store):
    result = ratekit("peek", "user:42", *LIMIT, "--store", store)
    assert result.exit_code == 2
    assert "redis://localhost:6379/0" in result.stderr


def test_a_cost_that_cannot_be_is_said_with_exit_code_2(ratekit, redis_url):
    assert ratekit("peek", "user:42", *LIMIT, "--cost", 0, "--store", redis_url).exit_code == 2


def test_what_a_key_hides_is_not_sent_to_the_terminal(ratekit, redis_url):
    assert "\x1b" not in ratekit("peek", "\x1b[2J", *LIMIT, "--store", redis_url).stdout


def test_reset_makes_a_client_as_new_for_every_policy_of_a_file(ratekit, redis_url, tmp_path):
    file = tmp_path / "policies.toml"
    file.write_text(
        '[[policies]]\nname = "login"\nlimits = "5/minute"\n[[policies]]\nname = "api"\nlimits = ["9/hour", "20/day"]\n'
    )
    limits = {"login": ["5/minute"], "api": ["9/hour", "20/day"]}
    with closing(RedisStore(redis_url, budget=10)) as store:
        for policy, texts in limits.items():
            plan = plan_of([Limit.parse(text) for text in texts], prefix="ratekit", name="default", policy=policy)
            assert hit(store, plan, "192.0.2.7", 5, SPEND)
    options = ("--policies", file, "--store", redis_url, "--json")
    facts = json.loads(ratekit("reset", "192.0.2.7", *options).stdout)
    assert facts == {"key": "192.0.2.7", "reset": ["5/minute", "9/hour", "20/day"]}
    told = json.loads(ratekit("explain", "192.0.2.7", *options).stdout)["policies"]
    assert [one["spent"] for policy in told for one in policy["limits"]] == [0, 0, 0]


def test_reset_of_a_file_and_of_a_limit_at_once_is_an_error(ratekit, redis_url):
    result = ratekit("reset", "user:42", *LIMIT, "--policies", "a.toml", "--store", redis_url)
    assert result.exit_code == 2
    assert "--policies FILE.toml" in result.stderr
