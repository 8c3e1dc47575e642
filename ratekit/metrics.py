"""
Metrics of the limiter itself, for Prometheus and OpenTelemetry, under fixed names (docs/operations.md lists them).

    from ratekit import metrics

    metrics.prometheus()        # on prometheus_client's registry
    metrics.opentelemetry()     # on the global meter provider

Until one of these, or `start`, is called nothing is counted and nothing costs anything. What counts are plain integers; an exporter
reads them in a callback when it is scraped. Who was limited is never a label: an identity is unbounded, and often a person.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from ratekit import metering
from ratekit.errors import MissingExtra
from ratekit.guarded.circuit import circuits
from ratekit.metering import BOUNDS, Tally
from ratekit.stores.memory import monotonic
from ratekit.stores.place import label_of

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: its name, what it counts, and its labels. Prometheus adds `_total` to counters; OpenTelemetry writes dots."""

    name: str
    kind: Kind
    says: str
    labels: tuple[str, ...]

    @property
    def dotted(self) -> str:
        """The name in OpenTelemetry."""
        return self.name.replace("_", ".", 1)


_POLICY: Final = ("limiter", "policy")
METRICS: Final = (
    Metric("ratekit_decisions", "counter", "hits that were decided on", (*_POLICY, "outcome", "source")),
    Metric("ratekit_near_limit", "counter", "hits admitted when 0.8 of a limit or more was then spent", _POLICY),
    Metric("ratekit_shadow_refusals", "counter", "hits that a shadow policy would have refused", _POLICY),
    Metric("ratekit_degraded_decisions", "counter", "hits decided without the store, which was away", _POLICY),
    Metric("ratekit_local_refusals", "counter", "hits refused in this process, known to be refused, without a trip", _POLICY),
    Metric("ratekit_decision_duration_seconds", "histogram", "time that a decision on a remote store took", _POLICY),
    Metric("ratekit_store_open", "gauge", "1 while the store is left alone (the circuit is open), else 0", ("store",)),
    Metric("ratekit_store_changes", "counter", "changes of the circuit's state", ("store",)),
    Metric("ratekit_store_failures", "counter", "trips and hits that failed", ("store",)),
    Metric("ratekit_store_probes", "counter", "probes that were sent while the store was left alone", ("store",)),
    Metric("ratekit_store_merged_units", "counter", "units admitted while the store was away and charged there since", ("store",)),
    Metric("ratekit_store_unmerged_units", "counter", "units admitted while it was away and never charged there", ("store",)),
    Metric("ratekit_trips", "counter", "commands sent to the store", ("store",)),
    Metric("ratekit_trip_hits", "counter", "hits in these commands: divided by ratekit_trips, hits per trip", ("store",)),
    Metric("ratekit_queue_hits", "gauge", "hits that wait for a trip", ("store",)),
)
"""All there are. Names and labels stay as they are; a new release may add some."""

_BY_NAME: Final = {metric.name: metric for metric in METRICS}


@dataclass(frozen=True, slots=True)
class Reading:
    """One number of a metric. Of a histogram `value` is the count, `buckets` the counts up to each bound (seconds), `total` the sum."""

    metric: Metric
    labels: Mapping[str, str]
    value: int
    buckets: tuple[tuple[float, int], ...] = ()
    total: float = 0.0


def start() -> None:
    """Count from now on, also for limiters that there are already. Only an application's own `read` needs it: exporters call it."""
    metering.switch_on()


def stop() -> None:
    """What is made from now on does not count; what counts already goes on."""
    metering.switch_off()


def read() -> list[Reading]:
    """
    All numbers as they stand, in the order of METRICS.

    >>> from ratekit import Limiter
    >>> start()
    >>> _ = Limiter("5/minute", name="read").hit("user:42")
    >>> [(one.metric.name, one.value) for one in read() if one.labels.get("limiter") == "read"][:1]
    [('ratekit_decisions', 1)]
    >>> stop()
    """
    found = [*_decided(), *_of_stores()]
    order = {metric.name: i for i, metric in enumerate(METRICS)}
    return sorted(found, key=lambda one: order[one.metric.name])


def _decided() -> Iterator[Reading]:
    for tally in metering.tallies():
        labels = {"limiter": tally.limiter, "policy": tally.policy}
        for outcome, counts in (("allowed", tally.admitted), ("refused", tally.refused)):
            for source, value in [*counts.items()]:
                yield _reading("decisions", {**labels, "outcome": outcome, "source": source}, value)
        if tally.unavailable:
            yield _reading("decisions", {**labels, "outcome": "unavailable", "source": "closed"}, tally.unavailable)
        yield _reading("near_limit", labels, tally.near)
        yield _reading("shadow_refusals", labels, tally.shadow)
        yield _reading("degraded_decisions", labels, tally.degraded + tally.unavailable)
        yield _reading("local_refusals", labels, tally.refused.get("denials", 0))
        if any(tally.latency):
            yield _latency(tally, labels)


