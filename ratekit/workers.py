"""
Workers: how many processes this server was told to run, as far as can be seen from inside one of them.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence

from ratekit.errors import caution


def workers(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """
    The number of worker processes that a server's command line or WEB_CONCURRENCY asks for; 1 where neither says.

    >>> workers(["uvicorn", "app:app", "--workers", "4"], {})
    4
    """
    said = re.search(r"(?:^|\s)(?:--workers[\s=]|-w\s*)(\d+)(?:\s|$)", " ".join(arguments[1:]))
    number = said[1] if said else environment.get("WEB_CONCURRENCY", "1")
    return int(number) if number.isdecimal() else 1


def warn_of_workers(store: object) -> None:
    """Warn when a store in memory is one of several, so that each worker admits the whole limit."""
    if store == "memory://" and (count := workers(sys.argv, os.environ)) > 1:
        caution(
            f"the state is in memory and this server runs {count} workers: each counts on its own, so clients get up to {count} "
            "times their limits; give store='redis://...'",
        )
