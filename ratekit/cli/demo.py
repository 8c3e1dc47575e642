"""
`ratekit demo`: a real server, real requests, and what is let in and what is refused, as it happens.
"""

import asyncio
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ratekit.cli.common import ERR, OUT, ended_by_signals, plainly, printable
from ratekit.cli.demo_server import Server, ServerFailed, serving
from ratekit.errors import ConfigurationError, MissingExtra
from ratekit.stores.off import switched_off
from ratekit.stores.url import open_async_store

if TYPE_CHECKING:
    from ratekit.cli.demo_traffic import Traffic

NEEDS: Final = ("uvicorn", "starlette", "httpx")

Store = Annotated[
    str,
    typer.Option("--store", envvar=["RATEKIT_STORE", "REDIS_URL"], metavar="URL", help="Where the server keeps its state."),
]
Seconds = Annotated[float, typer.Option(min=2, max=25, metavar="S", help="How long requests are sent.")]
Picture = Annotated[Path, typer.Option("--plot", metavar="FILE.png", help="Where the picture is written.")]


def demo(store: Store = "memory://", seconds: Seconds = 15, plot: Picture = Path("demo.png")) -> None:
    """
    Watch limits at work: starts an example application under uvicorn, sends it real requests, and ends by itself.

    Exit code 1 when anything happened that should not: a steady user refused, a scraper let in, an error.
    """
    with plainly(), ended_by_signals():
        missing = [name for name in NEEDS if find_spec(name) is None]
        if missing:
            raise MissingExtra("the demo", " and ".join(missing), "demo")
        if switched_off():
            raise ConfigurationError("there is nothing to see while limiting is switched off: unset RATEKIT_ENABLED")
        open_async_store(store)  # what cannot be is said here and not by the server
        try:
            with serving(store) as server:
                held = _shown(server, store, seconds, plot)
        except ServerFailed as error:
            ERR.print(f"error: {error}")
            raise typer.Exit(1) from None
    if not held:
        raise typer.Exit(1)


def _shown(server: Server, store: str, seconds: float, plot: Path) -> bool:
    """The whole of it, once a server is there; whether everything was as promised."""
    from ratekit.cli.demo_checks import checks
    from ratekit.cli.demo_show import show_by_hand, show_checks, show_refusal

    where = "in the server's memory" if store == "memory://" else "in Redis"
    traffic = asyncio.run(_traffic(server.url, where, seconds))
    if traffic.refusal is not None:
        show_refusal(traffic.refusal)
    found = checks(traffic)
    show_checks(found)
    held = all(check.holds for check in found)
    if not held:
        ERR.print("\nThe server said last:")
        for line in server.said:
            ERR.print(f"  {printable(line)}")
    _draw(traffic, plot)
    show_by_hand(store)
    return held


async def _traffic(url: str, where: str, seconds: float) -> "Traffic":
    import httpx

    from ratekit.cli.demo_show import watch
    from ratekit.cli.demo_traffic import Traffic, drive

    OUT.print(f"A server runs at {url}, its state {where}.")
    OUT.print("It allows every client 5 requests a second with bursts of 20, and 5 a minute at POST /login.\n")
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
    async with httpx.AsyncClient(base_url=url, timeout=10, limits=limits, trust_env=False) as http:
        await http.get("/health")
        traffic = Traffic(http, seconds)
        watching = asyncio.create_task(watch(traffic))
        try:
            await drive(traffic)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    return traffic


def _draw(traffic: "Traffic", plot: Path) -> None:
    from ratekit.cli.demo_picture import draw

    try:
        draw(traffic, plot)
    except MissingExtra as error:
        OUT.print(f"\nNo picture: {error}")
    else:
        OUT.print(f"\nThe picture: {plot.absolute()}")
