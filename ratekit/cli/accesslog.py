"""
Access logs in the common and the combined format: who asked, and when. Knows nothing of limits.

    192.0.2.7 - ann [17/May/2015:10:05:03 +0200] "GET /a HTTP/1.1" 200 512 "http://example.com/" "Mozilla/5.0"

A server writes a line when a request ends, so a real log is not in order of time: it is put in order here, and requests of one
second stay as they stood.
"""

import gzip
import re
import sys
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from ratekit.errors import ConfigurationError
from ratekit.keys import network_of

GZIP: Final = b"\x1f\x8b"
EXAMPLES: Final = 3
"""Malformed lines that are kept to be shown."""
STRIDE: Final = 500
"""Lines between two reports of progress."""
EXAMPLE: Final = '192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 512'

_LINE: Final = re.compile(
    r"(?P<host>\S+) \S+ (?P<user>.*?) \[(?P<hour>\d\d/[A-Za-z]{3}/\d{4}:\d\d):(?P<minute>[0-5]\d):(?P<second>[0-5]\d|60)"
    r' (?P<zone>[+-]\d{4})\] "(?P<request>.*?)" (?:\d{3}|-) (?:\d+|-)(?P<tail> .*)?'
)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_REQUEST: Final = re.compile(r"(?P<method>[A-Z]+) (?P<path>\S+)")

Progress = Callable[[int], object]
"""Called now and then with how far the reading is, in bytes of the file."""


def _ip(line: "re.Match[str]") -> str:
    return network_of(line["host"])


def _user(line: "re.Match[str]") -> str:
    return line["user"] if line["user"] != "-" else f"- {_ip(line)}"


def _path(line: "re.Match[str]") -> str:
    request = _REQUEST.match(line["request"])
    return request["path"].partition("?")[0] if request else "-"


def _method(line: "re.Match[str]") -> str:
    request = _REQUEST.match(line["request"])
    return request["method"] if request else "-"


KEYS: Final = {"ip": _ip, "user": _user, "path": _path, "method": _method}
"""Which field of a line says who is asking. A line without a user counts by its address, apart from every user."""


Who = TypeVar("Who")


@dataclass(frozen=True, slots=True)
class Log(Generic[Who]):
    """Requests in order of time: `times` in seconds since 1970 (UTC), `who` beside them."""

    times: "array[int]"
    who: list[Who]
    late: int
    """Lines that stood behind a later one."""
    malformed: int
    examples: list[tuple[int, str]]
    """The first malformed lines, with their numbers."""


def read(path: str, key: str, progress: Progress = lambda _: None) -> Log[str]:
    """
    Read a log: a file, gzip or not, or "-" for standard input.

    `key` is one of KEYS. Raises ConfigurationError for a file that cannot be read, or in which no line is one of an access log.
    """
    if key not in KEYS:
        raise ConfigurationError(f"--key {key!r}: write one of {', '.join(KEYS)}")
    return read_as(path, KEYS[key], progress)


def read_as(path: str, identity: "Callable[[re.Match[str]], Who]", progress: Progress = lambda _: None) -> Log[Who]:
    """`read`, with what `identity` makes of a line beside its time."""
    try:
        with _opened(path) as (lines, position):
            log = parse(lines, identity, lambda: progress(position()))
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigurationError(f"{path}: {reason[:1].lower()}{reason[1:]}") from None
    if not log.times:
        first = f"; line {log.examples[0][0]} is {log.examples[0][1][:120]!r}" if log.examples else ""
        raise ConfigurationError(f"{path}: no line of an access log in it; a line looks like {EXAMPLE}{first}")
    return log


@contextmanager
def _opened(path: str) -> Iterator[tuple[Iterable[bytes], Callable[[], int]]]:
    """The lines of a file, and how many of its bytes have been read."""
    with nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb") as source:
        raw = _peekable(source)
        position = raw.tell if raw.seekable() else lambda: 0
        packed = raw.peek(2)[:2] == GZIP
        yield (gzip.GzipFile(fileobj=raw) if packed else raw), position


def _peekable(source: Any) -> Any:
    """A stream whose first bytes can be looked at: itself, unless somebody has put a plainer one in standard input's place."""
    return source if hasattr(source, "peek") else BufferedReader(source)


def parse(
    lines: Iterable[bytes], identity: "Callable[[re.Match[str]], Who]", tick: Callable[[], object] = lambda: None
) -> Log[Who]:
    """A log from its lines. A line that is none is counted and left out; an empty one is not even counted."""
    times, who, late, malformed, newest = array("q"), list[Who](), 0, 0, -(1 << 62)
    examples: list[tuple[int, str]] = []
    known = dict[Who, Who]()
    for number, raw in enumerate(lines, 1):
        text = raw.decode("utf-8", "backslashreplace").strip()
        line = _LINE.fullmatch(text)
        start = None if line is None else _hour(line["hour"], line["zone"])
        if line is not None and start is not None:
            time = start + int(line["minute"]) * 60 + int(line["second"])
            late += time < newest
            newest = max(newest, time)
            times.append(time)
            name = identity(line)
            who.append(known.setdefault(name, name))
        elif text:
            malformed += 1
            if len(examples) < EXAMPLES:
                examples.append((number, text))
        if number % STRIDE == 0:
            tick()
    order = sorted(range(len(times)), key=times.__getitem__)
    return Log(array("q", map(times.__getitem__, order)), [who[i] for i in order], late, malformed, examples)


@lru_cache(maxsize=4096)
def _hour(hour: str, zone: str) -> int | None:
    """The instant an hour begins, in seconds since 1970; None for a date or a zone that does not exist."""
    day, month, rest = hour.split("/")
    year, number = rest.split(":")
    minutes = int(zone[1:3]) * 60 + int(zone[3:])
    try:
        offset = timezone(timedelta(minutes=-minutes if zone[0] == "-" else minutes))
        at = datetime(int(year), _MONTHS.index(month.lower()) + 1, int(day), int(number), tzinfo=offset)
    except ValueError:
        return None
    return round((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
