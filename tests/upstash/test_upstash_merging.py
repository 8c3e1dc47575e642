"""
What was admitted while the REST server was away is charged when it answers again, once.
"""

import doors
import pytest
import servers
from upstash.running import upstash

from ratekit.guarded.circuit import circuit_of


@pytest.mark.parametrize("kind", doors.UPSTASH)
def test_what_was_spent_meanwhile_is_charged_when_it_answers_again(kind):
    port = servers.free_port()
    with servers.RedisServer() as server:
        with upstash(server, port=port) as before:
            url = before.url
        with doors.opened(kind, url, None, deny_cache=0) as door:
            limiter = door.limiter("9/hour", "20/day token_bucket", name="merging")
            debts = circuit_of(door.store).debts
            with upstash(server, port=port):
                servers.until(lambda: limiter.hit("ann", cost=2).source == "store")
            servers.until(lambda: limiter.hit("nobody") is not None and limiter.health().state == "open")
            assert limiter.hit("ann", cost=3).source == "local"
            with upstash(server, port=port):
                servers.until(lambda: limiter.health().state == "closed" and not len(debts) + debts.out)
                assert [part.limit.capacity - part.remaining for part in limiter.peek("ann").details] == [5, 5]
