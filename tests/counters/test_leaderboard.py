"""
Leaderboard: scores, ranks, ties, bounds and periods, the same whoever keeps them.
"""

import itertools

import pytest
from doors import PATIENT
from hypothesis import given
from hypothesis import strategies as st

from ratekit import ConfigurationError
from ratekit.counters import Leaderboard
from ratekit.stores import MemoryStore, RedisStore
from ratekit.testing import ManualClock

names = (f"board-{number}" for number in itertools.count())


def lines(entries):
    return [(entry.rank, entry.member, entry.score) for entry in entries]


def test_the_highest_come_first_and_ties_by_their_text(way):
    board = way.Leaderboard()
    assert board.top() == []
    assert [board.add("bob", 5), board.add("ann", 7), board.add("ann", -2), board.add("Zoe", 5), board.add("zoé", 6)] == [
        5,
        7,
        5,
        5,
        6,
    ]
    assert lines(board.top()) == [(1, "zoé", 6), (2, "Zoe", 5), (3, "ann", 5), (4, "bob", 5)]
    assert lines(board.top(2)) == [(1, "zoé", 6), (2, "Zoe", 5)]


def test_a_member_is_found_with_its_neighbours(way):
    board = way.Leaderboard()
    for number in range(9):
        board.add(number, number)
    assert (board.rank(8), board.rank("0"), board.rank("nobody")) == (1, 9, None)
    assert lines(board.around(5, 1)) == [(3, "6", 6), (4, "5", 5), (5, "4", 4)]
    assert lines(board.around(8, 2)) == [(1, "8", 8), (2, "7", 7), (3, "6", 6)]
    assert lines(board.around(0, 1)) == [(8, "1", 1), (9, "0", 0)]
    assert board.around("nobody") == []


def test_members_are_removed_and_boards_made_as_new(way):
    board = way.Leaderboard()
    board.add("ann", 3)
    board.add("bob", 2)
    assert (board.remove("ann"), board.remove("ann"), lines(board.top())) == (True, False, [(1, "bob", 2)])
    board.reset()
    assert board.top() == []
    assert board.add("bob") == 1


def test_what_is_lower_than_the_size_allows_is_dropped(way):
    board = way.Leaderboard(size=3)
    for member, score in (("ann", 5), ("bob", 4), ("cat", 3), ("dan", 2), ("eve", 4)):
        board.add(member, score)
    assert lines(board.top()) == [(1, "ann", 5), (2, "bob", 4), (3, "eve", 4)]
    assert board.add("cat", 9) == 9
    assert [entry.member for entry in board.top()] == ["cat", "ann", "bob"]


def test_each_period_has_its_board(way, clock):
    board = way.Leaderboard(per="day", keep=3, tz="Asia/Tokyo")
    board.add("ann", 5)
    clock.advance(86_400)
    board.add("bob", 1)
    assert [lines(board.top(ago=ago)) for ago in range(3)] == [[(1, "bob", 1)], [(1, "ann", 5)], []]
    assert (board.rank("ann"), board.rank("ann", ago=1)) == (None, 1)
    clock.advance(86_400 * 3)
    assert [board.top(ago=ago) for ago in range(3)] == [[]] * 3


def test_a_board_without_periods_is_forgotten_after_its_last_change(way, clock):
    board = way.Leaderboard(expire=10)
    board.add("ann")
    clock.advance(9)
    board.remove("bob")
    clock.advance(9)
    assert board.rank("ann") == 1
    clock.advance(1)
    assert board.top() == []


steps = st.one_of(
    st.tuples(st.just("add"), st.sampled_from("abcdéF"), st.integers(-5, 9)),
    st.tuples(st.just("add"), st.sampled_from("abcdéF"), st.sampled_from([1, 10**15])),
    st.tuples(st.just("remove"), st.sampled_from("abcdéF")),
    st.tuples(st.just("read"), st.sampled_from("abcdéF"), st.integers(0, 2)),
    st.tuples(st.just("move"), st.sampled_from([1, 59, 60, 125])),
)


@pytest.fixture(scope="module")
def stores(redis_server):
    clock = ManualClock()
    redis = RedisStore(redis_server.url, clock=clock)
    yield clock, (MemoryStore(clock=clock), redis)
    redis.close()


@given(history=st.lists(steps, max_size=30), size=st.integers(1, 5))
def test_random_histories_are_told_the_same_by_all(stores, history, size):
    clock, engines = stores
    name = next(names)
    boards = [Leaderboard(name, store=store, size=size, per="minute", keep=3, **PATIENT) for store in engines]
    model = {}

    def ranked(ago):
        scores = model.get(clock() // 60_000_000 - ago, {})
        return [(i, member, scores[member]) for i, member in enumerate(sorted(scores, key=lambda some: (-scores[some], some)), 1)]

    for what, *words in [*history, ("read", "a", 1)]:
        if what == "add":
            member, amount = words
            scores = model.setdefault(clock() // 60_000_000, {})
            scores[member] = min(2**53 - 1, scores.get(member, 0) + amount)
            expected = scores[member]
            for _, dropped, _ in ranked(0)[size:]:
                del scores[dropped]
            assert [board.add(member, amount) for board in boards] == [expected] * 2
        elif what == "remove":
            there = model.get(clock() // 60_000_000, {}).pop(words[0], None) is not None
            assert [board.remove(words[0]) for board in boards] == [there] * 2
        elif what == "move":
            clock.advance(words[0])
        else:
            member, many = words
            for ago in range(3):
                rows = ranked(ago)
                places = [i for i, row in enumerate(rows) if row[1] == member]
                near = rows[max(0, places[0] - many) : places[0] + many + 1] if places else []
                for board in boards:
                    assert lines(board.top(4, ago=ago)) == rows[:4]
                    assert lines(board.around(member, many, ago=ago)) == near


def test_every_key_expires_and_what_is_not_ours_is_repaired(redis_url, redis_client):
    store = RedisStore(redis_url, budget=10)
    for options in ({}, {"per": "day", "keep": 3}):
        board = Leaderboard("n" * 200, prefix="p" * 99, store=store, **PATIENT, **options)
        board.add("ann")
        (key,) = redis_client.keys()
        assert len(key) < 200
        assert redis_client.ttl(key) > 0
        redis_client.set(key, "something else")
        assert (board.top(), board.rank("ann"), board.remove("ann")) == ([], None, False)
        assert board.add("ann", 2) == 2
        redis_client.flushall()
    store.close()


@pytest.mark.parametrize("ask", [lambda board: board.top(0), lambda board: board.top(ago=1), lambda board: board.add("ann", 0.5)])
def test_what_cannot_be_asked_is_said(ask):
    with pytest.raises(ConfigurationError):
        ask(Leaderboard("wrong"))
