"""
Traffic: what an application serves, counted by all its workers into one picture. The middlewares count; whoever wants to know reads.

All of it is written behind, by a thread: a request pays for some additions in this process, and neither waits for the store nor fails
with it. It is a leaderboard of rows (`served.py`), one of who was refused, and a counter of distinct clients, each by time.
"""

from collections import Counter as Sums
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Final
from urllib.parse import unquote

from ratekit.counters.backlog import Behind
from ratekit.counters.buckets import date_of
from ratekit.counters.options import QUARTER, buckets_and_life, check_last, check_whole
from ratekit.counters.place import Place
from ratekit.counters.ranking import Ranking, Scores
from ratekit.counters.series import Bucket
from ratekit.counters.served import Line, Rows, Served, lines_of
from ratekit.counters.unique import Members, Unique
from ratekit.counters.write_behind import Writer, backlog_of, check_interval, now
from ratekit.errors import ConfigurationError
from ratekit.http.hashing import hasher
from ratekit.stores.memory import AsyncMemoryStore
from ratekit.stores.naming import LONG, Canonical, canonical, escaped
from ratekit.stores.protocol import Store

ROWS: Final = 2_000
"""Rows that are told apart, in a process and in each bucket of time."""
REFUSED: Final = 1_000
"""Identities that were refused, the same."""
CLIENTS: Final = 10_000
"""Clients that wait to be written at most; those beyond are not counted among the distinct ones."""
TOGETHER: Final = 128
"""Sums in one trip, so that none keeps a hit waiting for long."""
AT_MOST: Final = 200
"""Buckets of time that are kept at most: all are read at once."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Whom a policy refused, and how often; `policy` is "" where something else than a policy answered 429."""

    who: str
    policy: str
    times: int


@dataclass(frozen=True, slots=True)
class Report:
    """
    What was served: requests by bucket of time in `series`, by route and method in `lines`, the most first; about how many distinct
    `clients`; and who was `refused` most.
    """

    series: Sequence[Bucket]
    lines: Sequence[Line]
    clients: int
    refused: Sequence[Refused]

    @property
    def requests(self) -> int:
        """All requests."""
        return sum(bucket.count for bucket in self.series)


