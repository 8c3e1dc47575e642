"""
`ratekit count`: counters on a real Redis, by the command line, and what an application has served.
"""

import json

import pytest

from ratekit.counters import Counter, Leaderboard, Served, Traffic, UniqueCounter

PATIENT = {"budget": 10.0}


@pytest.fixture
def count(ratekit, redis_url):
    """A function that runs `ratekit count ...` on that Redis, and gives what it says; as JSON where that is asked for."""

    def run(*words):
        result = ratekit("count", *words, "--store", redis_url)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout) if "--json" in words else result.stdout

    return run


def test_adding_counts_with_the_application(count, redis_url):
    with Counter("downloads", store=redis_url, **PATIENT) as downloads:
        downloads.add("a report.pdf", 4)
        assert count("add", "a report.pdf", 3, "--name", "downloads") == "a report.pdf: 7\n"
        assert count("add", "a report.pdf", "--name", "downloads", "--json")["value"] == 8
        assert downloads.add("a report.pdf", -2) == 6
        assert downloads.value("a report.pdf") == 6
        assert count("value", "a report.pdf", "--name", "downloads", "--json")["value"] == 6
        assert count("value", "nothing", "--name", "downloads") == "nothing: 0\n"


def test_buckets_of_time_are_shown(count, redis_url):
    with Counter("visits", store=redis_url, per="hour", keep=48, **PATIENT) as visits:
        visits.add("/", 5)
        assert count("add", "/", "--name", "visits", "--per", "hour", "--keep", 48, "--json")["value"] == 6
        assert count("value", "/", "--name", "visits", "--per", "hour", "--json")["value"] == 6
        shown = count("series", "/", "--name", "visits", "--per", "hour", "--last", 3, "--json")["series"]
        assert [bucket["count"] for bucket in shown] in ([0, 0, 6], [0, 6, 0], [0, 5, 1])  # should an hour end meanwhile
        assert visits.total("/") == 6
    text = count("series", "/", "--name", "visits", "--per", "hour", "--last", 2)
    assert text.startswith("/ by hour: 6\n")
    assert "█" in text


def test_a_number_of_seconds_is_a_unit_and_a_time_zone_is_understood(count, redis_url):
    with Counter("visits", store=redis_url, per=15, keep=60, **PATIENT) as visits:
        visits.add("/")
        assert count("value", "/", "--name", "visits", "--per", 15, "--json")["value"] == 1
    with Counter("days", store=redis_url, per="day", keep=9, tz="Europe/Berlin", **PATIENT) as days:
        days.add("/")
        assert count("value", "/", "--name", "days", "--per", "day", "--tz", "Europe/Berlin", "--json")["value"] == 1


def test_distinct_members_and_boards_are_shown(count, redis_url):
    with UniqueCounter("visitors", store=redis_url, per="day", keep=7, **PATIENT) as visitors:
        visitors.add("/", "ann", "bob", "ann")
    assert count("unique", "/", "--name", "visitors", "--per", "day", "--json")["unique"] == 2
    assert count("unique", "/", "--name", "visitors", "--per", "day", "--last", 1) == "/: about 2 distinct\n"
    with Leaderboard("scores", store=redis_url, **PATIENT) as scores:
        for member, score in (("ann\x1b[2J", 7), ("bob", 9)):
            scores.add(member, score)
    assert [(one["rank"], one["member"], one["score"]) for one in count("top", "--name", "scores", "--json")] == [
        (1, "bob", 9),
        (2, "ann\x1b[2J", 7),
    ]
    shown = count("top", "--name", "scores", "--rows", 1)
    assert "bob" in shown
    assert "ann" not in shown
    assert "\x1b" not in count("top", "--name", "scores")


def test_a_board_of_an_earlier_bucket_is_shown(count, redis_url, redis_client):
    with Leaderboard("weekly", store=redis_url, per="second", keep=60, **PATIENT) as weekly:
        weekly.add("ann", 7)
    found = [count("top", "--name", "weekly", "--per", "second", "--ago", ago, "--json") for ago in range(20)]
    assert [{"rank": 1, "member": "ann", "score": 7}] in found


@pytest.fixture
def served(redis_url):
    """What an application has served."""
    with Traffic("shop", store=redis_url, every=3_600, **PATIENT) as traffic:
        for i in range(20):
            traffic.count(Served("/items/{id}", "GET", 200 if i else 404, 0.003, f"192.0.2.{i}"))
        traffic.count(Served("/reports/\x1b[2J", "POST", 500, 11.0, "192.0.2.1"))
        for _ in range(3):
            traffic.count(Served("", "GET", 429, 0.0004, "192.0.2.9", (("login", "ann"),)))
        traffic.count(Served("/live", "WS", 101, 0.0004))


def test_what_an_application_has_served_is_shown(count, served):
    text = count("requests", "--name", "shop")
    assert text.startswith("25 requests since ")
    assert "2xx 20 4xx 4 5xx 1" in text
    first = next(line for line in text.splitlines() if "/items/{id}" in line)
    assert first.split() == ["/items/{id}", "GET", "20", "1", "0", "5", "ms", "5", "ms"]
    assert "> 10 s" in text
    assert "\x1b" not in text
    assert next(line for line in text.splitlines() if "ann" in line).split() == ["ann", "login", "3"]
    assert "and 3 more: --rows 4" in count("requests", "--name", "shop", "--rows", 1)


def test_what_an_application_has_served_is_facts_for_programs(count, served):
    facts = count("requests", "--name", "shop", "--last", 5, "--json")
    assert (facts["requests"], facts["clients"], len(facts["series"])) == (25, 20, 5)
    assert sum(bucket["count"] for bucket in facts["series"]) == 25
    lines = {(line["method"], line["route"]): line for line in facts["lines"]}
    assert lines["GET", "/items/{id}"]["statuses"] == {"200": 19, "404": 1}
    assert lines["GET", "/items/{id}"]["within"] == {"0.5": 0.005, "0.95": 0.005}
    assert lines["POST", "/reports/\x1b[2J"]["took"][-1] == {"until": None, "count": 1}
    assert facts["refused"] == [{"who": "ann", "policy": "login", "times": 3}]


def test_where_nothing_was_served_that_is_said(count):
    assert count("requests", "--name", "nobody").startswith("0 requests since ")
    assert count("requests", "--name", "nobody", "--per", "hour", "--last", 500, "--json")["lines"] == []


def test_an_upstash_database_is_asked_as_well(ratekit, upstash_server):
    for _ in range(2):
        result = ratekit("count", "add", "upstash's", "--store", upstash_server.url, "--json")
    assert json.loads(result.stdout)["value"] == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("add", "x"), "count add needs a store"),
        (("requests", "--store", "memory://"), "cannot see memory://"),
        (("value", "x", "--per", "fortnight", "--store", "URL"), "write 'second'"),
        (("value", "x", "--tz", "Europe/Berlin", "--store", "URL"), "write --per day, too"),
        (("add", "x", "--per", "hour", "--store", "URL"), "needs keep"),
        (("requests", "--per", "month", "--store", "URL"), "write 'second', 'minute'"),
        (("add", "x", "10000000000000000", "--store", "URL"), "from -10^15 to 10^15"),
    ],
)
def test_what_cannot_be_is_said_with_exit_code_2(ratekit, redis_url, words, says):
    result = ratekit("count", *[redis_url if word == "URL" else word for word in words])
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_store_that_is_away_is_said_with_exit_code_1(ratekit):
    result = ratekit("count", "value", "x", "--store", "redis://127.0.0.1:1/0")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
