"""
A limit's text: from "100/minute burst 20" to what a Limit is made with, and a period as it is printed.

Read strictly: what is not understood is an error that says what would be right. What the numbers may be is for the Limit to say.
"""

import re
from datetime import timedelta
from typing import Any, Final, Literal

from ratekit.errors import ConfigurationError

MOST: Final = 1_000_000_000
"""The greatest quota, burst and cost."""
LONGEST: Final = 3_653 * 86_400_000
"""The longest period in milliseconds: ten years."""

ALGORITHM_NAMES: Final = ("fixed_window", "sliding_window", "sliding_counter", "token_bucket")

_UNITS: Final = {
    "ms": 1,
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1_000),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60_000),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600_000),
    **dict.fromkeys(("d", "day", "days"), 86_400_000),
    **dict.fromkeys(("w", "week", "weeks"), 604_800_000),
}
_PRINTED: Final = (("week", 604_800_000), ("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1_000))
_UNIT_LIST: Final = "ms, s, sec, second, m, min, minute, h, hr, hour, d, day, w, week and their plurals"

_RATE = re.compile(
    r"\s*(?P<quota>[^\s/]*)(?:\s*/\s*|\s+per\s+)(?P<period>(?:[0-9]+\s*)?[^\s0-9/]\S*)(?P<options>(?:\s.*)?)", re.DOTALL
)
_COMMA = re.compile(r",\s*[0-9]+\s*(?:/|per\s)")
_PERIOD = re.compile(r"(?:(?P<count>[0-9]{1,15})\s*)?(?P<unit>[a-z]+)")


def read(text: str) -> tuple[Literal["period", "calendar"], dict[str, Any]]:
    """What a limit is made with, and of which kind it is; raises ConfigurationError that says what would be right."""
    if _COMMA.search(text):
        raise ConfigurationError("write ';' between two limits, as in '100/minute; 1000/day'")
    rate = _RATE.fullmatch(text)
    if rate is None:
        raise ConfigurationError("write a quota per period, such as '5/minute', '10/15s' or '5 per 2 hours'")
    quota = _number("quota", rate["quota"])
    if rate["period"] == "calendar":
        return "calendar", _calendar(quota, rate["options"].split())
    milliseconds = _period(rate["period"], quota)
    options = _options(rate["options"].split())
    return "period", {
        "quota": quota,
        "per": timedelta(milliseconds=milliseconds),
        "algorithm": options.get("algorithm"),
        "burst": _number("burst", options["burst"]) if "burst" in options else None,
        "buckets": _number("buckets", options["buckets"]) if "buckets" in options else 60,
        "name": options.get("name"),
    }


def _calendar(quota: int, words: list[str]) -> dict[str, Any]:
    unit, *rest = words or [""]
    name = None
    if len(rest) > 1 and rest[-2] == "name":
        *rest, _, name = rest
    if len(rest) > 1:
        raise ConfigurationError(f"{' '.join(rest)!r} is not understood; write a time zone, such as Europe/Berlin, or 'name NAME'")
    return {"quota": quota, "unit": unit, "tz": rest[0] if rest else "UTC", "name": name}


def _number(what: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text):
        raise ConfigurationError(f"{what} {text!r}: write a whole number from 1 to {MOST}")
    return int(text)


def _period(text: str, quota: int) -> int:
    period = _PERIOD.fullmatch(text)
    unit = period["unit"] if period else text.lstrip("0123456789 ")
    if unit in ("month", "months", "mo"):
        raise ConfigurationError(
            f"a month has no fixed length; write '{quota}/30 days' for a fixed one, or '{quota} per calendar month'"
        )
    if unit in ("year", "years", "y"):
        raise ConfigurationError(
            f"a year has no fixed length; write '{quota}/365 days' for a fixed one, or '{quota} per calendar year'"
        )
    if unit not in _UNITS:
        raise ConfigurationError(f"unknown unit {unit!r}; the units are {_UNIT_LIST}")
    count = int(period["count"] or 1) if period else 0
    if not 1 <= count * _UNITS[unit] <= LONGEST:
        raise ConfigurationError(f"period {text!r}: write a period from 1 ms to ten years (3653 days)")
    return count * _UNITS[unit]


def _options(words: list[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if word in ALGORITHM_NAMES:
            key, value = "algorithm", word
        elif word in ("burst", "buckets", "name"):
            key, value = word, next(rest, "")
        else:
            known = ", ".join(ALGORITHM_NAMES)
            raise ConfigurationError(
                f"{word!r} is not understood; write 'burst N', 'buckets N', 'name NAME' or an algorithm ({known})"
            )
        if not value:
            raise ConfigurationError(f"{word!r} needs a value, as in '{word} 20'")
        if key in options:
            raise ConfigurationError(f"{key} is given twice; write it once")
        options[key] = value
    return options


def period_text(milliseconds: int) -> str:
    """A period as a limit's text has it: in the longest unit of which it is whole."""
    for unit, length in _PRINTED:
        if milliseconds % length == 0:
            count = milliseconds // length
            return unit if count == 1 else f"{count} {unit}s"
    return f"{milliseconds} ms" if milliseconds > 1 else "ms"