class Traffic:
    """
    What an application serves: requests by route, method and status, the time until each answer began, distinct clients, and who is
    refused most; by `per` and `keep` as in `Counter` ("minute" and 60: the last hour by minute).

    The middlewares make one and `count` each request; so may you, for what comes by other ways. All that count under one `name` (and
    `prefix`, and store) count together. It is written every `every` seconds and on `close`; while the store is away sums wait, as a
    counter's do that writes behind. `store` is a URL or a store for threads. With `hash_keys` the store is not told the addresses of
    those who were refused. Raises ConfigurationError for what cannot be.

    >>> with Traffic("example traffic") as traffic:
    ...     traffic.count(Served("/items/{id}", "GET", 200, 0.004, "192.0.2.7"))
    ...     traffic.report().requests, traffic.report().clients
    (1, 1)
    """

    def __init__(
        self,
        name: str = "default",
        *,
        store: str | Store = "memory://",
        per: str | float | timedelta = "minute",
        keep: int = 60,
        every: float = 5.0,
        prefix: str = "ratekit",
        hash_keys: bool | str | bytes = False,
        budget: float | None = 1.0,
    ) -> None:
        self.name, every = name, check_interval(every)
        buckets, kept, life = buckets_and_life(per, keep, None, QUARTER)
        if buckets is None or not buckets.period:
            raise ConfigurationError(f"per {per!r}: write 'second', 'minute', 'hour', 'day', or seconds")
        self._buckets, self._keep = buckets, check_whole("keep", kept, 1, AT_MOST)
        self._address: Callable[[str], str] = hasher(hash_keys) if hash_keys else str
        given: Any = store
        if type(given) is AsyncMemoryStore:  # as an ASGI application may have it
            store = given.sync
        self._place = Place(store, wait=False, name=name, prefix=prefix, tail=f"traffic:{buckets.label}:tr1", budget=budget)
        self._store: Any = self._place.store
        self._rows = Rows(ROWS)
        self._served = Scores(Ranking(buckets, kept, life, ROWS), self._place.key("requests"))
        self._refused = Scores(Ranking(buckets, kept, life, REFUSED), self._place.key("refused"))
        self._clients = Members(Unique(buckets, kept, life), self._place.key("clients"))
        plans = ((self._served, 3 * ROWS), (self._refused, REFUSED), (self._clients, CLIENTS))
        self._waiting = [backlog_of(plan, every, most, TOGETHER) for plan, most in plans]
        self._writer = Writer(self._store, every, *self._waiting)

    def count(self, served: Served) -> None:
        """Count a request; never fails because of the store, and never waits for it."""
        at, (requests, refused, clients) = now(), self._waiting
        requests.add(self._rows.of(served), 1, at)
        if served.client:
            clients.add(_text(served.client), 1, at)
        for policy, who in served.refused:
            refused.add(f"{_text(policy)} {_text(who if policy or not isinstance(who, str) else self._address(who))}", 1, at)
        self._writer.begin()

    def report(self, last: int | None = None, *, refused: int = 20) -> Report:
        """What was served in the last buckets (all that are kept), with so many of those who were refused. Raises StoreError."""
        last = check_last(last, self._keep)
        many = check_whole("refused", refused, 0, REFUSED)
        self.flush()
        boards = [
            (board.key, board.plan.top(board.plan.size, ago))
            for board in (self._served, self._refused)
            for ago in range(last - 1, -1, -1)
        ]
        answers = self._store.count_many([*boards, (self._clients.key, self._clients.plan.count(last))])
        rows: Sums[str] = Sums()
        series = [Bucket(start, sum(_into(rows, entries))) for start, entries in self._boards(self._served, answers[:last])]
        whom: Sums[str] = Sums()
        for _, entries in self._boards(self._refused, answers[last:-1]):
            sum(_into(whom, entries))
        return Report(series, lines_of(rows.items()), self._clients.plan.counted(answers[-1])[0], _most(whom, many))

    def _boards(self, board: Scores, answers: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """The start of each bucket, and the lines of its board."""
        for ago, answer in zip(range(len(answers) - 1, -1, -1), answers, strict=True):
            start = self._buckets.starts(answer[2] // 1000, ago, 0)[0]
            yield date_of(start, self._buckets), board.plan.entries(answer)

    def flush(self) -> None:
        """Write what waits. Raises StoreError: then it waits on."""
        self._writer.flush()

    @property
    def behind(self) -> Behind:
        """What waits to be written, and what became of more than can wait: rows, identities and clients together."""
        each = [backlog.behind() for backlog in self._waiting]
        return Behind(sum(b.wait for b in each), sum(b.dropped for b in each), sum(b.unsure for b in each))

    def close(self) -> None:
        """Write what waits; let go of a store that was opened from a URL. A store object that was passed in stays open."""
        self._writer.close()
        if self._place.leaves():
            self._store.close()

    def __enter__(self) -> "Traffic":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Traffic({self.name!r})"


def _text(who: Canonical) -> str:
    """A name as a key would show it: printable ASCII, 60 characters at most."""
    return escaped(canonical(who) if isinstance(who, str) and len(who) > LONG else who)


def _into(sums: "Sums[str]", entries: Sequence[Any]) -> Iterator[int]:
    for entry in entries:
        sums[entry.member] += entry.score
        yield entry.score


def _most(whom: "Sums[str]", many: int) -> list[Refused]:
    found = sorted(whom.items(), key=lambda pair: (-pair[1], pair[0]))[:many]
    return [Refused(unquote(text.partition(" ")[2]), unquote(text.partition(" ")[0]), times) for text, times in found]
