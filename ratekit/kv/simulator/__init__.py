"""
The simulator: a world of central stores, tiers of caches and locations, on a clock that is moved by hand or on the real one.
"""

from ratekit.kv.simulator.faults import Fault
from ratekit.kv.simulator.latency import Latencies, LogNormal, UpstashLatencies
from ratekit.kv.simulator.ledger import Operation
from ratekit.kv.simulator.quotas import Budget
from ratekit.kv.simulator.views import AsyncSimulatedNamespace, SimulatedNamespace
from ratekit.kv.simulator.world import World, wall_clock

__all__ = [
    "AsyncSimulatedNamespace",
    "Budget",
    "Fault",
    "Latencies",
    "LogNormal",
    "Operation",
    "SimulatedNamespace",
    "UpstashLatencies",
    "World",
    "wall_clock",
]
