"""
Traffic: what an application serves, from single requests to the picture that all workers make together.
"""

import threading
import time
from collections import Counter

import doors
import pytest
import servers
from hypothesis import given
from hypothesis import strategies as st
from ways import Forgetful

from ratekit import ConfigurationError, StoreUnavailable
from ratekit.counters import Served, Traffic
from ratekit.counters.backlog import Backlog
from ratekit.counters.buckets import buckets_of
from ratekit.counters.ranking import Ranking, Scores
from ratekit.counters.served import BOUNDS, LONGEST, METHODS, NO_ROUTE, OTHER, Line, Rows, lines_of, refused_by
from ratekit.counters.traffic import CLIENTS, REFUSED, ROWS
from ratekit.counters.unique import Members, Unique
from ratekit.stores import AsyncMemoryStore, MemoryStore, RedisStore

LATER = 3_600.0
OK = Served("/items/{id}", "GET", 200, 0.004, "192.0.2.1")


@pytest.fixture(params=["memory", "redis", "upstash"])
def store(request, redis_url, upstash_server, clock):
    """Each store for threads, by a clock that the test moves to the middle of a minute."""
    clock.advance_us(-clock() % 60_000_000 + 30_000_000)
    url = upstash_server.url if request.param in doors.UPSTASH else redis_url
    with doors.opened(request.param, url, clock) as door:
        yield door.store


def traffic_on(store, **options):
    return Traffic(store=store, **{"every": LATER, "budget": 10.0, **options})


def counted(report):
    return {(line.method, line.route): dict(line.statuses) for line in report.lines}


# --- the picture ---


def test_requests_are_told_apart_by_route_method_and_status(store):
    with traffic_on(store) as traffic:
        for served in [OK, OK, OK._replace(status=404), OK._replace(method="DELETE"), Served("", "GET", 404, 0.1)]:
            traffic.count(served)
        report = traffic.report()
        assert counted(report) == {
            ("GET", "/items/{id}"): {200: 2, 404: 1},
            ("DELETE", "/items/{id}"): {200: 1},
            ("GET", NO_ROUTE): {404: 1},
        }
        assert (report.requests, report.clients) == (5, 1)
        assert [line.requests for line in report.lines] == [3, 1, 1]


def test_requests_are_in_the_bucket_of_their_time(store, clock):
    with traffic_on(store, keep=5) as traffic:
        traffic.count(OK)
        traffic.flush()
        clock.advance(120)
        for i in range(3):
            traffic.count(OK._replace(client=f"192.0.2.{i}", refused=(("login", "ann"),)))
        report = traffic.report()
        assert [bucket.count for bucket in report.series] == [0, 0, 1, 0, 3]
        assert (report.series[-1].start - report.series[-3].start).total_seconds() == 120
        assert report.clients == 3
        last = traffic.report(1)
        assert (last.requests, last.clients, [one.times for one in last.refused]) == (3, 3, [3])
        clock.advance(600)
        empty = traffic.report()
        assert (empty.requests, empty.lines, empty.clients, empty.refused) == (0, [], 0, [])


def test_who_is_refused_most_comes_first_with_the_policy(store):
    with traffic_on(store) as traffic:
        for who, times in (("ann", 3), ("bob", 5), (("key", "7"), 1)):
            for _ in range(times):
                traffic.count(Served("", "POST", 429, 0.0, "192.0.2.1", (("login", who),)))
        traffic.count(Served("", "POST", 429, 0.0, "2001:db8::/64", refused_by([], 429, "2001:db8::/64")))
        found = [(one.who, one.policy, one.times) for one in traffic.report().refused]
        assert found == [("bob", "login", 5), ("ann", "login", 3), ("2001:db8::/64", "", 1), ("(key,7)", "login", 1)]
        assert len(traffic.report(refused=2).refused) == 2


def test_all_that_count_under_one_name_make_one_picture_and_others_are_left_out(store):
    with traffic_on(store, name="shop") as one, traffic_on(store, name="shop") as two, traffic_on(store, name="bank") as other:
        for traffic in (one, two, two, other):
            traffic.count(OK)
        for traffic in (one, two, other):
            traffic.flush()
        assert (one.report().requests, two.report().requests, other.report().requests) == (3, 3, 1)


