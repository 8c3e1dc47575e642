"""
Shard: what one node tells the others, as one value: everything that it has counted in the windows that are open, all keys together.

A shard is written by its own node alone and holds whole counts, not differences: a write that is lost is made good by the next one,
and reading twice changes nothing. It is JSON:

    {"v": 1, "id": "9f…", "started": 1764, "written": 1766, "n": 7, "windows": [[3600000, 490012, {"key": 12}, {"key": 0.4}, {}]]}

that is per window its period (milliseconds), its number since the epoch, and by key the units, where asked for the units a second,
and how often the key was made as new. Keys are digests: a shard names nobody.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from ratekit.errors import StoreError
from ratekit.stores.naming import Canonical, Space

VERSION: Final = 1


class Window(NamedTuple):
    """A time bucket: `period` in milliseconds, `number` counted from the epoch."""

    period: int
    number: int

    @property
    def start(self) -> int:
        """Microseconds since the epoch."""
        return self.number * self.period * 1000

    @property
    def end(self) -> int:
        """Microseconds since the epoch."""
        return (self.number + 1) * self.period * 1000


class Tally(NamedTuple):
    """One node's window: by key the units, the units a second (empty unless asked for), and the resets (of keys that had any)."""

    units: Mapping[str, int]
    rates: Mapping[str, float]
    resets: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Shard:
    """What a node tells: its id, when it started and wrote this (microseconds), the number of this writing, its windows."""

    id: str
    started: int
    written: int
    number: int
    windows: Mapping[Window, Tally]


@lru_cache(maxsize=16_384)
def digest(space: Space, identity: Canonical) -> str:
    """The name of a key in a shard: 120 bits, so that no two keys meet."""
    return blake2b(space.key(identity).encode("ascii"), digest_size=15).hexdigest()


def pack(shard: Shard) -> bytes:
    """The value to write."""
    windows = [[*window, dict(units), dict(rates), dict(resets)] for window, (units, rates, resets) in shard.windows.items()]
    whole = {"v": VERSION, "id": shard.id, "started": shard.started, "written": shard.written, "n": shard.number}
    return json.dumps(whole | {"windows": windows}, separators=(",", ":")).encode("ascii")


def unpack(value: bytes) -> Shard:
    """
    What was written. Raises StoreError for a value that is no shard, or one of a later version.
    """
    try:
        whole: Any = json.loads(value)
        if whole["v"] != VERSION:
            raise ValueError(f"version {whole['v']!r}")  # noqa: TRY301 - it is told as the others are
        windows = {
            Window(_whole(period), _whole(number)): Tally(_numbers(units), _rates(rates), _numbers(resets))
            for period, number, units, rates, resets in whole["windows"]
        }
        return Shard(str(whole["id"]), _whole(whole["started"]), _whole(whole["written"]), _whole(whole["n"]), windows)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(f"a shard makes no sense: {error!r}") from None


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(value)
    return value


def _numbers(counts: dict[str, Any]) -> dict[str, int]:
    if not all(type(count) is int and count >= 0 for count in counts.values()):
        raise ValueError(counts)
    return counts


def _rates(rates: dict[str, Any]) -> dict[str, float]:
    if not all(type(rate) in (int, float) and 0 <= rate < math.inf for rate in rates.values()):
        raise ValueError(rates)
    return rates
