"""
The table: every fault, what is asked of it, and how the best and the typical peer fare. The peers' figures were measured with their
default settings under the same faults: limits 5.8.0, slowapi 0.1.10, fastapi-limiter 0.2.0, throttled-py 3.5.0, django-ratelimit
4.1.0 and asgi-ratelimit 0.10.0 on redis-py 8.1.0.
"""

import abuse
import cancelled
import clusters
import failovers
import flaps
import identities
import injections
import killed_clients
import outages
import processes
import random_faults
import server_faults
from figures import Row

ROWS = (
    Row(
        "down",
        "Redis down at start",
        "starts, 0 x 5xx, decisions within 5 ms, joins within 1 s of Redis coming up",
        "joins after 0.2-0.9 s (slowapi with its fallback) / every request 500",
        outages.down_at_start,
    ),
    Row(
        "killed",
        "kill -9 under load, back 3 s later",
        "0 x 5xx during and after, at most 10 ms added, back within 1 s, no stale-connection error",
        "0 x 5xx, back after 3.0 s (slowapi with its fallback) / 95-99 % 500, stale connections until 5.5 s later, one never back",
        outages.killed,
    ),
    Row(
        "hung",
        "hung (SIGSTOP, then SIGCONT)",
        "nobody waits longer than 75 ms, only those in flight wait at all; another route within 10 ms, 30 ms as they are released; "
        "back within 0.5 s",
        "5 s each, then 500 / up to 25 s each, other routes dead for more than 10 s; without end on redis-py 7",
        outages.hung,
    ),
    Row(
        "flaps",
        "ten outages within one window of 100, the data kept; two processes",
        "admitted at most limit x (processes + 1), 0 x 5xx; what was admitted meanwhile is charged in Redis",
        "not measured",
        flaps.flaps,
    ),
    Row(
        "slow",
        "200 ms slow; dripping bytes; stalls",
        "75 ms; 2 changes of state a minute at most",
        "204 ms (throttled) / 206-807 ms, with the event loop or a lock held",
        outages.slow,
    ),
    Row(
        "flushed",
        "SCRIPT FLUSH 20 times under load",
        "0 errors",
        "0 errors (most) / fastapi-limiter answers 500 until it is restarted",
        server_faults.flushed,
    ),
    Row(
        "refusing",
        "OOM, READONLY, LOADING, BUSY, MISCONF, NOREPLICAS, NOAUTH, NOPERM, MASTERDOWN",
        "the policy decides, 0 x 5xx, back on the first good probe",
        "200 (slowapi with its fallback) / 500 or 503 on each request",
        server_faults.refusing,
    ),
    Row(
        "injected",
        "a TCP proxy's RST, EOF, garbage, reply cut at every byte, blackhole: 10,000 injections",
        "0 unhandled exceptions; no request counts twice",
        "500 or 503 on each; raw ConnectionResetError and RuntimeError leak (throttled)",
        injections.injected,
    ),
    Row(
        "spoiled",
        "wrong type, garbage under a key; PERSIST on a key",
        "right again on its next hit; no other key notices; blocked one window at most",
        "500 forever for a wrong type; 429 forever without an expiry in 7 of 15 variants",
        server_faults.spoiled,
    ),
    Row(
        "cancelled",
        "10,000 cancellations and client disconnects",
        "0 crossed replies, 0 new connections, 0 leaked futures",
        "0 crossed, 0 leaked, but 6,188 new connections for 7,869 cancellations (redis-py, which all of them use)",
        cancelled.given_up,
    ),
    Row(
        "forked",
        "fork after use (gunicorn --preload), reload, SIGTERM while hung",
        "0 crossed replies; exits within 1 s",
        "not measured",
        processes.forked,
    ),
    Row(
        "forged",
        "X-Forwarded-For forgery, with --no-proxy-headers",
        "0 of 1,000 bypasses, proxies named or not; a warning on first evidence names the rewriting that uvicorn does by default",
        "0 of 8 (slowapi, asgi-ratelimit, django-ratelimit, throttled) / 8 of 8 (fastapi-limiter); behind uvicorn's default "
        "rewriting every one, without a warning",
        abuse.forged,
    ),
    Row(
        "fuzzed",
        "1,000,000 fuzzed ASGI scopes",
        "0 exceptions",
        "not measured; lone surrogates, bytes and garbage addresses raise (limits, throttled, asgi-ratelimit, django-ratelimit)",
        abuse.fuzzed,
    ),
    Row(
        "cold",
        "1,000 concurrent calls on a healthy Redis, cold",
        "4 connections or fewer, 0 local decisions, 0 errors",
        "0 errors (slowapi, fastapi-limiter, django-ratelimit) / two thirds of 300 are 500 or 503, 100 connections",
        cancelled.cold,
    ),
    Row(
        "sentinel-killed",
        "Sentinel failover: the master is killed with kill -9 under load",
        "0 x 5xx; back within 1 s of the switch",
        "not measured",
        failovers.master_killed,
    ),
    Row(
        "sentinel-hung",
        "Sentinel failover: the master hangs (SIGSTOP), and comes back demoted",
        "0 x 5xx; back within 1 s of the switch",
        "not measured",
        failovers.master_hung,
    ),
    Row(
        "cluster-kill",
        "Cluster: a master is killed with kill -9 under load",
        "0 x 5xx; keys on healthy nodes: 0 local decisions; back within 1 s of the promotion",
        "errors for 2.0-2.8 s, 62 of 5,900, also for keys on healthy nodes (redis-py); 135 errors until 2.3 s (limits)",
        clusters.master_killed,
    ),
    Row(
        "cluster-stop",
        "Cluster: a master hangs (SIGSTOP) under load",
        "0 x 5xx; keys on healthy nodes: 0 local decisions; back within 1 s of the promotion",
        "0 errors, but calls take up to 7.0 s (redis-py)",
        clusters.master_hung,
    ),
    Row(
        "cluster-migration",
        "Cluster: loaded slots move to another master and back",
        "0 x 5xx; share of decisions that fell back under 1 %",
        "not measured",
        clusters.migrated,
    ),
    Row(
        "random",
        "a minute of random faults, on one server, on three with sentinels, on a cluster of six (ten minutes in `make test-long`)",
        "0 x 5xx; memory and descriptors within 5 %; no unhandled exception, no future never retrieved",
        "not measured",
        random_faults.random_faults,
        runs=1,
    ),
    Row(
        "clients",
        "client processes killed at random 1,000 times",
        "0 keys without a time to live; leases and reserves expire",
        "not measured",
        killed_clients.clients_killed,
        runs=1,
    ),
    Row(
        "identities",
        "1,000,000 random identities",
        "Redis: key names of at most 200 bytes, all gone within two windows; memory: at most 1.2 times the cap's bytes, p99 of a hit at "
        "the cap under 20 dict increments; refusals of innocents at the cap reported",
        "not measured",
        identities.million,
        runs=1,
    ),
)
