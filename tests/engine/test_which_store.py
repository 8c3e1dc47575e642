"""
Which store it is that is away: in the log and in `health()`, without its password.
"""

import asyncio
import logging

import servers

from ratekit import AsyncLimiter, Limiter


def test_the_log_and_the_health_name_the_store_that_is_away_and_no_password(caplog):
    caplog.set_level(logging.INFO, logger="ratekit")
    with servers.RedisServer("--user", "app", "on", ">secret", "~*", "+@all") as server:
        place = f"redis://127.0.0.1:{server.port}/0"
        with Limiter("5/minute", store=f"redis://app:secret@127.0.0.1:{server.port}/0", name="named", budget=1) as limiter:
            assert limiter.hit("ann").source == "store"
            assert limiter.health().store == place
            server.stop()
            servers.until(lambda: limiter.hit("ann").source == "local" and limiter.health().state == "open")
            assert limiter.health().store == place
            server.start()
            servers.until(lambda: limiter.health().state == "closed")
    said = [(record.levelname, record.ratekit_store, record.getMessage()) for record in caplog.records if hasattr(record, "event")]
    assert [(level, where) for level, where, _ in said] == [("WARNING", place), ("INFO", place)]
    assert said[0][2].startswith(f"{place}: the store is left alone (")
    assert said[1][2].startswith(f"{place}: the store is back after ")
    assert "secret" not in caplog.text


def test_a_store_in_this_process_has_no_place(redis_url):
    async def where():
        async with AsyncLimiter("5/minute", name="placed", store=redis_url) as limiter:
            return limiter.health().store

    assert Limiter("5/minute", name="here").health().store == ""
    assert asyncio.run(where()).startswith("redis://")
