"""
Options that several counters have: checked, with errors that say what would be right.
"""

from typing import Final

from ratekit.counters.buckets import Buckets, buckets_of, check_keep
from ratekit.errors import ConfigurationError

MOST_ADDED: Final = 10**15
"""The greatest amount of one add, and its negative the least."""
QUARTER: Final = 90 * 86_400
"""Seconds after its last add that what has no buckets is kept, unless it is told otherwise."""
LONGEST: Final = 3_653 * 86_400
"""Seconds: the longest `expire`, ten years."""
LONGEST_MEMBER: Final = 256
"""Characters of a member."""


def buckets_and_life(per: object, keep: object, tz: object, expire: object) -> tuple[Buckets | None, int, int]:
    """Buckets or None, how many are kept, and without them milliseconds to live."""
    if per is None:
        if keep is not None or tz is not None:
            raise ConfigurationError("keep and tz are for counters with buckets of time: write per='minute', keep=60")
        return None, 0, life_of(expire)
    buckets = buckets_of(per, tz)
    if keep is None:
        raise ConfigurationError(f"per {per!r} needs keep, the number of buckets that are kept: write keep=60")
    if expire != QUARTER:
        raise ConfigurationError("a counter with per and keep is forgotten when its buckets are over: leave expire out")
    return buckets, check_keep(keep), 0


def life_of(expire: object) -> int:
    """Milliseconds for seconds; 0 is for ever."""
    if expire is None:
        return 0
    if isinstance(expire, bool) or not isinstance(expire, int | float) or not 0.001 <= expire <= LONGEST:
        raise ConfigurationError(
            f"expire {expire!r}: write seconds from 0.001 to {LONGEST} (ten years), or None to keep it for ever"
        )
    return max(1, round(expire * 1000))


def check_amount(amount: object, what: str = "amount") -> int:
    """The amount itself."""
    if type(amount) is not int or not -MOST_ADDED <= amount <= MOST_ADDED:
        raise ConfigurationError(f"{what} {amount!r}: write a whole number from -10^15 to 10^15")
    return amount


def check_last(last: object, keep: int) -> int:
    """How many buckets to read; None is all of them."""
    if last is None:
        return keep
    if type(last) is not int or not 1 <= last <= keep:
        raise ConfigurationError(f"last {last!r}: write how many buckets, from 1 to the {keep} that are kept")
    return last


def check_whole(what: str, value: object, least: int, most: int) -> int:
    """A whole number in bounds."""
    if type(value) is not int or not least <= value <= most:
        raise ConfigurationError(f"{what} {value!r}: write a whole number from {least} to {most}")
    return value


def check_member(member: object) -> str:
    """A member as text."""
    if isinstance(member, int) and not isinstance(member, bool):
        return str(member)
    if isinstance(member, str) and len(member) <= LONGEST_MEMBER and _is_text(member):
        return member
    raise ConfigurationError(f"member {member!r}: write text of at most {LONGEST_MEMBER} characters, or a whole number")


def _is_text(member: str) -> bool:
    """Whether it can be written: half of a surrogate pair cannot."""
    try:
        member.encode()
    except UnicodeEncodeError:
        return False
    return True
