"""
Across: one hit on limits whose keys are in different slots of a cluster, all-or-nothing by reserve and give-back.

Each part is asked as it stands, all of them at once; a part charges itself if it has room. Is any of them refused or away, then
the others are given back what they charged. A step of this generator is parts to ask, and what it is sent their answers or errors.

Who dies in between leaves what was charged so far: that errs towards refusing, by the cost of this hit, for as long as the charge
counts. Never the other way: nothing is admitted that some part has no room for.
"""

from collections.abc import Generator, Sequence

from ratekit.algorithms import CHECK, GIVE, SHADOW, SPEND, Mark
from ratekit.decision import Seen
from ratekit.errors import StoreError
from ratekit.stores.protocol import Ask, Reader, Seens, readers_of

Part = list[Ask]
Answers = Sequence[Seens | StoreError]


def across(asks: Sequence[Ask], groups: Sequence[Sequence[int]]) -> Generator[list[Part], Answers, Seens]:
    """Ask the `groups`, which say the places of asks that go together; ends in what was seen of all, or raises a part's StoreError."""
    answers = yield [[asks[i] for i in group] for group in groups]
    seen = {i: one for group, answer in _came(groups, answers) for i, one in zip(group, answer.seen, strict=True)}
    faults = [answer for answer in answers if isinstance(answer, StoreError)]
    if faults or not _admitted(asks, seen, seen):
        back = [(i, ask) for group, answer in _came(groups, answers) for i, ask in _charged(asks, group, answer)]
        parts = [[(i, ask) for i, ask in back if i in group] for group in groups]
        parts = [part for part in parts if part]
        given = yield [[ask for _, ask in part] for part in parts]
        for part, answer in zip(parts, given, strict=True):
            if not isinstance(answer, StoreError):
                seen.update(zip([i for i, _ in part], answer.seen, strict=True))
    if faults:
        raise faults[0]
    return _joined(asks, groups, answers, seen)


def _came(groups: Sequence[Sequence[int]], answers: Answers) -> list[tuple[Sequence[int], Seens]]:
    pairs = zip(groups, answers, strict=True)
    return [(group, answer) for group, answer in pairs if not isinstance(answer, StoreError)]


def _admitted(asks: Sequence[Ask], group: Sequence[int] | dict[int, Seen], seen: dict[int, Seen]) -> bool:
    return all(seen[i][0] for i in group if asks[i].mode in (SPEND, CHECK))


def _charged(asks: Sequence[Ask], group: Sequence[int], answer: Seens) -> list[tuple[int, Ask]]:
    """What gives back the charges of a part; none where the part itself was refused."""
    seen = dict(zip(group, answer.seen, strict=True))
    readers = dict(zip(group, readers_of([asks[i] for i in group], answer), strict=True))
    if not _admitted(asks, group, seen):
        return []
    took = [i for i in group if asks[i].mode == SPEND or (asks[i].mode == SHADOW and seen[i][0])]
    return [(i, asks[i]._replace(mode=GIVE, mark=readers[i].mark(answer.now, seen[i]))) for i in took]


class There:
    """What knows what a rule saw on a server of its own: marks are of that server's clock."""

    __slots__ = ("_now", "_reader", "read")

    def __init__(self, reader: Reader, now: int) -> None:
        self._reader, self._now, self.read = reader, now, reader.read

    def mark(self, now: int, seen: Seen) -> Mark:
        """Where a charge went, from what was seen of it."""
        return self._reader.mark(self._now, seen)


def _joined(asks: Sequence[Ask], groups: Sequence[Sequence[int]], answers: Answers, seen: dict[int, Seen]) -> Seens:
    came, readers, overs = _came(groups, answers), dict[int, Reader](), dict[int, int | None]()
    for group, answer in came:
        some = [asks[i] for i in group]
        readers.update({i: There(one, answer.now) for i, one in zip(group, readers_of(some, answer), strict=True)})
        overs.update(zip(group, answer.overs or (None if answer.degraded else 0,) * len(group), strict=True))
    return Seens(
        max(answer.now for _, answer in came),
        [seen[i] for i in range(len(asks))],
        next((answer.source for _, answer in came if answer.source != "store"), "store"),
        any(answer.degraded for _, answer in came),
        [overs[i] for i in range(len(asks))],
        [readers[i] for i in range(len(asks))],
    )
