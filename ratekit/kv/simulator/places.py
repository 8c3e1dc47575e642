"""
Places: which caches lie on the way from a location to the central stores of a namespace.
"""

from typing import Final

from ratekit.kv.limits import CACHE_TTL
from ratekit.kv.namespace import Page
from ratekit.kv.simulator.central import Central
from ratekit.kv.simulator.tiers import SWEEP, Tier

REGIONS: Final = {
    location: region
    for region, locations in {
        "enam": "ATL BOS EWR IAD MIA ORD YYZ",
        "wnam": "DEN DFW LAX PHX SEA SJC YVR",
        "sam": "BOG EZE GIG GRU LIM SCL",
        "weur": "AMS BRU CDG DUB FRA LHR MAD MXP ZRH",
        "eeur": "ARN BUD HEL OTP PRG SOF VIE WAW",
        "apac": "BKK BOM DEL HKG ICN KIX MNL NRT SIN TPE",
        "oc": "AKL BNE MEL PER SYD",
        "afr": "CAI CPT JNB LOS NBO",
        "me": "AMM BAH DOH DXB TLV",
    }.items()
    for location in locations.split()
}
"""Which regional tier a location asks: by the regions that Cloudflare lets one hint at. Which it is in truth is not published."""


class Space:
    """One namespace: its central stores and all caches before them."""

    __slots__ = ("_locations", "_regions", "_top", "central", "name", "pages")

    def __init__(self, name: str, central: Central) -> None:
        self.name, self.central = name, central
        self._locations: dict[str, Tier] = {}
        self._regions: dict[str, Tier] = {}
        self._top = Tier()
        self.pages: dict[tuple[str, str, str, int], tuple[int, Page]] = {}
        """By location and what was asked: when it was seen, and what."""

    def path(self, location: str, region: str) -> tuple[Tier, Tier, Tier]:
        """The caches that a location's reads go through: its own, its region's, the central one."""
        own = self._locations.setdefault(location, Tier())
        return own, self._regions.setdefault(region, Tier()), self._top

    def keep_page(self, asked: tuple[str, str, str, int], page: Page, now: int) -> None:
        """Remember a page that was seen."""
        if len(self.pages) >= SWEEP:
            fresh = now - CACHE_TTL * 1_000_000
            self.pages = {one: seen for one, seen in self.pages.items() if seen[0] > fresh}
        self.pages[asked] = (now, page)
