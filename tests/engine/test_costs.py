"""
A cost that is none is a ValueError, before anything is sent.
"""

import doors
import pytest
import servers

BAD = [-1, 0, float("nan"), True, "5", 1.5, 1e20, 10**9 + 1, 10**20, None, float("inf"), b"1"]
BAD_COMMITS = [-1, True, "5", 1.5, 10**9 + 1, None]


@pytest.fixture(params=doors.DOORS)
def limiter(request, redis_url):
    with doors.opened(request.param, redis_url, None) as door:
        yield door.limiter("5/minute")


@pytest.mark.parametrize("cost", BAD, ids=repr)
def test_a_bad_cost_is_a_value_error_and_nothing_is_sent(limiter, redis_client, cost):
    before = servers.calls_of(redis_client, "evalsha", "eval")
    for ask in (limiter.hit, limiter.peek, limiter.acquire, limiter.reserve):
        with pytest.raises(ValueError, match="cost"):
            entered(ask, cost)
    assert servers.calls_of(redis_client, "evalsha", "eval") == before
    assert limiter.peek("ann").remaining == 5


def entered(ask, cost):
    answer = ask("ann", cost=cost)
    if hasattr(answer, "__enter__"):
        with answer:
            pass


@pytest.mark.parametrize("cost", BAD_COMMITS, ids=repr)
def test_a_bad_commit_is_a_value_error_and_leaves_the_reservation_open(limiter, cost):
    with limiter.reserve("ann", cost=3) as reservation:
        with pytest.raises(ValueError, match="commit"):
            reservation.commit(cost)
        assert reservation.commit(1).remaining == 4


@pytest.mark.parametrize("timeout", [-1, "5", True, float("nan")], ids=repr)
def test_a_bad_timeout_is_a_value_error(limiter, timeout):
    with pytest.raises(ValueError, match="timeout"):
        limiter.acquire("ann", timeout=timeout)


def test_the_greatest_cost_there_is_can_be_asked(limiter):
    assert limiter.hit("ann", cost=10**9).retry_after == float("inf")
