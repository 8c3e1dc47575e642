"""
`ratekit explain KEY`: why a client is refused, or would not be: which limits, what was spent, when it is free again.

As `peek` does it asks the store itself: what is there, or an error, never a local answer.
"""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table

from ratekit.algorithms import LOOK
from ratekit.cli.common import OUT, Json, Name, Prefix, StoreUrl, opened, plainly, print_json, printable, seconds
from ratekit.cli.which import File, Key, PolicyName, SomeLimits, plans_of
from ratekit.explanation import Explanation, explained
from ratekit.stores.naming import Plan, canonical
from ratekit.stores.protocol import Store, hit


def explanations(store: Store, plans: Sequence[tuple[str, Plan]], key: str) -> list[tuple[str, Explanation]]:
    """What a store holds of one client, by policy; nothing is charged."""
    identity = canonical(key)
    return [(which, explained(key, hit(store, plan, identity, 1, LOOK))) for which, plan in plans]


def explain(
    key: Key,
    limit: SomeLimits = None,
    policies: File = None,
    store: StoreUrl = None,
    name: Name = "default",
    prefix: Prefix = "ratekit",
    policy: PolicyName = "",
    as_json: Json = False,
) -> None:
    """
    Say which limits a client has, what it has spent of each, and when it is free again. Nothing is charged.

    Example: ratekit explain 192.0.2.7 --policies policies.toml --store redis://localhost:6379/0
    """
    with plainly():
        plans = plans_of(limit, policies, policy, prefix=prefix, name=name)
        with opened(store, "explain") as there:
            found = explanations(there, plans, key)
        if as_json:
            print_json({"key": key, "policies": [_facts(which, one) for which, one in found]})
        else:
            _show(key, found)


def _facts(policy: str, one: Explanation) -> dict[str, Any]:
    return {
        "policy": policy or None,
        "allowed": one.allowed,
        "retry_after": one.retry_after,
        "limits": [
            {
                "limit": str(told.limit),
                "allows": told.allows,
                "spent": told.spent,
                "capacity": told.capacity,
                "remaining": told.remaining,
                "more_after": told.more_after,
                "free_after": told.free_after,
            }
            for told in one.limits
        ],
    }


def _show(key: str, found: Sequence[tuple[str, Explanation]]) -> None:
    refusing = [(which, told, one) for which, one in found for told in one.limits if not told.allows]
    if refusing:
        wait = max(one.retry_after for _, _, one in refusing)
        names = ", ".join(f"{printable(which)}: {told.limit}" if which else str(told.limit) for which, told, _ in refusing)
        OUT.print(f"{printable(key)} is refused by {names}; retry after {seconds(wait)}\n")
    else:
        OUT.print(f"{printable(key)} would be admitted\n")
    OUT.print(table_of(found))


def table_of(found: Sequence[tuple[str, Explanation]]) -> Table:
    """Every limit in a row."""
    table = Table("policy", "limit", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("spent", "left", "more in", "as new in"):
        table.add_column(heading, justify="right")
    for which, one in found:
        for told in one.limits:
            waits = (seconds(told.more_after) if told.more_after else "-", seconds(told.free_after) if told.free_after else "-")
            style = None if told.allows else "bold red"
            spent = f"{told.spent:,} of {told.capacity:,}"
            table.add_row(printable(which) or "-", str(told.limit), spent, f"{told.remaining:,}", *waits, style=style)
    return table
