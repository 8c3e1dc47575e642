"""
What the demonstration shows: a table that lives on a terminal, plain lines elsewhere; one refusal in full; how to go on by hand.
"""

import asyncio
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from rich import box
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ratekit.cli.common import OUT
from ratekit.cli.demo_checks import Check
from ratekit.cli.demo_server import COMMAND
from ratekit.cli.demo_traffic import GROUPS, Traffic

ADMITTED = "bright_blue"
REFUSED = "orange_red1"
BAR = 16


async def watch(traffic: Traffic) -> None:
    """Show the traffic until it is cancelled."""
    if not OUT.is_terminal:
        await _lines(traffic)
        return
    with Live(_table(traffic), console=OUT, auto_refresh=False) as live:
        try:
            while True:
                await asyncio.sleep(0.2)
                live.update(_table(traffic), refresh=True)
        finally:
            live.update(_table(traffic), refresh=True)


async def _lines(traffic: Traffic) -> None:
    OUT.print("admitted + refused so far:")
    try:
        while True:
            await asyncio.sleep(1)
            _line(traffic)
    finally:
        _line(traffic)


def _line(traffic: Traffic) -> None:
    counts = _counts(traffic)
    OUT.print(
        f"{traffic.now:5.1f} s   "
        + "   ".join(f"{group.name} {counts[group.name][0]} + {counts[group.name][1]}" for group in GROUPS)
    )


def _counts(traffic: Traffic) -> dict[str, tuple[int, int]]:
    counts = {group.name: [0, 0] for group in GROUPS}
    for answer in traffic.answers:
        counts[answer.group][answer.refused] += 1
    return {name: (admitted, refused) for name, (admitted, refused) in counts.items()}


def _table(traffic: Traffic) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=f"{min(traffic.now, traffic.seconds):.0f} of {traffic.seconds:.0f} s")
    for heading in ("clients", "what they do"):
        table.add_column(heading)
    table.add_column("admitted", justify="right", style=ADMITTED)
    table.add_column("refused", justify="right", style=REFUSED)
    table.add_column("")
    for group in GROUPS:
        admitted, refused = _counts(traffic)[group.name]
        length = round(BAR * admitted / (admitted + refused)) if admitted + refused else 0
        bar = Text("█" * length, ADMITTED) + Text("█" * (BAR - length if refused or admitted else 0), REFUSED)
        table.add_row(Text(group.name, "bold"), group.story, f"{admitted:,}", f"{refused:,}", bar)
    return table


def show_refusal(response: httpx.Response) -> None:
    """A refusal as it came over the wire."""
    OUT.print("\nOne refusal in full:\n")
    OUT.print(Text(f"  HTTP/1.1 {response.status_code} {response.reason_phrase}", "bold"))
    for name, value in response.headers.items():
        OUT.print(f"  {name}: {value}")
    OUT.print()
    for line in json.dumps(response.json(), indent=2).splitlines():
        OUT.print(f"  {line}")


def show_checks(found: Sequence[Check]) -> None:
    """What came of it."""
    OUT.print("\nWhat came of it:\n")
    for check in found:
        mark = Text("  yes  ", ADMITTED) if check.holds else Text("  NO   ", f"bold {REFUSED}")
        OUT.print(mark + Text(check.sentence))


def show_by_hand(store: str) -> None:
    """How to go on without the demonstration."""
    environment = "" if store == "memory://" else f"RATEKIT_STORE={_without_password(store)} "
    OUT.print("\nBy hand, in two terminals:\n")
    OUT.print(f"  {environment}{_uvicorn()} {' '.join(COMMAND[1:])} --port 8000\n")
    OUT.print("  curl -i http://127.0.0.1:8000/")
    OUT.print("  for i in $(seq 6); do curl -s -o /dev/null -w '%{http_code} ' -X POST http://127.0.0.1:8000/login; done; echo")
    OUT.print("  for i in $(seq 30); do curl -s -o /dev/null -w '%{http_code} ' http://127.0.0.1:8000/; done; echo")
    OUT.print("  curl -i -H 'x-forwarded-for: 198.51.100.7' http://127.0.0.1:8000/    # another client")


def _uvicorn() -> str:
    """How uvicorn is called from here: by its name, or by its path where the shell would not find this one."""
    ours = Path(sys.executable).with_name("uvicorn")
    if shutil.which("uvicorn") == str(ours) or not ours.exists():
        return "uvicorn"
    return str(ours.relative_to(Path.cwd())) if ours.is_relative_to(Path.cwd()) else str(ours)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return url.replace(f":{parts.password}@", ":PASSWORD@") if parts.password else url
