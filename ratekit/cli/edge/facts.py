"""
What `ratekit edge` found, as JSON.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ratekit.cli.edge.costs import BREAK_EVEN, Costs
from ratekit.cli.edge.latency import Latency
from ratekit.cli.edge.setting import Run, Setting
from ratekit.kv.simulator.published import PUBLISHED, Cell


def latency_facts(latency: Latency) -> dict[str, Any]:
    """Milliseconds."""
    return {
        "published": {name: _cells(cells) for name, cells in PUBLISHED.items()},
        "simulated": {name: _cells(cells) for name, cells in latency.simulated.items()},
        "redis": None if latency.redis is None else _cells(latency.redis),
        "redis_word": latency.word,
        "farthest_from_published": latency.farthest,
    }


def minute_facts(setting: Setting, runs: Sequence[Run]) -> dict[str, Any]:
    """Units; `admitted_by_second` is how many were admitted until the end of each second."""
    seconds = range(1, int(setting.limit.per) + 1)
    return {
        "limit": str(setting.limit),
        "rate": setting.rate,
        "nodes": setting.nodes,
        "uneven": setting.uneven,
        "hits": setting.hits,
        "limiters": [
            {
                "name": run.name,
                "admitted": len(run.admitted),
                "admitted_per_limit": len(run.admitted) / setting.limit.quota,
                "bound": run.bound,
                "writes_accepted": run.accepted,
                "writes_refused": run.refused,
                "updates_lost": run.lost,
                "dollars": run.dollars,
                "note": run.note,
                "admitted_by_second": [bisect_left(run.admitted, second) for second in seconds],
            }
            for run in runs
        ],
    }


def cost_facts(costs: Costs) -> dict[str, Any]:
    """Dollars a month, as text: they are exact."""
    return {
        "break_even_commands": BREAK_EVEN,
        "workloads": [
            {
                "name": month.name,
                **{what: (str(value) if what == "stored_gb" else value) for what, value in asdict(month.workload).items()},
                "prices": [
                    {"plan": price.plan, "all_billed": str(price.without), "less_included": str(price.included)}
                    for price in month.prices
                ],
            }
            for month in costs.months
        ],
        "nodes": costs.nodes,
        "rate_limiting": [
            {
                "way": way.name,
                "staleness": way.staleness,
                "dollars": {f"{rate:g}": str(dollars) for rate, dollars in way.dollars.items()},
            }
            for way in costs.ways
        ],
    }


def _cells(cells: dict[str, Cell]) -> dict[str, dict[str, float]]:
    return {scenario: cell._asdict() for scenario, cell in cells.items()}
