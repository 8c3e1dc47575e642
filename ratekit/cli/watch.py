"""
`ratekit watch KEY`: one client's limits as they fill and empty, live in the terminal.
"""

from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from ratekit.cli.common import Name, Prefix, StoreUrl, opened, plainly, printable, seconds
from ratekit.cli.explain_key import explanations
from ratekit.cli.live import Count, Every, bar, live
from ratekit.cli.which import File, Key, PolicyName, SomeLimits, plans_of
from ratekit.explanation import Explanation
from ratekit.metering import NEAR


def watch(
    key: Key,
    limit: SomeLimits = None,
    policies: File = None,
    store: StoreUrl = None,
    name: Name = "default",
    prefix: Prefix = "ratekit",
    policy: PolicyName = "",
    every: Every = 1.0,
    count: Count = 0,
) -> None:
    """
    Watch one client's limits, live, until Ctrl-C. Nothing is charged.

    Example: ratekit watch 192.0.2.7 --limit "100/minute" --store redis://localhost:6379/0
    """
    with plainly():
        plans = plans_of(limit, policies, policy, prefix=prefix, name=name)
        with opened(store, "watch") as there:
            live(lambda: _drawn(key, explanations(there, plans, key)), every, count)


def _drawn(key: str, found: list[tuple[str, Explanation]]) -> RenderableType:
    refused = max((one.retry_after for _, one in found), default=0.0)
    verdict = (f"refused for {seconds(refused)}", "bold red") if refused else ("admitted", "green")
    lines = [Text.assemble((printable(key), "bold"), "  ", verdict, f"  {datetime.now():%H:%M:%S}")]  # noqa: DTZ005 - the wall's
    width = max(len(f"{which} {told.limit}") for which, one in found for told in one.limits)
    for which, one in found:
        for told in one.limits:
            part = told.spent / told.capacity
            style = "red" if not told.allows else "yellow" if part * NEAR[1] >= NEAR[0] else "green"
            said = f"{printable(which)} {told.limit}".strip().ljust(width)
            more = f"more in {seconds(told.more_after)}" if told.more_after else ""
            lines.append(Text.assemble(f"{said} ", (bar(part), style), f" {told.spent:,} of {told.capacity:,}  {more}"))
    return Group(*lines)
