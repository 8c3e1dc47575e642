"""
Metrics: every decision is counted once, under fixed names, by policy, outcome and source, and by nothing that a client can choose.
"""

import asyncio
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import servers
from doors import PATIENT
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ratekit import AsyncLimiter, Limiter, RateLimitExceeded, StoreUnavailable, metering, metrics
from ratekit.limit import ALGORITHM_NAMES
from ratekit.stores import AsyncMemoryStore, MemoryStore
from ratekit.stores.redis import AsyncRedisStore, RedisStore


@pytest.fixture(autouse=True)
def on():
    """Metrics are on in these tests, and off after each."""
    metrics.start()
    yield
    metrics.stop()


def of(limiter, name="decisions", **labels):
    """The sum of a metric's readings of one limiter."""
    wanted = {"limiter": limiter, **labels}
    readings = [one for one in metrics.read() if one.metric.name == f"ratekit_{name}"]
    return sum(one.value for one in readings if wanted.items() <= one.labels.items())


@pytest.fixture(params=["memory", "redis"])
def store(request, clock):
    """A store for threads whose clock a test moves."""
    if request.param == "memory":
        yield MemoryStore(clock=clock)
        return
    store = RedisStore(request.getfixturevalue("redis_url"), clock=clock, budget=5.0)
    yield store
    store.close()


@pytest.mark.parametrize("algorithm", ALGORITHM_NAMES)
def test_every_hit_is_counted_once_whatever_asks_for_it(store, algorithm, request):
    name = f"once {request.node.name}"
    with Limiter(f"6/minute {algorithm}", store=store, name=name, deny_cache=0) as limiter:
        limiter.hit("user:42")
        limiter.hit("user:42", cost=2)
        limiter.acquire("user:42")
        with limiter.reserve("user:42") as reservation:
            reservation.commit(1)
        limiter.hit_many(["user:42", "user:42", "user:7"])
        limiter.peek("user:42")
        limiter.explain("user:42")
        with pytest.raises(RateLimitExceeded):
            limiter.acquire("user:42", timeout=0)
    assert of(name, outcome="allowed") == 6
    assert of(name, outcome="refused") == of(name) - 6 >= 2


def test_an_event_loop_counts_the_same(redis_url, clock):
    async def counted(store, name):
        limiter = AsyncLimiter("3/minute", store=store, name=name, deny_cache=0)
        for _ in range(4):
            await limiter.hit("user:42")
        await asyncio.gather(*(limiter.hit(i) for i in range(5)))
        await limiter.hit_many(["a", "b"])
        async with limiter.reserve("c"):
            pass
        await limiter.peek("user:42")
        assert (of(name, outcome="allowed"), of(name, outcome="refused")) == (3 + 5 + 2 + 1, 1)

    async def both():
        await counted(AsyncMemoryStore(clock=clock), "loop memory")
        store = AsyncRedisStore(redis_url, budget=5.0)
        await counted(store, "loop redis")
        await store.aclose()

    asyncio.run(both())


def test_what_was_made_before_metrics_are_on_counts_from_then_on():
    metrics.stop()
    limiter = Limiter("100/minute", name="made before")
    limiter.hit("user:42")
    metrics.start()
    limiter.hit("user:42")
    limiter.hit("user:42")
    assert of("made before") == 2
    metrics.start()
    limiter.hit("user:42")
    assert of("made before") == 3, "twice on is once"


def test_off_is_the_very_same_function_as_without_metrics():
    metrics.stop()
    limiter = Limiter("100/minute", name="off")
    assert limiter.hit.__module__ == "ratekit.stores.shortest"
    assert limiter._decide.__module__ == "ratekit.stores.shortest"


@pytest.mark.filterwarnings("ignore:the memory store holds:ratekit.errors.RateKitWarning")
@pytest.mark.parametrize("algorithm", ALGORITHM_NAMES)
def test_who_shares_a_bucket_of_a_full_memory_is_counted_once(clock, algorithm):
    name = f"full {algorithm}"
    limiter = Limiter(f"10/minute {algorithm}", store=MemoryStore(max_keys=1, clock=clock), name=name)
    limiter.hit("early")
    decisions = [limiter.hit("late") for _ in range(12)]
    assert {decision.source for decision in decisions} == {"overflow"}
    assert (of(name, outcome="allowed"), of(name, outcome="refused"), of(name, "near_limit")) == (11, 2, 3)


