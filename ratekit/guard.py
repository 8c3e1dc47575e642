"""
The guard: whether a remote store may be asked now. A pure state machine of whole microseconds that are handed in.

It knows no clock, no thread, no event loop and no store. Whoever makes the trips tells it how each one ended, is told whether
the next one may be made, and sends the probes that bring a store back.

           5 failures in a row, or half of 20 answers in a second, or at once when the connection is gone
    closed ----------------------------------------------------------------------------------------------> open
    trips                                                                                                  probes, one per 250 ms
           <----------------------------------------------------------------------------------------------
                          as many good probes in a row as LADDER says: 1, 1, 1, then 40, then 300

Late news: a trip carries the ticket of the closed period it was sent in. What it says after that period has ended counts as a
failure in `health` and changes nothing, so that the stragglers of one outage cannot begin the next.

No flapping, by two means. *Patience*: a store that was late for less than two seconds has stalled; for a minute after it only a
full second of nothing but late answers opens, because short stalls cost fewer hits than leaving the store does. *The ladder*:
each opening within two minutes of the last closing is one rung up, and a relapse (within two seconds, or in spite of patience)
goes to rung 3 at least. So a store that stalls every second makes two changes a minute; one whose probes are good by luck alone
opens, closes and relapses: three, and seldom closes again; and no history makes more than nine: two on each of the first three rungs, then
open, closed after 10 s, and open for more than a minute.

Every trip or probe is good only when it came back within its budget, and a probe does what trips do (the script, a write, on a
key of its own): a PING that answers while hits fail brings nothing back. A fault of one key alone is never told to the guard.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

SECOND: Final = 1_000_000
"""Microseconds. Also how long failures and answers are counted together."""
RUN: Final = 5
"""Failures in a row: one or two are an unlucky packet, and with five only those in flight have waited."""
ENOUGH: Final = 20
"""Answers within a second before their share of failures (a half) means anything."""
PACE: Final = SECOND // 4
"""Between two probes: a store that comes back is seen within half a second, and four small commands a second harm nobody."""
GIVE_UP: Final = SECOND
"""After which a probe that has said nothing has failed."""
STALL: Final = 2 * SECOND
"""Lateness that is over before this was a stall; a store that hangs for longer was away."""
PATIENCE: Final = 60 * SECOND
"""After a stall: one stall that opens and then a minute in which none does are two changes a minute."""
FORGET: Final = 120 * SECOND
"""Closed for as long, the ladder starts anew: longer than PATIENCE, so that a store that stalls on does climb."""
LADDER: Final = (1, 1, 1, 40, 300)
"""Good probes in a row that close: at once for three outages (restarts come in twos), then 10 s, then more than a minute."""
SOON: Final = 2 * SECOND
"""An opening this soon after a closing is a relapse: by then a rate of failures has shown."""
RELAPSE: Final = 3
"""The rung of a relapse."""

State = Literal["closed", "open"]


class Fault(Enum):
    """What was wrong with a trip or a probe."""

    LATE = "late"
    """No answer within the budget."""
    AWAY = "away"
    """The connection was refused or lost: known to be away, so one is enough."""
    SERVER = "server"
    """The server answered that it cannot serve (OOM, READONLY, LOADING, BUSY, MISCONF, MASTERDOWN), or answered garbage."""
    REFUSED = "refused"
    """Wrong password or missing permission: somebody has to repair it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of state, for one line in the log: `at` in microseconds, `after` is seconds in the state that ended."""

    state: State
    fault: Fault
    at: int
    after: float

    def __str__(self) -> str:
        if self.state == "open":
            return f"the store is left alone ({self.fault.value}) after {self.after:.1f} s of service"
        return f"the store is back after {self.after:.1f} s"


@dataclass(frozen=True, slots=True)
class Health:
    """
    What `health` shows. `since`: seconds in this state. `fault`: the latest one, None while closed. `failures`, `changes` and
    `probes` count from the beginning. While open, `next_probe` is seconds until the next probe may be sent, and `needed` is how many
    good ones in a row close; closed, None and 0. `staleness`: seconds, at most, that what is known of others is old, infinite before
    anything was heard; None where a store knows all at once. `store`: where it is, without user and password; "" in
    this process.
    """

    state: State
    since: float
    fault: Fault | None
    failures: int
    changes: int
    probes: int
    next_probe: float | None
    needed: int
    staleness: float | None = None
    store: str = ""


class Guard:
    """
    The circuit of one remote store, closed at first; `now` is microseconds, `failures` how many in a row open it.

    `ticket` is a positive number while trips may be made and 0 while they may not. While `troubled` is False, `succeeded` has
    nothing to do and need not be called. Both are plain attributes that may be read without a lock; calls need one.

    >>> guard = Guard(0)
    >>> ticket = guard.ticket  # the trip goes, and its connection is refused
    >>> print(guard.failed(3_000_000, Fault.AWAY, ticket))
    the store is left alone (away) after 3.0 s of service
    >>> guard.ticket
    0
    >>> print(guard.probed(3_100_000, guard.probe(3_099_000)))
    the store is back after 0.1 s
    """

    def __init__(self, now: int, *, failures: int = RUN) -> None:
        self.ticket = 1
        self.troubled = False
        self._limit = failures
        # Of _answers since _window, _failed were failures, and _run in a row since _run_at.
        self._window = self._run_at = now
        self._answers = self._failed = self._run = 0
        # The state began at _since. While open: why (_cause, and _fault lately), good probes in a row, since when there was only
        # bad news, and whether that ever lasted longer than a stall.
        self._since = self._patient = self._bad_since = now
        self._cause = self._fault = Fault.LATE
        self._rung = self._good = 0
        self._hung = False
        # The probe under way (or 0) is the last of _probes and was sent at _probed.
        self._probe = self._probes = 0
        self._probed = now - PACE
        self._failures = self._changes = 0
        self._now, self._shift = now, 0

    def succeeded(self, now: int, ticket: int, count: int = 1) -> None:
        """A trip with this ticket came back within its budget; `count` is how many hits it carried, if those are counted."""
        if not self.troubled or ticket != self.ticket:
            return
        self._run = 0
        self._answers += count
        if self._moved(now) - self._window >= SECOND:
            self.troubled = False

    def failed(self, now: int, fault: Fault, ticket: int, count: int = 1) -> Change | None:
        """A trip with this ticket failed, of `count` hits; the change, when that opens the circuit."""
        self._failures += count
        if not ticket or ticket != self.ticket:
            return None
        now = self._moved(now)
        if not self.troubled or now - self._window >= SECOND:
            self.troubled = True
            self._window, self._answers, self._failed = now, 0, 0
        if not self._run:
            self._run_at = now
        self._run += count
        self._answers += count
        self._failed += count
        return self._open(now, fault) if self._opens(now, fault) else None

    def probe(self, now: int) -> int:
        """The number of the probe to send now, or 0: closed, one under way, or too soon. Ask again as often as you like."""
        if self.ticket:
            return 0
        now = self._moved(now)
        if now - self._probed < (GIVE_UP if self._probe else PACE):
            return 0
        if self._probe:
            self._bad(now, Fault.LATE)
        self._probed = now
        self._probes += 1
        self._probe = self._probes
        return self._probe

    def probed(self, now: int, probe: int, fault: Fault | None = None) -> Change | None:
        """The probe of this number ended, well or with a fault; the change, when that closes the circuit."""
        if not probe or probe != self._probe:
            return None
        now = self._moved(now)
        self._probe = 0
        if fault is None and now - self._probed >= GIVE_UP:
            fault = Fault.LATE
        if fault is not None:
            self._bad(now, fault)
            return None
        self._good += 1
        return self._close(now) if self._good >= LADDER[self._rung] else None

    def health(self, now: int) -> Health:
        """How things stand."""
        now = self._moved(now)
        seconds = (now - self._since) / SECOND
        if self.ticket:
            return Health("closed", seconds, None, self._failures, self._changes, self._probes, None, 0)
        wait = max(0, self._probed + (GIVE_UP if self._probe else PACE) - now) / SECOND
        needed = LADDER[self._rung] - self._good
        return Health("open", seconds, self._fault, self._failures, self._changes, self._probes, wait, needed)

    def _opens(self, now: int, fault: Fault) -> bool:
        if fault is Fault.AWAY:
            return True
        run = self._run >= self._limit
        if fault is Fault.LATE and now < self._patient:
            return run and now - self._run_at >= SECOND
        return run or (self._answers >= ENOUGH and 2 * self._failed >= self._answers)

    def _open(self, now: int, fault: Fault) -> Change:
        calm = now - self._since
        if not self._changes or calm >= FORGET:
            self._rung = 0
        else:
            relapse = calm < SOON or (fault is Fault.LATE and now < self._patient)
            self._rung = min(max(self._rung + 1, RELAPSE if relapse else 0), len(LADDER) - 1)
        self.ticket = self._good = 0
        self._bad_since, self._cause, self._fault, self._hung = now, fault, fault, False
        return self._changed("open", now)

    def _bad(self, now: int, fault: Fault) -> None:
        if self._good:
            self._bad_since = now
        self._hung |= now - self._bad_since >= STALL
        self._good, self._fault = 0, fault

    def _close(self, now: int) -> Change:
        if self._cause is Fault.LATE and not self._hung:
            self._patient = now + PATIENCE
        self.ticket = self._changes // 2 + 2
        self.troubled, self._run = False, 0
        return self._changed("closed", now)

    def _changed(self, state: State, now: int) -> Change:
        change = Change(state, self._fault, now, (now - self._since) / SECOND)
        self._since = now
        self._changes += 1
        return change

    def _moved(self, now: int) -> int:
        # Threads may hand in their times out of order: never back. A clock that was set back goes on from where it was.
        now += self._shift
        if now < self._now - SECOND:
            self._shift += self._now - now
        elif now > self._now:
            self._now = now
        return self._now
