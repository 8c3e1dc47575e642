"""
What the commands share: their options, two consoles, and how they say that something is wrong: in one line, without a traceback.
"""

import json
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from ratekit.errors import ConfigurationError, RateKitWarning, StoreError
from ratekit.limit import Limit, limits_of
from ratekit.stores.off import switched_off
from ratekit.stores.protocol import Store
from ratekit.stores.url import open_store

OUT: Final = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
ERR: Final = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)

Limits = Annotated[
    list[str],
    typer.Option("--limit", metavar="TEXT", help='A limit such as "100/minute"; may be given several times.', show_default=False),
]
StoreUrl = Annotated[
    str | None,
    typer.Option("--store", envvar="RATEKIT_STORE", metavar="URL", help="Where state lives, such as redis://localhost:6379/0."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")]
Name = Annotated[str, typer.Option(metavar="TEXT", help="The limiter's name=.")]
Prefix = Annotated[str, typer.Option(metavar="TEXT", help="The limiter's prefix=.")]


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does, so that a server which it started ends with it."""

    def end(number: int, frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def plainly() -> Iterator[None]:
    """
    Say errors and warnings in one line on standard error. Exit code 2: the command asks for what cannot be; 1: the store failed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always", RateKitWarning)
        warnings.showwarning = lambda message, *_: ERR.print(f"warning: {message}")
        try:
            yield
        except ConfigurationError as error:
            ERR.print(f"error: {printable(str(error))}")
            raise typer.Exit(2) from None
        except StoreError as error:
            ERR.print(f"error: {printable(str(error))}")
            raise typer.Exit(1) from None


def parsed(texts: list[str]) -> tuple[Limit, ...]:
    """The limits of an option that may be given several times, each with one limit or several."""
    return limits_of(texts)


def shared(url: str | None, command: str) -> str:
    """A store's URL that other processes see too; raises ConfigurationError for none and for memory."""
    if not url:
        raise ConfigurationError(f"{command} needs a store: write --store redis://localhost:6379/0, or set RATEKIT_STORE")
    if url.startswith("memory:"):
        raise ConfigurationError(
            f"{command} cannot see {url}: that is the memory of each process on its own; write the URL of a store that is shared, "
            "such as --store redis://localhost:6379/0"
        )
    if switched_off():
        ERR.print("note: what follows is what the store holds, also while nothing is limited")
    return url


@contextmanager
def opened(url: str | None, command: str) -> Iterator[Store]:
    """The store of such a URL, for a command that asks it by itself."""
    store = open_store(shared(url, command))
    try:
        yield store
    finally:
        store.close()


def print_json(facts: Any) -> None:
    """Facts on standard output; an infinite number of seconds is null."""
    typer.echo(json.dumps(facts, indent=2, allow_nan=False))


def printable(text: str, most: int = 200) -> str:
    r"""
    Text that a terminal shows and never obeys: what is not printable is escaped, what is long is cut.

    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    shown = "".join(character if character.isprintable() else _escaped(character) for character in text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def seconds(value: float) -> str:
    """Seconds as people say them; a wait without end is "never"."""
    return "never" if value == float("inf") else f"{value:,.3f}".rstrip("0").rstrip(".") + " s"
