"""
Upstash: Redis over HTTPS. The same script as on Redis, one request for all that waits, the server's own clock.

    store.py      the two stores: thin shells
    line.py       the requests of an event loop: one under way at a time
    thread.py     the event loop that serves threads
    wire.py       commands as JSON; replies and errors as ours; sync tokens
    address.py    where, and with which token

httpx is imported when a store is made, not before.
"""

from ratekit.stores.upstash.store import AsyncUpstashStore, UpstashStore

__all__ = ["AsyncUpstashStore", "UpstashStore"]