def _latency(tally: Tally, labels: Mapping[str, str]) -> Reading:
    *counts, nanoseconds = tally.latency
    below, buckets = 0, []
    for bound, value in zip((*BOUNDS, None), counts, strict=True):
        below += value
        buckets.append((float("inf") if bound is None else bound / 1e9, below))
    return Reading(_BY_NAME["ratekit_decision_duration_seconds"], labels, below, tuple(buckets), nanoseconds / 1e9)


def _of_stores() -> Iterator[Reading]:
    sums: dict[tuple[str, str], int] = {}
    for store, circuit in circuits():
        health, traffic, name = circuit.guard.health(monotonic()), getattr(store, "traffic", None), label_of(store)
        facts = {
            "store_open": int(health.state == "open"),
            "store_changes": health.changes,
            "store_failures": health.failures,
            "store_probes": health.probes,
            "store_merged_units": circuit.debts.merged,
            "store_unmerged_units": circuit.debts.lost + circuit.debts.dropped,
        }
        if traffic is not None:
            facts |= {"trips": traffic.trips, "trip_hits": traffic.hits, "queue_hits": store.waiting}
        for fact, value in facts.items():
            sums[fact, name] = sums.get((fact, name), 0) + value
    for (fact, name), value in sums.items():
        yield _reading(fact, {"store": name}, min(1, value) if fact == "store_open" else value)


def _reading(name: str, labels: Mapping[str, str], value: int) -> Reading:
    return Reading(_BY_NAME[f"ratekit_{name}"], labels, value)


class Collector:
    """What prometheus_client asks when it is scraped."""

    def describe(self) -> "list[Any]":
        """Nothing yet: so that registering reads nothing."""
        return []

    def collect(self) -> "Iterable[Any]":
        """One family for each metric."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        families: dict[str, Any] = {}
        make = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
        for metric in METRICS:
            families[metric.name] = make[metric.kind](metric.name, metric.says, labels=metric.labels)
        for one in read():
            values = [one.labels[label] for label in one.metric.labels]
            if one.metric.kind == "histogram":
                buckets = [("+Inf" if bound == float("inf") else repr(bound), count) for bound, count in one.buckets]
                families[one.metric.name].add_metric(values, buckets, one.total)
            else:
                families[one.metric.name].add_metric(values, one.value)
        return families.values()


def prometheus(registry: Any = None) -> Collector:
    """
    Count from now on, and tell Prometheus: `registry` is prometheus_client's, None its own. Raises MissingExtra without it.

    Under several processes (PROMETHEUS_MULTIPROC_DIR) each process has its own numbers: let each be scraped, or push them.
    """
    try:
        from prometheus_client import REGISTRY
    except ImportError:
        raise MissingExtra("metrics.prometheus", "prometheus_client", "prometheus") from None
    start()
    collector = Collector()
    (REGISTRY if registry is None else registry).register(collector)
    return collector


def opentelemetry(provider: Any = None) -> None:
    """
    Count from now on, and tell OpenTelemetry: `provider` is a MeterProvider, None the global one. Raises MissingExtra without it.

    There is no histogram that is read in a callback, so the latency is three counters: `ratekit.decision.duration.bucket` with the
    attribute `le` (seconds), `...count` and `...sum`.
    """
    try:
        from opentelemetry.metrics import Observation, get_meter_provider
    except ImportError:
        raise MissingExtra("metrics.opentelemetry", "opentelemetry-api", "otel") from None
    start()
    meter = (get_meter_provider() if provider is None else provider).get_meter("ratekit")

    def observed(metric: Metric) -> Any:
        return lambda options: [Observation(one.value, dict(one.labels)) for one in read() if one.metric is metric]

    for metric in METRICS:
        if metric.kind == "counter":
            meter.create_observable_counter(metric.dotted, [observed(metric)], description=metric.says)
        elif metric.kind == "gauge":
            meter.create_observable_gauge(metric.dotted, [observed(metric)], description=metric.says)
    timed = _BY_NAME["ratekit_decision_duration_seconds"]
    told = [
        ("bucket", lambda one: [(count, {"le": "inf" if bound == float("inf") else repr(bound)}) for bound, count in one.buckets]),
        ("count", lambda one: [(one.value, {})]),
        ("sum", lambda one: [(one.total, {})]),
    ]
    for name, values in told:

        def callback(options: Any, values: Any = values) -> Any:
            readings = [one for one in read() if one.metric is timed]
            return [Observation(value, {**one.labels, **more}) for one in readings for value, more in values(one)]

        unit = "s" if name == "sum" else ""
        meter.create_observable_counter(f"ratekit.decision.duration.{name}", [callback], unit=unit, description=timed.says)