def test_the_time_within_which_answers_began_is_the_end_of_a_bucket(store):
    with traffic_on(store) as traffic:
        for took in (0.0004, 0.001, 0.003, 0.02, 99.0):
            traffic.count(OK._replace(took=took))
        (line,) = traffic.report().lines
        assert sum(line.took) == 5
        assert [line.within(part) for part in (0.2, 0.4, 0.5, 0.8, 1.0)] == [0.001, 0.001, 0.005, 0.025, float("inf")]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "/", "/a b/{c}", "/é"]),
            st.sampled_from([*sorted(METHODS), "BREW", "get", ""]),
            st.integers(-1, 700),
            st.floats(0, 20),
        ).map(lambda facts: Served(*facts)),
        max_size=60,
    )
)
def test_rows_keep_what_was_counted(requests):
    rows = Rows(10_000)
    lines = lines_of(Counter(rows.of(served) for served in requests).items())
    model = Counter()
    for served in requests:
        method = served.method if served.method in METHODS else OTHER
        model[served.route or NO_ROUTE, method, served.status if 100 <= served.status < 600 else 500] += 1
    assert {(line.route, line.method, status): n for line in lines for status, n in line.statuses.items()} == model
    for line in lines:
        mine = [
            s.took
            for s in requests
            if (s.route or NO_ROUTE, s.method if s.method in METHODS else OTHER) == (line.route, line.method)
        ]
        assert line.within(1.0) >= max(mine)
        assert line.took == tuple(
            sum(low < took <= high for took in mine) for low, high in zip((-1, *BOUNDS), (*BOUNDS, 99), strict=True)
        )


def test_what_is_no_row_is_left_out_of_the_picture():
    assert lines_of([("", 1), ("GET", 1), ("GET x 1 /", 1), ("GET 200 99 /", 1), ("GET 200 1", 1)]) == [
        Line("", "GET", {200: 1}, tuple(int(i == 1) for i in range(len(BOUNDS) + 1)))
    ]


# --- bounds ---


def test_rows_are_bounded_whatever_the_application_names():
    rows = Rows(100)
    texts = {rows.of(Served(f"/{i}", "GET", 100 + i % 500, i % 20)) for i in range(5_000)}
    assert len(texts) <= 100 + 5 * (len(BOUNDS) + 1)
    assert rows.of(Served("/new", "GET", 404, 0.2)) == f"GET 400 7 {OTHER}"
    assert rows.of(Served("/0", "GET", 100, 0)) == "GET 100 0 /0"


def test_a_long_route_ends_in_a_hash_and_a_broken_one_is_written_all_the_same(redis_url):
    one, other = ("/" + "x" * 1_000 + end for end in "ab")
    with traffic_on(redis_url) as traffic:
        for route in (one, other, "/\ud800\x00\n"):
            traffic.count(OK._replace(route=route, client="\ud800" * 500, refused=(("\ud800", "\udfff" * 200),)))
        routes = [line.route for line in traffic.report().lines]
    assert len(set(routes)) == 3
    assert max(map(len, routes)) <= LONGEST


def test_what_waits_is_bounded_and_what_is_beyond_is_said():
    store = MemoryStore()
    traffic = traffic_on(store)
    for i in range(CLIENTS + 500):
        traffic.count(Served("", "GET", 429, 0.0, f"client {i}", (("login", f"client {i}"),)))
    assert traffic.behind.wait == 1 + REFUSED + CLIENTS
    assert traffic.behind.dropped == 500 + CLIENTS + 500 - REFUSED
    traffic.close()
    assert traffic.behind.wait == 0


def test_a_flood_of_identities_leaves_so_many_on_the_board_and_the_one_that_is_refused_most(redis_url, redis_client):
    with traffic_on(redis_url) as traffic:
        for flush in range(3):
            for i in range(REFUSED):
                traffic.count(Served("", "GET", 429, 0.0, "", (("login", f"{flush} {i}"),)))
                traffic.count(Served("", "GET", 429, 0.0, "", (("login", "mallory"),)))
            traffic.flush()
        first = traffic.report().refused[0]
    assert (first.who, first.times) == ("mallory", 3 * REFUSED)
    boards = [key for key in redis_client.scan_iter("*refused*tr1:*") if redis_client.type(key) == b"zset"]
    assert max(map(redis_client.zcard, boards)) <= REFUSED


def test_everything_is_forgotten_when_its_buckets_are_over(redis_url, redis_client):
    with traffic_on(redis_url, keep=60) as traffic:
        traffic.count(OK._replace(refused=(("login", "ann"),)))
        traffic.flush()
    keys = list(redis_client.scan_iter("*"))
    assert len(keys) == 5  # a board, one of refusals, distinct clients, and two receipts of this writer
    assert all(0 < redis_client.ttl(key) <= 61 * 60 for key in keys)
    assert all(len(key) < 200 for key in keys)


def test_with_hash_keys_the_store_is_not_told_addresses(redis_url, redis_client):
    with traffic_on(redis_url, hash_keys="a secret of sixteen bytes") as traffic:
        traffic.count(Served("", "GET", 429, 0.0, "192.0.2.77", refused_by([], 429, "192.0.2.77")))
        traffic.flush()
    held = [redis_client.zrange(key, 0, -1) for key in redis_client.scan_iter("*") if redis_client.type(key) == b"zset"]
    assert len(held) == 2
    assert b"192.0.2.77" not in b"".join(member for members in held for member in members)


# --- written behind ---


