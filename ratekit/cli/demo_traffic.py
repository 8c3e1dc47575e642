"""
The traffic of the demonstration: real HTTP requests of four kinds of clients, and what each was answered.

Clients differ by `x-forwarded-for`; their addresses are of the networks that are reserved for documentation.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import httpx


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: when (seconds since the start), to whom, and what; status 0 is no answer at all."""

    at: float
    group: str
    client: str
    status: int

    @property
    def refused(self) -> bool:
        """Whether the limiter said no."""
        return self.status == 429


@dataclass(slots=True)
class Traffic:
    """Requests under way, for `seconds`, and everything that was answered so far."""

    http: httpx.AsyncClient
    seconds: float
    started: float = field(default_factory=time.monotonic)
    answers: list[Answer] = field(default_factory=list)
    refusal: httpx.Response | None = None
    """The first refusal, to be shown in full."""
    faults: list[str] = field(default_factory=list)
    """What should not have happened."""

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    async def ask(self, group: str, client: str, method: str = "GET", path: str = "/") -> httpx.Response | None:
        """One request, and its answer; None for none, which is a fault."""
        try:
            response = await self.http.request(method, path, headers={"x-forwarded-for": client})
        except httpx.HTTPError as error:
            self.faults.append(f"{group}: {method} {path} was not answered: {type(error).__name__} {error}")
            self.answers.append(Answer(self.now, group, client, 0))
            return None
        self.answers.append(Answer(self.now, group, client, response.status_code))
        if response.status_code >= 500:
            self.faults.append(f"{group}: {method} {path} was answered {response.status_code}")
        if response.status_code == 429 and self.refusal is None and method == "GET":
            self.refusal = response
        return response

    async def sleep_until(self, at: float) -> bool:
        """Wait for an instant, in seconds since the start; False when the demonstration is over by then."""
        if at >= self.seconds:
            return False
        await asyncio.sleep(max(0.0, at - self.now))
        return True


Behaviour = Callable[[Traffic, str, str], Awaitable[None]]
"""(traffic, group, client): what one client does until the end."""


async def steady(traffic: Traffic, group: str, client: str) -> None:
    """Two requests a second, each client a little later than the one before it."""
    at = int(client.rpartition(".")[2]) % 10 * 0.05
    while await traffic.sleep_until(at):
        await traffic.ask(group, client)
        at += 0.5


async def burst(traffic: Traffic, group: str, client: str) -> None:
    """Forty requests at once, twice; after a refusal it waits as it was told, and must be let in."""
    for share in (0.25, 0.65):
        if not await traffic.sleep_until(share * traffic.seconds):
            return
        answers = await asyncio.gather(*(traffic.ask(group, client) for _ in range(40)))
        told = [int(one.headers["retry-after"]) for one in answers if one is not None and one.status_code == 429]
        if not told:
            traffic.faults.append(f"{group}: forty requests at once were all admitted")
            continue
        await asyncio.sleep(max(told))
        again = await traffic.ask(group, client)
        if again is not None and again.status_code == 429:
            traffic.faults.append(f"{group}: waited {max(told)} s as it was told and was refused again")


async def scraper(traffic: Traffic, group: str, client: str) -> None:
    """Twenty requests a second from a tenth of the time on, whatever the answer is."""
    at = 0.1 * traffic.seconds
    while await traffic.sleep_until(at):
        await traffic.ask(group, client)
        at += 0.05


async def guesser(traffic: Traffic, group: str, client: str) -> None:
    """Three passwords a second."""
    at = 0.15 * traffic.seconds
    while await traffic.sleep_until(at):
        await traffic.ask(group, client, "POST", "/login")
        at += 0.33


@dataclass(frozen=True, slots=True)
class Group:
    """Clients that behave alike."""

    name: str
    story: str
    clients: tuple[str, ...]
    behave: Behaviour


GROUPS: Final = (
    Group("steady users", "6, each 2 a second", tuple(f"192.0.2.{i}" for i in range(1, 7)), steady),
    Group("burst", "40 at once, twice", ("198.51.100.7",), burst),
    Group("scraper", "20 a second, all along", ("203.0.113.66",), scraper),
    Group("guesser", "3 passwords a second", ("203.0.113.99",), guesser),
)


async def drive(traffic: Traffic) -> None:
    """All clients at once, until the time is over."""
    async with asyncio.TaskGroup() as tasks:
        for group in GROUPS:
            for client in group.clients:
                tasks.create_task(_one(group, traffic, client))


async def _one(group: Group, traffic: Traffic, client: str) -> None:
    await group.behave(traffic, group.name, client)
