"""
The Upstash stores as a type checker sees them.
"""

from typing import assert_type

from ratekit import AsyncLimiter, Limiter
from ratekit.stores import AsyncStore, AsyncUpstashStore, Store, UpstashStore

store = UpstashStore("https://name.upstash.io", token="AX", budget=0.5)
async_store = AsyncUpstashStore("upstash://AX@name.upstash.io")
a_store: Store = store
an_async_store: AsyncStore = async_store
limiter, async_limiter = Limiter("9/minute", store=store), AsyncLimiter("9/minute", store=async_store)

assert_type(UpstashStore.from_env(), UpstashStore)
assert_type(AsyncUpstashStore.from_env(budget=2), AsyncUpstashStore)
assert_type(store.sync_token, str)
async_store.sync_token = store.sync_token
