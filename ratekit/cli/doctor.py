"""
`ratekit doctor`: looks at a store, and at how the application is served, and says what is wrong and what to do about it.
"""

import os
import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from ratekit.cli.common import OUT, Json, Prefix, plainly, print_json, printable
from ratekit.cli.doctor_finding import Finding
from ratekit.cli.doctor_server import addresses, memory_and_workers, served, switch
from ratekit.errors import ConfigurationError

SIGNS: Final[Mapping[str, tuple[str, str]]] = {
    "good": ("ok", "green"),
    "look": ("look", "yellow"),
    "bad": ("BAD", "bold red"),
    "unknown": ("?", "cyan"),
}

Url = Annotated[
    str, typer.Option("--store", envvar="RATEKIT_STORE", metavar="URL", help="The store that the application counts in.")
]
Server = Annotated[
    str,
    typer.Option(
        "--server", metavar="COMMAND", help="The command that starts the application's server, in quotes.", show_default=False
    ),
]
Proxies = Annotated[
    list[str] | None,
    typer.Option("--trusted-proxy", metavar="NETWORK", help="What the application gives as trusted_proxies.", show_default=False),
]
Keys = Annotated[int, typer.Option("--keys", min=1, metavar="N", help="How many keys are looked at, at most.")]


def doctor(
    store: Url = "memory://",
    server: Server = "",
    trusted_proxy: Proxies = None,
    prefix: Prefix = "ratekit",
    keys: Keys = 100_000,
    as_json: Json = False,
) -> None:
    """
    Say what is wrong with a store and with how the application is served, and what to do about it.

    Exit code 1 when anything is bad. Nothing is changed but a few keys of its own, which end within a second.

    Example: ratekit doctor --store redis://localhost:6379/0 --server "uvicorn app:app --workers 4"
    """
    with plainly():
        found = [*_of_the_store(store, prefix, keys), *_of_the_server(store, server, trusted_proxy or [])]
        if as_json:
            print_json([_facts(finding) for finding in found])
        else:
            _show(found, store)
        if any(finding.level == "bad" for finding in found):
            raise typer.Exit(1)


def _of_the_store(url: str, prefix: str, keys: int) -> list[Finding]:
    scheme = url.partition(":")[0]
    if scheme == "memory":
        return [Finding("store", "good", "this process's memory: nothing to reach, nothing to install")]
    if scheme.startswith("upstash"):
        from ratekit.cli import doctor_upstash

        return doctor_upstash.examined(url, prefix)
    from ratekit.cli import doctor_redis

    return doctor_redis.examined(url, prefix, keys)


def _of_the_server(url: str, command: str, proxies: list[str]) -> list[Finding]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigurationError(f"--server {command!r}: {error}; write it as in a shell, in one pair of quotes") from None
    told = served(words, os.environ)
    return [switch(os.environ), memory_and_workers(url, told), *addresses(told, proxies)]


def _facts(finding: Finding) -> dict[str, Any]:
    return {"check": finding.check, "level": finding.level, "says": finding.says, "advice": finding.advice}


def _show(found: list[Finding], url: str) -> None:
    place = url.rpartition("@")[2] if "@" in url else url.partition("://")[2] or url
    OUT.print(f"ratekit's doctor on {printable(place)}\n")
    for finding in found:
        sign, style = SIGNS[finding.level]
        OUT.print(Text.assemble((f"  {sign:<5}", style), (f"{finding.check:<13}", "bold"), printable(finding.says, 1000)))
        for line in finding.advice.splitlines():
            OUT.print(f"{'':<20}{printable(line, 1000)}")
    count = {level: sum(finding.level == level for finding in found) for level in SIGNS}
    bad, look = count["bad"], count["look"]
    OUT.print(
        f"\n{bad or 'nothing'} bad, {look or 'nothing'} to look at, {count['good']} good, {count['unknown']} could not be seen"
    )
