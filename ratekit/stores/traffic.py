"""
Traffic: where a store is, how often it was asked, and for how many hits together: two plain integers that only grow.
"""


class Traffic:
    """Commands that were sent to a place, and the hits in them."""

    __slots__ = ("hits", "place", "trips")

    def __init__(self, place: str = "") -> None:
        self.place = place
        self.trips = self.hits = 0
