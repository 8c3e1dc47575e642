"""
Guards: a remote store with what it is guarded by: one circuit, or one for each of its shards.
"""

from typing import Any, Final

from ratekit.guarded import GuardedStore
from ratekit.guarded_async import AsyncGuardedStore
from ratekit.guarded_shards import GuardedShards
from ratekit.guarded_shards_async import AsyncGuardedShards

GUARDED: Final = (GuardedStore, AsyncGuardedStore, GuardedShards, AsyncGuardedShards)


def guarded(store: Any, *, wait: bool, **how: Any) -> Any:
    """A remote store, guarded; `how` are the arguments of a guarded store."""
    if hasattr(store, "shard_of"):
        return (AsyncGuardedShards if wait else GuardedShards)(store, **how)
    return (AsyncGuardedStore if wait else GuardedStore)(store, **how)