def test_what_is_sent_again_after_a_lost_answer_is_counted_once(redis_url):
    store = Forgetful(redis_url)
    traffic = traffic_on(store)
    for _ in range(3):
        traffic.count(OK._replace(refused=(("login", "ann"),)))
    for lost in range(3):
        store.loses = 1
        with pytest.raises(StoreUnavailable):
            traffic.flush()
        traffic.count(OK._replace(method="POST", client=f"192.0.2.{lost}"))
    report = traffic.report()
    assert counted(report) == {("GET", "/items/{id}"): {200: 3}, ("POST", "/items/{id}"): {200: 3}}
    assert ([one.times for one in report.refused], report.clients) == ([3], 3)
    traffic.close()
    store.close()


def test_sums_and_members_go_into_the_buckets_of_their_time(redis_url, clock):
    clock.advance_us(-clock() % 60_000_000 + 30_000_000)
    minute = 60_000_000
    for store in (RedisStore(redis_url, budget=10, clock=clock), MemoryStore(clock=clock)):
        board, members = Ranking(buckets_of("minute"), 8, 0, 100), Unique(buckets_of("minute"), 8, 0)
        sums, seen = Backlog(Scores(board, "board"), 1_000_000), Backlog(Members(members, "seen"), 1_000_000)
        for ago in range(4):
            for backlog in (sums, seen):
                backlog.add("ann", ago + 1, 10 * minute - ago * minute)
        seen.add("bob", 1, 9 * minute)
        for backlog in (sums, seen):
            backlog.written(store.count_many(backlog.next(10 * minute)))
        assert [board.entries(store.count("board", board.top(1, ago)))[0].score for ago in range(4)] == [1, 2, 3, 4]
        assert members.counted(store.count("seen", members.series(5))) == [0, 1, 1, 2, 1]
        store.close()


def test_of_calendar_buckets_they_do_too(redis_url, clock):
    store = RedisStore(redis_url, budget=10, clock=clock)
    hour = 3_600_000_000
    clock.advance_us(-clock() % hour + hour // 2)
    board, members = Ranking(buckets_of("hour", "Europe/Berlin"), 8, 0, 100), Unique(buckets_of("hour", "Europe/Berlin"), 8, 0)
    sums, seen = Backlog(Scores(board, "board"), 1_000_000), Backlog(Members(members, "seen"), 1_000_000)
    for backlog in (sums, seen):
        backlog.add("ann", 5, 8 * hour)
        backlog.written(store.count_many(backlog.next(10 * hour)))  # the store's clock is elsewhere: it says so, and is asked again
        backlog.written(store.count_many(backlog.next(10 * hour)))
        assert backlog.behind().wait == 0
    assert [len(board.entries(store.count("board", board.top(1, ago)))) for ago in range(4)] == [0, 0, 1, 0]
    assert members.counted(store.count("seen", members.series(4))) == [0, 1, 0, 0]
    store.close()


def test_a_store_that_is_away_keeps_nobody_waiting_and_loses_nothing():
    with servers.RedisServer() as server:
        traffic = Traffic(store=server.url, every=0.02, budget=0.5)
        traffic.count(OK)
        servers.until(lambda: not traffic.behind.wait)
        server.stop()
        began = time.monotonic()
        for i in range(1_000):
            traffic.count(OK._replace(client=f"client {i}"))
        assert time.monotonic() - began < 2
        with pytest.raises(StoreUnavailable):
            traffic.report()
        server.start()
        servers.until(lambda: not traffic.behind.wait)
        report = traffic.report()
        assert report.requests == 1_000  # what it held before went with it
        assert abs(report.clients - 1_000) < 40
        traffic.close()


def test_threads_lose_nothing(redis_url):
    with Traffic(store=redis_url, every=0.01, budget=10) as traffic:
        threads = [threading.Thread(target=lambda: [traffic.count(OK) for _ in range(2_000)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert traffic.report().requests == 16_000


# --- what cannot be ---


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"per": "month"}, "'minute', 'hour', 'day'"),
        ({"per": "fortnight"}, "write 'second'"),
        ({"keep": 201}, "from 1 to 200"),
        ({"every": 0}, "from 0.01 to 3600"),
        ({"store": object()}, "a store for threads"),
        ({"hash_keys": "short"}, "16 to 64 bytes"),
        ({"name": ""}, "write some text"),
    ],
)
def test_what_cannot_be_is_said(options, says):
    with pytest.raises(ConfigurationError, match=says):
        Traffic(**options)


def test_a_store_of_an_event_loop_in_memory_is_taken_and_the_readers_bounds_are_checked():
    traffic = Traffic(store=AsyncMemoryStore(MemoryStore()))
    traffic.count(OK)
    assert traffic.report().requests == 1
    for options in ({"last": 61}, {"last": 0}, {"refused": -1}):
        with pytest.raises(ConfigurationError):
            traffic.report(**options)
    assert ROWS >= 1_000
    traffic.close()
