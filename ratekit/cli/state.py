"""
`ratekit peek` and `ratekit reset`: look at, and forget, what a shared store holds of one client.

They ask the store itself, not a Limiter: an operator wants what is there or an error, never a local answer.
"""

from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from ratekit.algorithms import LOOK
from ratekit.cli.common import OUT, Json, Limits, Name, Prefix, StoreUrl, opened, parsed, plainly, print_json, printable, seconds
from ratekit.cli.which import File, Key, PolicyName, SomeLimits, plans_of
from ratekit.decision import Decision
from ratekit.given import check_cost
from ratekit.stores.naming import canonical, plan_of
from ratekit.stores.protocol import hit

Cost = Annotated[int, typer.Option(metavar="N", help="How many units the question is about.")]


def peek(
    key: Key,
    limit: Limits,
    store: StoreUrl = None,
    name: Name = "default",
    prefix: Prefix = "ratekit",
    policy: PolicyName = "",
    cost: Cost = 1,
    as_json: Json = False,
) -> None:
    """Say how much of its limits a client has left. Nothing is charged."""
    with plainly():
        plan = plan_of(parsed(limit), prefix=prefix, name=name, policy=policy)
        identity, cost = canonical(key), check_cost(cost)
        with opened(store, "peek") as there:
            decision = hit(there, plan, identity, cost, LOOK)
        if as_json:
            print_json({"key": key, "cost": cost, **_facts(decision), "limits": [_facts(detail) for detail in decision.details]})
        else:
            _print(key, cost, decision)


def reset(
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
    Make a client as new: forget all that it has spent of these limits, or of all of a file.

    Example: ratekit reset 192.0.2.7 --policies policies.toml --store redis://localhost:6379/0
    """
    with plainly():
        plans = plans_of(limit, policies, policy, prefix=prefix, name=name)
        identity = canonical(key)
        with opened(store, "reset") as there:
            there.forget([space for _, plan in plans for _, space in plan], identity)
        limits = [str(rule.limit) for _, plan in plans for rule, _ in plan]
        if as_json:
            print_json({"key": key, "reset": limits})
        else:
            OUT.print(f"{printable(key)} is as new for {', '.join(limits)}")


def _facts(decision: Decision) -> dict[str, Any]:
    retry = decision.retry_after
    return {
        "allowed": decision.allowed,
        "limit": str(decision.limit),
        "remaining": decision.remaining,
        "retry_after": None if retry == float("inf") else retry,
        "more_after": decision.more_after,
        "reset_after": decision.reset_after,
    }


def _print(key: str, cost: int, decision: Decision) -> None:
    units = "a hit" if cost == 1 else f"a hit of cost {cost:,}"
    verdict = "would be admitted" if decision else f"would be refused; retry after {seconds(decision.retry_after)}"
    OUT.print(f"{printable(key)}: {units} {verdict}\n")
    table = Table("limit", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("remaining", "retry after", "more after", "as new after"):
        table.add_column(heading, justify="right")
    for one in decision.details:
        waits = (seconds(one.retry_after), seconds(one.more_after), seconds(one.reset_after))
        table.add_row(str(one.limit), f"{one.remaining:,} of {one.limit.capacity:,}", *waits)
    OUT.print(table)
