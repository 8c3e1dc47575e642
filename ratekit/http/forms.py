"""
Forms: the fields that say what is promised and what is left, as the drafts of draft-ietf-httpapi-ratelimit-headers wrote them.

    draft-8 to 11   RateLimit-Policy: "burst";q=10;w=1, "daily";q=500;w=86400      RateLimit: "burst";r=9;t=1, "daily";r=0;t=60
    draft-7         RateLimit-Policy: 10;w=1, 500;w=86400                          RateLimit: limit=500, remaining=0, reset=60
    draft-6         RateLimit-Policy as draft-7, and RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset
    x-ratelimit     X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset (seconds since 1970)
    none            nothing

Since draft-10 `t` is when there is more than now. Before, it and `reset` were when the quota is as new; on a refusal, as those drafts
ask, what Retry-After says. Forms with room for one limit tell the one that decided.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from ratekit.limit import Limit

Fields = list[tuple[bytes, bytes]]

Left = tuple[int, ...]
"""
What is left of a limit: units, and the whole seconds until there are more, 0 when all are there. For forms that are not the newest
also the seconds until it is as new, and that instant in seconds since 1970.
"""

Write = Callable[[Sequence[Left], int], Fields]
"""(what is left of each limit, which of them decided) -> fields."""


class Writer(NamedTuple):
    """How a form writes; `asks`: it makes a difference to it which limit decided."""

    write: Write
    asks: bool = True


SECOND: Final = 1_000_000
MOST: Final = 1024
"""Bytes of one field. Proxies commonly take 4 to 8 kB for all fields of a response, and hold these two back with the rest."""
WIDEST: Final = len("1000000000;t=9999999999")
"""Characters of what is left, at the most: a thousand million units, and a hundred years."""


class Form(NamedTuple):
    """The fields that a form sends; `write` makes its writer for (labels, limits, partition keys), `now`: since draft-10."""

    fields: tuple[str, ...]
    write: Callable[[Sequence[str], Sequence[Limit], Sequence[str]], Writer]
    now: bool = False


def promise(limit: Limit) -> tuple[int, str]:
    """A limit's quota, and its window as a parameter."""
    # A token bucket holds its burst and takes the time to fill; a window shorter than a second cannot be said.
    window = -(-limit.capacity * limit.period // limit.quota) if limit.burst is not None else limit.period
    return limit.capacity, f";w={-(-window // SECOND)}" if window >= SECOND else ""


def string(text: str) -> str:
    """Printable ASCII as a String of structured fields."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def partition(key: str) -> str:
    """A partition key in base64 as a parameter; nothing for none."""
    return f";pk=:{key}:" if key else ""


def items(which: int) -> Callable[[Sequence[str], Sequence[Limit], Sequence[str]], Writer]:
    """Lists of strings, one per limit; `which` of what is left is its `t`."""

    def form(labels: Sequence[str], limits: Sequence[Limit], partitions: Sequence[str]) -> Writer:
        keys = [partition(key) for key in partitions]
        promised = [promise(limit) for limit in limits]
        promises = [f"{string(label)};q={q}{w}{key}" for label, (q, w), key in zip(labels, promised, keys, strict=True)]
        heads = [f"{string(label)};r=" for label in labels]
        sizes = [max(len(said), len(head) + WIDEST + len(key)) + 2 for said, head, key in zip(promises, heads, keys, strict=True)]

        def item(head: str, left: Left, key: str) -> str:
            return f"{head}{left[0]};t={left[which]}{key}" if left[which] else f"{head}{left[0]}{key}"

        def write_some(lefts: Sequence[Left], decided: int) -> Fields:
            some = fitting(sizes, lefts, decided)
            said, state = [promises[i] for i in some], [item(heads[i], lefts[i], keys[i]) for i in some]
            return [(b"ratelimit-policy", ", ".join(said).encode("ascii")), (b"ratelimit", ", ".join(state).encode("ascii"))]

        if sum(sizes) > MOST:
            return Writer(write_some)
        policy = (b"ratelimit-policy", ", ".join(promises).encode("ascii"))

        def write(lefts: Sequence[Left], decided: int) -> Fields:
            return [policy, (b"ratelimit", ", ".join(map(item, heads, lefts, keys)).encode("ascii"))]

        return Writer(write, asks=False)

    return form


def fitting(sizes: Sequence[int], lefts: Sequence[Left], decided: int) -> Sequence[int]:
    """Which limits are told where there is no room for all: what decided, then those with the least left; in the order given."""
    told: list[int] = []
    room = MOST
    for i in sorted(range(len(sizes)), key=lambda i: (i != decided, lefts[i][0])):
        room -= sizes[i]
        if room < 0 and told:
            break
        told.append(i)
    return sorted(told)


def quotas(limits: Sequence[Limit]) -> tuple[bytes, bytes]:
    """RateLimit-Policy before draft-8: quotas with their windows. One quota may not come twice: the longest window is said."""
    promised = dict(sorted(((quota, window) for quota, window in map(promise, limits)), key=lambda said: (len(said[1]), said[1])))
    said = [f"{quota}{promised[quota]}" for quota in dict.fromkeys(quota for quota, _ in map(promise, limits))]
    while sum(map(len, said)) + 2 * len(said) > MOST:
        said.pop()
    return b"ratelimit-policy", ", ".join(said).encode("ascii")


def dictionary(labels: Sequence[str], limits: Sequence[Limit], partitions: Sequence[str]) -> Writer:
    """Draft-7."""
    policy = quotas(limits)

    def write(lefts: Sequence[Left], decided: int) -> Fields:
        remaining, _, reset, _ = lefts[decided]
        return [policy, (b"ratelimit", b"limit=%d, remaining=%d, reset=%d" % (limits[decided].capacity, remaining, reset))]

    return Writer(write)


def three(prefix: bytes, which: int) -> Callable[[Sequence[str], Sequence[Limit], Sequence[str]], Writer]:
    """Three fields of one number each; `which` of what is left is the reset."""

    def form(labels: Sequence[str], limits: Sequence[Limit], partitions: Sequence[str]) -> Writer:
        policy = [] if prefix.startswith(b"x-") else [quotas(limits)]

        def write(lefts: Sequence[Left], decided: int) -> Fields:
            left = lefts[decided]
            return [
                *policy,
                (prefix + b"limit", b"%d" % limits[decided].capacity),
                (prefix + b"remaining", b"%d" % left[0]),
                (prefix + b"reset", b"%d" % left[which]),
            ]

        return Writer(write)

    return form


def nothing(labels: Sequence[str], limits: Sequence[Limit], partitions: Sequence[str]) -> Writer:
    """No fields at all."""
    return Writer(lambda lefts, decided: [], asks=False)


_TWO = ("ratelimit-policy", "ratelimit")

FORMS: Final[dict[str, Form]] = {
    "draft-11": Form(_TWO, items(1), now=True),
    "draft-10": Form(_TWO, items(1), now=True),
    "draft-9": Form(_TWO, items(2)),
    "draft-8": Form(_TWO, items(2)),
    "draft-7": Form(_TWO, dictionary),
    "draft-6": Form(("ratelimit-policy", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"), three(b"ratelimit-", 2)),
    "x-ratelimit": Form(("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"), three(b"x-ratelimit-", 3)),
    "none": Form((), nothing, now=True),
}
"""The forms by name."""
