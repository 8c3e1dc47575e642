"""
What a limit means, in numbers and in words: the promise of its algorithm and what its state takes.
"""

from typing import Any

from ratekit.limit import Limit


def promised(limit: Limit) -> int:
    """
    The worst number of units that the algorithm admits in any window of the limit's period.

    >>> promised(Limit.parse("100/minute")), promised(Limit.parse("100/minute burst 20"))
    (100, 120)
    """
    return {
        "fixed_window": 2 * limit.quota - 1,
        "sliding_window": limit.quota,
        "sliding_counter": 2 * limit.quota,
        "token_bucket": limit.quota + limit.capacity,
        "calendar": 2 * limit.quota,
    }[limit.algorithm]


def state_bytes(limit: Limit) -> int:
    """The most bytes that the value of one key takes in Redis, as the Lua twins write it; its name and Redis's own are extra."""
    return {
        "fixed_window": len(str(limit.quota)),
        "sliding_window": 12 * (min(limit.quota, limit.buckets) + 1),
        "sliding_counter": 17,
        "token_bucket": 23,
        "calendar": len(str(limit.quota)),
    }[limit.algorithm]


def facts(limit: Limit) -> dict[str, Any]:
    """A limit as JSON has it."""
    return {
        "text": str(limit),
        "quota": limit.quota,
        "period_seconds": limit.per,
        "algorithm": limit.algorithm,
        "burst": limit.burst,
        "buckets": limit.buckets if limit.algorithm == "sliding_window" else None,
        "name": limit.name,
        "worst_in_any_window": promised(limit),
        "state_bytes": state_bytes(limit),
    }


def period_text(limit: Limit) -> str:
    """The period in words: "minute", "15 seconds"."""
    text = str(Limit(1, per=limit.per))
    return text.partition("/")[2]


def sentences(limit: Limit) -> list[tuple[str, str]]:
    """A limit in words: pairs of what and how much."""
    period = period_text(limit)
    window = period if period[0].isdigit() else f"1 {period}"
    lines = [("quota", f"{limit.quota:,}"), ("period", f"{window} ({limit.per:,} s)"), ("algorithm", limit.algorithm)]
    if limit.burst is not None:
        lines.append(("burst", f"{limit.burst:,} at once, then one every {_pace(limit)}"))
    if limit.algorithm == "sliding_window":
        lines.append(("buckets", f"{limit.buckets:,}: {_cells(limit)}"))
    lines.append(("name", limit.name or "none"))
    lines.append(("worst case", f"{promised(limit):,} in any window of {window}{_why(limit)}"))
    lines.append(("memory", f"at most {state_bytes(limit):,} bytes of state per client in Redis, besides the key"))
    return lines


def _pace(limit: Limit) -> str:
    seconds = limit.per / limit.quota
    return f"{seconds:,.6g} s" if seconds >= 0.001 else f"{seconds * 1_000_000:,.6g} us"


def _cells(limit: Limit) -> str:
    if limit.quota <= limit.buckets:
        return "every hit is remembered by itself, so nothing is refused too early"
    cell = -(-limit.period // (limit.buckets - 1)) / 1_000_000
    return f"a unit is free again at most {cell:,.6g} s late"


def _why(limit: Limit) -> str:
    return {
        "fixed_window": ": the end of one window and the start of the next",
        "sliding_window": ", whatever the arrivals",
        "sliding_counter": ": the last window is taken as evenly spread",
        "calendar": ": the end of one and the start of the next",
        "token_bucket": ": a full burst and what is refilled meanwhile",
    }[limit.algorithm]
