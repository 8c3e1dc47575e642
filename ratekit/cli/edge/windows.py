"""
The longer the window, the closer: KVStore under the same overload with limits of one minute to half an hour.

How far over a limit all nodes together may be depends on the overload and on the staleness as a share of the window, not on how many
hits a second there are: so a few are enough to see it.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from ratekit.cli.edge.limiters import MODES, kvstore
from ratekit.cli.edge.setting import Setting
from ratekit.limit import Limit

WINDOWS: Final = (60, 120, 300, 600, 1800)
"""Seconds."""
ENOUGH: Final = 10.0
"""Hits a second."""


class Point(NamedTuple):
    """What one window of so many seconds came to: admitted / limit, and the greatest that any node said it could be."""

    mode: str
    window: int
    admitted: float
    bound: float


def points(setting: Setting, progress: Callable[[], object] = lambda: None) -> list[Point]:
    """Each mode in each window that it can keep. `progress` is called after each of them."""
    rate = min(setting.rate, ENOUGH)
    found = []
    for window in WINDOWS:
        limit = Limit(max(1, round(rate * window / setting.overload)), per=window, algorithm="fixed_window")
        scaled = Setting(limit, rate, setting.nodes, setting.uneven, setting.seed)
        for mode in MODES:
            run = kvstore(scaled, mode)
            if run.bound is not None:
                found.append(Point(mode, window, len(run.admitted) / limit.quota, run.bound / limit.quota))
            progress()
    return found