@pytest.mark.parametrize(
    "limits", [*((f"10/minute {name}",) for name in ALGORITHM_NAMES), ("10 per calendar day",), ("10/minute", "100/hour")]
)
def test_hits_near_a_limit_are_those_that_leave_a_fifth_or_less(store, limits, request):
    name = f"near {request.node.name}"
    with Limiter(*limits, store=store, name=name) as limiter:
        for spent in range(1, 11):
            assert limiter.hit("user:42")
            assert of(name, "near_limit") == max(0, spent - 7)


def test_a_second_limit_that_is_nearer_than_the_one_that_shows_counts_too(store, request):
    name = f"second {request.node.name}"
    with Limiter("10/minute", "1000/hour fixed_window", store=store, name=name) as limiter:
        limiter.hit_many(list(range(3)))
        assert of(name, "near_limit") == 0
    with Limiter("1000/hour", "900/minute", store=store, name=f"{name} 2") as limiter:
        limiter.hit("user:42", 790)  # 0.79 and 0.878
    assert of(f"{name} 2", "near_limit") == 1


def test_refusals_known_locally_are_told_apart_and_cost_no_trip(redis_url):
    store = RedisStore(redis_url, budget=5.0)
    with Limiter("1/minute", store=store, name="known") as limiter:
        for _ in range(10):
            limiter.hit("user:42")
    assert (of("known", source="store"), of("known", source="denials")) == (2, 8)
    assert of("known", "local_refusals") == 8
    assert (store.traffic.trips, store.traffic.hits) == (2, 2)
    store.close()


def test_hits_that_ride_together_are_seen_in_hits_per_trip(redis_url):
    async def ridden():
        store = AsyncRedisStore(redis_url, budget=5.0)
        limiter = AsyncLimiter("1000/minute", store=store, name="riding")
        await limiter.hit("first")
        before = store.traffic.trips
        await asyncio.gather(*(limiter.hit(i) for i in range(200)))
        assert store.traffic.trips - before < 100
        assert store.traffic.hits >= 201
        place = store.traffic.place
        values = {one.metric.name: one.value for one in metrics.read() if one.labels == {"store": place}}
        assert values["ratekit_trips"] <= values["ratekit_trip_hits"]
        assert values["ratekit_store_open"] == values["ratekit_queue_hits"] == 0
        await store.aclose()

    asyncio.run(ridden())


def test_the_latency_of_remote_decisions_is_a_histogram_and_memory_has_none(redis_url):
    store = RedisStore(redis_url, budget=5.0)
    with Limiter("1000/minute", store=store, name="timed") as limiter:
        for _ in range(20):
            limiter.hit("user:42")
    store.close()
    (one,) = [one for one in metrics.read() if one.metric.kind == "histogram" and one.labels["limiter"] == "timed"]
    assert one.value == one.buckets[-1][1] == 20
    assert [count for _, count in one.buckets] == sorted(count for _, count in one.buckets)
    assert 0 < one.total < 20
    Limiter("1000/minute", name="untimed").hit("user:42")
    assert of("untimed", "decision_duration_seconds") == 0


def test_an_outage_shows_as_degraded_or_unavailable_and_in_the_circuit(caplog):
    caplog.set_level(logging.INFO, logger="ratekit")
    with (
        servers.RedisServer() as server,
        Limiter("100/minute", store=f"{server.url}?x", name="away local", **PATIENT) as limiter,
        Limiter("100/minute", store=f"{server.url}?x", name="away closed", on_outage="closed", **PATIENT) as closed,
    ):
        limiter.hit("user:42")
        server.stop()
        for _ in range(3):
            limiter.hit("user:42")
            with pytest.raises(StoreUnavailable):
                closed.hit("user:42")
        place = f"redis://127.0.0.1:{server.port}/0"
        values = {one.metric.name: one.value for one in metrics.read() if one.labels == {"store": place}}
    assert (of("away local", source="store"), of("away local", source="local")) == (1, 3)
    assert of("away closed", outcome="unavailable") == 3
    assert (of("away local", "degraded_decisions"), of("away closed", "degraded_decisions")) == (3, 3)
    assert values["ratekit_store_open"] == 1
    assert values["ratekit_store_changes"] == 1
    assert values["ratekit_store_failures"] >= 1
    (record,) = [record for record in caplog.records if getattr(record, "event", "") == "circuit"]
    assert (record.ratekit_state, record.ratekit_fault) == ("open", "away")


