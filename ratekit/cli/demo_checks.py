"""
What the demonstration must have shown. Each check is a sentence and whether it holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ratekit.cli.demo_traffic import Answer, Traffic


@dataclass(frozen=True, slots=True)
class Check:
    """A sentence about the traffic, and whether it is true."""

    holds: bool
    sentence: str


def checks(traffic: Traffic) -> list[Check]:
    """Everything that is promised. The bounds hold whatever the machine's load: the server decided between first and last answer."""
    by_group = {name: [one for one in traffic.answers if one.group == name] for name in {one.group for one in traffic.answers}}
    steady, burst, scraper, guesser = (by_group.get(name, []) for name in ("steady users", "burst", "scraper", "guesser"))
    faults = "; ".join(traffic.faults[:3])
    return [
        Check(not traffic.faults, f"nothing went wrong on the way{f': {faults}' if faults else ''}"),
        Check(_refused(steady) == 0, f"steady users: {_refused(steady):,} of {len(steady):,} requests refused"),
        Check(_refused(burst) > 0, "the burst: let in up to its 20, then told when to come back, and let in then"),
        _bounded(scraper, traffic.seconds),
        Check(
            len(guesser) - _refused(guesser) == min(5, len(guesser)),
            f"the guesser: {len(guesser) - _refused(guesser)} of {len(guesser)} passwords tried, 5 a minute are allowed",
        ),
    ]


def _refused(answers: Sequence[Answer]) -> int:
    return sum(one.refused for one in answers)


def _bounded(scraper: Sequence[Answer], seconds: float) -> Check:
    # Its first request went out at a tenth of the time; whatever was decided, was decided between then and its last answer.
    admitted = len(scraper) - _refused(scraper)
    span = scraper[-1].at - 0.1 * seconds if scraper else 0.0
    most = 20 + int(5 * span)
    return Check(
        0 < admitted <= most and _refused(scraper) > 0,
        f"the scraper: {admitted:,} of {len(scraper):,} requests admitted, at most {most:,} are: 20, then 5 a second",
    )
