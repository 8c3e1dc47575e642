"""
Where state lives. A store decides one hit at a time, all-or-nothing, by the rules it is handed and by its own clock.

A store is one file that offers what `Store` (or `AsyncStore`) asks for; nothing needs to be inherited.
"""

from ratekit.stores.memory import AsyncMemoryStore, MemoryStore
from ratekit.stores.protocol import Ask, AsyncStore, Seens, Store
from ratekit.stores.url import open_async_store, open_store

__all__ = ["Ask", "AsyncMemoryStore", "AsyncStore", "MemoryStore", "Seens", "Store", "open_async_store", "open_store"]