def test_a_log_line_says_that_an_identity_is_near_once_a_minute_and_never_who(caplog):
    caplog.set_level(logging.INFO, logger="ratekit")
    limiter = Limiter("10/minute", name="near log")
    for i in range(5):
        limiter.hit(f"secret:{i}", cost=9)
    (record,) = [record for record in caplog.records if getattr(record, "event", "") == "near_limit"]
    assert (record.ratekit_limiter, record.ratekit_limit) == ("near log", "10/minute")
    assert "secret" not in record.getMessage() + repr(vars(record))


def test_prometheus_is_told_under_the_documented_names():
    registry = CollectorRegistry()
    metrics.prometheus(registry)
    limiter = Limiter("2/minute", name="scraped")
    for _ in range(3):
        limiter.hit("user:42")
    text = generate_latest(registry).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert set(families) == {metric.name for metric in metrics.METRICS}
    found = {
        (sample.labels["outcome"], sample.labels["source"]): sample.value
        for sample in families["ratekit_decisions"].samples
        if sample.labels["limiter"] == "scraped"
    }
    assert found == {("allowed", "store"): 2, ("refused", "store"): 1}
    assert "user:42" not in text


def test_opentelemetry_is_told_under_the_documented_names(redis_url):
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    metrics.opentelemetry(provider)
    store = RedisStore(redis_url, budget=5.0)
    with Limiter("2/minute", store=store, name="exported") as limiter:
        for _ in range(3):
            limiter.hit("user:42")
    found = {one.name: one for one in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics}
    store.close()
    provider.shutdown()
    timed = {f"ratekit.decision.duration.{part}" for part in ("bucket", "count", "sum")}
    assert set(found) == {metric.dotted for metric in metrics.METRICS if metric.kind != "histogram"} | timed
    points = [point for point in found["ratekit.decisions"].data.data_points if point.attributes["limiter"] == "exported"]
    assert {(point.attributes["outcome"], point.value) for point in points} == {("allowed", 2), ("refused", 1)}
    (count,) = [p for p in found["ratekit.decision.duration.count"].data.data_points if p.attributes["limiter"] == "exported"]
    assert count.value == 3


@pytest.mark.parametrize(
    ("call", "package", "extra"), [("prometheus", "prometheus_client", "prometheus"), ("opentelemetry", "opentelemetry", "otel")]
)
def test_without_its_library_an_exporter_says_how_to_install_it_and_the_rest_works(call, package, extra):
    code = f"""
import sys
sys.modules[{package!r}] = None
from ratekit import Limiter, metrics
metrics.start()
Limiter("5/minute", name="bare").hit("user:42")
print(sum(one.value for one in metrics.read() if one.metric.name == "ratekit_decisions"))
try:
    metrics.{call}()
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    counted, said = done.stdout.splitlines()
    assert counted == "1"
    assert f"pip install 'ratekit[{extra}]'" in said


def test_names_are_bounded_whatever_a_program_does():
    before = len(metering.tallies())
    for i in range(metering.MOST + 50):
        metering.tally_of(f"made up {i}")
    try:
        assert len(metering.tallies()) <= metering.MOST + 1
        assert metering.tally_of("one more").limiter == metering.OTHERS
    finally:
        for i in range(metering.MOST + 50):
            metering._TALLIES.pop((f"made up {i}", ""), None)
        metering._TALLIES.pop((metering.OTHERS, ""), None)
    assert len(metering.tallies()) == before


def test_every_metric_and_its_labels_are_documented():
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    for metric in metrics.METRICS:
        row = next(line for line in page.splitlines() if line.startswith(f"| `{metric.name}"))
        assert metric.kind in row
        for label in metric.labels:
            assert f"`{label}`" in row
