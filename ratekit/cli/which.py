"""
Which client and which limits a command is about: named one by one, or all of a file of policies.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ratekit.cli.common import parsed
from ratekit.errors import ConfigurationError
from ratekit.limit import Limit
from ratekit.policy_file import policies_of
from ratekit.stores.naming import Plan, plan_of

Key = Annotated[
    str, typer.Argument(metavar="KEY", help="Who: the identity as it is counted (IPv6 by its /64).", show_default=False)
]
PolicyName = Annotated[str, typer.Option("--policy", metavar="TEXT", help="The middleware policy's name; none for limits=.")]
SomeLimits = Annotated[
    list[str] | None,
    typer.Option("--limit", metavar="TEXT", help='A limit such as "100/minute"; may be given several times.', show_default=False),
]
File = Annotated[
    Path | None, typer.Option("--policies", metavar="FILE.toml", help="Every policy of a file instead.", show_default=False)
]


def plans_of(limit: list[str] | None, file: Path | None, policy: str, *, prefix: str, name: str) -> list[tuple[str, Plan]]:
    """Where the limits that are named count, or those of a file: per policy its name and its plan."""
    asked = _asked(limit, file, policy)
    return [(which, plan_of(limits, prefix=prefix, name=name, policy=which)) for which, limits in asked]


def _asked(limit: list[str] | None, file: Path | None, policy: str) -> list[tuple[str, Sequence[Limit]]]:
    if (limit is None) == (file is None) or (file is not None and policy):
        raise ConfigurationError(
            'write the limits, --limit "100/minute" (and --policy NAME), or --policies FILE.toml for all of a file'
        )
    if file is not None:
        return [(one.name, one.limits) for one in policies_of(file)]
    return [(policy, parsed(limit or []))]
