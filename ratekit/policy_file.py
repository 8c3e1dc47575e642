"""
Policies from a TOML file: `[[policies]]` tables with the names of Policy's arguments, so that what is simulated is what is rolled out.

    [[policies]]
    name = "login"
    limits = ["5/minute", "20/hour"]
    match = "POST /login"

The application reads the same file: `RateLimitMiddleware(policies=policies_of("policies.toml"))`. What takes a callable in Python (a
key, a cost, an exemption of one's own) cannot be said in a file.
"""

import inspect
import tomllib
from pathlib import Path
from typing import Any, Final

from ratekit.errors import ConfigurationError
from ratekit.policy import Policy

NAMES: Final = tuple(inspect.signature(Policy).parameters)
"""What a table may say."""
NEEDED: Final = tuple(name for name, one in inspect.signature(Policy).parameters.items() if one.default is inspect.Parameter.empty)


def policies_of(path: str | Path) -> list[Policy]:
    """
    The policies of a file, in order.

    Raises ConfigurationError, which names the file and the table, for a file that cannot be read and for what is no policy.
    """
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"{path}: {reason}") from None
    try:
        return parsed(text)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def parsed(text: str) -> list[Policy]:
    r"""
    The policies of a text.

    >>> [policy.name for policy in parsed('[[policies]]\nname = "burst"\nlimits = "10/second"')]
    ['burst']
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"no TOML: {error}") from None
    others = [name for name in found if name != "policies"]
    if others:
        raise ConfigurationError(f"{others[0]!r} is not understood; write [[policies]] tables and nothing beside them")
    tables = found.get("policies")
    if not isinstance(tables, list) or not tables:
        raise ConfigurationError('no policies; write a table [[policies]] with name = "burst" and limits = "10/second" for each')
    policies = [_policy(number, table) for number, table in enumerate(tables, 1)]
    names = [policy.name for policy in policies]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigurationError(f"two policies are named {min(twice)!r}: give each a name of its own")
    return policies


def _policy(number: int, table: Any) -> Policy:
    where = f"policy {number}"
    if not isinstance(table, dict):
        raise ConfigurationError(f"{where}: {table!r} is no table; write [[policies]] above its lines")
    for name in table:
        if name not in NAMES:
            raise ConfigurationError(f"{where}: {name!r} is no argument of Policy; they are {', '.join(NAMES)}")
    for name in NEEDED:
        if name not in table:
            raise ConfigurationError(f"{where}: {name} is missing; write {name} = {_example(name)}")
    try:
        return Policy(**table)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _example(name: str) -> str:
    return '"10/second"' if name == "limits" else '"burst"'
