"""
Guards: a remote store with what it is guarded by: one circuit, or one for each of its shards.
"""

from typing import Any, Final

from ratekit.guarded.shards import GuardedShards
from ratekit.guarded.shards_async import AsyncGuardedShards
from ratekit.guarded.store import GuardedStore
from ratekit.guarded.store_async import AsyncGuardedStore

GUARDED: Final = (GuardedStore, AsyncGuardedStore, GuardedShards, AsyncGuardedShards)


def guarded(store: Any, *, wait: bool, **how: Any) -> Any:
    """A remote store, guarded; `how` are the arguments of a guarded store."""
    if hasattr(store, "shard_of"):
        return (AsyncGuardedShards if wait else GuardedShards)(store, **how)
    return (AsyncGuardedStore if wait else GuardedStore)(store, **how)
