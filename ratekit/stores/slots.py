"""
Slots: the 16,384 parts of a Redis Cluster's keys. A key is in the slot of what its braces hold: name and identity.
"""

from binascii import crc_hqx
from collections.abc import Iterable, Sequence
from typing import Any, Final

from ratekit.stores.naming import Canonical, Space, escaped
from ratekit.stores.protocol import Ask

SLOTS: Final = 16_384


def slot_of(key: str) -> int:
    """The slot of one of our keys: that of what its braces hold (CRC16, as XMODEM has it)."""
    first = key.index("{") + 1
    return crc_hqx(key[first : key.index("}", first)].encode(), 0) % SLOTS


def slot_in(space: Space, identity: Canonical) -> int:
    """The slot of an identity."""
    return crc_hqx(f"{space.head.partition('{')[2]}{escaped(identity)}".encode(), 0) % SLOTS


def together_in(slots: Iterable[int]) -> list[list[int]]:
    """The places of what is in the same slot, slot by slot."""
    groups: dict[int, list[int]] = {}
    for place, slot in enumerate(slots):
        groups.setdefault(slot, []).append(place)
    return list(groups.values())


def slots_of(asks: Sequence[Ask]) -> list[int]:
    """The slot of each."""
    return [slot_in(ask.space, ask.identity) for ask in asks]


def by_shard(store: Any, slots: Sequence[int]) -> list[tuple[Any, list[int]]]:
    """The places of what is with the same shard, shard by shard."""
    groups: dict[Any, list[int]] = {}
    for place, slot in enumerate(slots):
        groups.setdefault(store.shard_of(slot), []).append(place)
    return [*groups.items()]
