"""
`ratekit parse`: what a text means, or what is wrong with it.
"""

import json

import pytest

from ratekit import Limit, Limiter
from ratekit.cli.meaning import state_bytes


def test_a_limit_is_explained_in_words(ratekit):
    result = ratekit("parse", "100/minute burst 20 name web")
    assert result.exit_code == 0
    for words in ("100", "1 minute", "token_bucket", "20 at once, then one every 0.6 s", "web", "120 in any window"):
        assert words in result.stdout


def test_every_fact_is_there_as_json(ratekit):
    (facts,) = json.loads(ratekit("parse", "1000 per 2 hours", "--json").stdout)
    assert facts == {
        "text": "1000/2 hours",
        "quota": 1000,
        "period_seconds": 7200,
        "algorithm": "sliding_window",
        "burst": None,
        "buckets": 60,
        "name": None,
        "worst_in_any_window": 1000,
        "state_bytes": 732,
    }


def test_one_text_may_hold_several_limits_and_several_texts_may_be_given(ratekit):
    answers = json.loads(ratekit("parse", "10/second; 1000/hour", "5/day", "--json").stdout)
    assert [one["text"] for one in answers] == ["10/second", "1000/hour", "5/day"]


def test_a_text_that_is_wrong_is_said_in_one_line_and_the_others_are_still_explained(ratekit):
    result = ratekit("parse", "5/month", "10/second")
    assert result.exit_code == 2
    assert "write '5/30 days'" in result.stderr
    assert "10 in any window of 1 second" in result.stdout
    assert "Traceback" not in result.stderr


def test_a_wrong_text_is_an_error_in_json_too(ratekit):
    result = ratekit("parse", "5/month", "--json")
    assert result.exit_code == 2
    (answer,) = json.loads(result.stdout)
    assert answer["text"] == "5/month"
    assert "5/30 days" in answer["error"]


@pytest.mark.parametrize(
    "text",
    ["50/hour", "5000/hour", "5000/hour buckets 7", "999/hour fixed_window", "999/hour sliding_counter", "999/hour token_bucket"],
)
def test_the_memory_that_is_named_is_the_most_that_redis_holds(redis_url, redis_client, clock, text):
    from ratekit.stores.redis import RedisStore

    limit = Limit.parse(text)
    store = RedisStore(redis_url, clock=clock)
    limiter = Limiter(limit, store=store, name="memory")
    most = 0
    for _ in range(300):
        limiter.hit("user:42", cost=max(1, limit.quota // 300))
        clock.advance(20)
        most = max(most, *(redis_client.strlen(key) for key in redis_client.keys("*")))
    store.close()
    assert most <= state_bytes(limit)
    assert most > 0.8 * state_bytes(limit)
