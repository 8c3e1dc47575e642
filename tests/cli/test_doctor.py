"""
`ratekit doctor`, against a real Redis with each ailment that it is to name.
"""

import json
import shutil
import subprocess
import sys

import pytest
import servers
from topology.sentinels import SERVICE, Sentinel

from ratekit import Limiter
from ratekit.cli.doctor_acl import acl_line, commands
from ratekit.limit import ALGORITHM_NAMES

needs_faketime = pytest.mark.skipif(shutil.which("faketime") is None, reason="faketime is not installed: apt-get install faketime")
SERVER = ("--server", "uvicorn app:app --no-proxy-headers")


@pytest.fixture(scope="module")
def server():
    """A Redis of this file's own, whose settings may be spoilt."""
    with servers.RedisServer() as server:
        yield server


@pytest.fixture
def redis(server):
    """A plain client of it; what a test sets is undone."""
    with server.client(decode_responses=True) as client:
        client.flushall()
        yield client
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxclients", 10_000)
        client.execute_command("ACL", "DELUSER", "ratekit")


def examined(ratekit, url, *options):
    """The doctor's findings by check, and its exit code."""
    result = ratekit("doctor", "--store", url, "--json", *options)
    assert result.stdout, result.stderr
    return {one["check"]: one for one in json.loads(result.stdout)}, result.exit_code


def as_user(server, *rules):
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "ratekit", "reset", "on", ">secret", *rules)
    return f"redis://ratekit:secret@127.0.0.1:{server.port}/0"


def test_a_healthy_redis_is_found_healthy_and_keeps_nothing_of_the_visit(ratekit, server, redis):
    found, code = examined(ratekit, server.url, *SERVER)
    assert code == 0
    assert {one["level"] for one in found.values()} == {"good"}
    assert set(found) == {
        *("ping", "version", "script", "clock", "eviction", "connections", "time to live", "switch", "workers", "addresses")
    }
    assert redis.keys("*") == []


def test_what_people_read_names_every_check_and_hides_the_password(ratekit, server, redis):
    result = ratekit("doctor", "--store", as_user(server, "~*", "+@all"), *SERVER)
    assert result.exit_code == 0
    assert "nothing bad, nothing to look at" in result.stdout
    assert "ACL SETUSER ratekit on" in result.stdout
    assert "secret" not in result.stdout


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_eviction_that_is_on_is_named_with_what_to_set(ratekit, server, redis, policy):
    redis.config_set("maxmemory", 100_000_000)
    redis.config_set("maxmemory-policy", policy)
    found, code = examined(ratekit, server.url)
    assert found["eviction"]["level"] == "bad"
    assert policy in found["eviction"]["says"]
    assert "maxmemory-policy noeviction" in found["eviction"]["advice"]
    assert code == 1


def test_an_eviction_policy_without_a_bound_is_only_to_be_looked_at(ratekit, server, redis):
    redis.config_set("maxmemory-policy", "allkeys-lfu")
    found, code = examined(ratekit, server.url)
    assert found["eviction"]["level"] == "look"
    assert code == 0


def test_keys_that_were_evicted_are_counted(ratekit, server, redis):
    redis.config_set("maxmemory-policy", "allkeys-random")
    redis.mset({f"filler:{i}": "x" * 10_000 for i in range(200)})
    redis.config_set("maxmemory", redis.info("memory")["used_memory"] - 1_000_000)
    redis.set("filler", "one more")
    redis.config_set("maxmemory", 0)
    lost = redis.info("stats")["evicted_keys"]
    assert lost > 0
    found, _ = examined(ratekit, server.url)
    assert f"{lost:,} keys have been evicted" in found["eviction"]["says"]


def test_a_redis_that_is_nearly_full_and_refuses_writes_is_named(ratekit, server, redis):
    redis.config_set("maxmemory", int(redis.info("memory")["used_memory"] * 1.03))
    found, code = examined(ratekit, server.url)
    assert found["eviction"]["level"] == "bad"
    assert "every hit fails" in found["eviction"]["advice"]
    assert code == 1


@pytest.mark.parametrize(
    "rules", [("~*", "+@all", "-@scripting"), ("~*", "+@all", "-set"), ("~*", "+@all", "-pexpiretime"), ("~other:*", "+@all")]
)
def test_a_user_that_may_not_run_the_script_is_told_with_the_line_that_permits_it(ratekit, server, redis, rules):
    found, code = examined(ratekit, as_user(server, *rules))
    assert found["script"]["level"] == "bad"
    assert acl_line("ratekit") in found["script"]["advice"]
    assert code == 1


def test_the_line_to_paste_is_enough_for_every_algorithm_and_for_reset(ratekit, server, redis):
    redis.execute_command(*acl_line("ratekit").replace(">PASSWORD", ">secret").split())
    url = f"redis://ratekit:secret@127.0.0.1:{server.port}/0"
    for algorithm in ALGORITHM_NAMES:
        with Limiter(f"2/minute {algorithm}", store=url, name=f"acl {algorithm}", on_outage="closed", deny_cache=0) as limiter:
            assert [bool(limiter.hit("user:42")) for _ in range(3)] == [True, True, False]
            with limiter.reserve("user:7", 2) as reservation:
                reservation.commit(1)
            redis.set(next(iter(redis.scan_iter("*user:42*"))), "no state of ours")
            assert limiter.hit("user:42")
            limiter.reset("user:42")
            assert limiter.peek("user:42").remaining == 2
    found, code = examined(ratekit, url)
    assert found["script"]["level"] == "good"
    assert code == 0


def test_the_line_to_paste_permits_other_databases_where_one_is_named(ratekit, server, redis):
    redis.execute_command(*acl_line("ratekit", 3).replace(">PASSWORD", ">secret").split())
    found, _ = examined(ratekit, f"redis://ratekit:secret@127.0.0.1:{server.port}/3")
    assert found["script"]["level"] == "good"


def test_the_line_names_no_command_that_the_server_does_not_know(redis):
    known = redis.command_list() if hasattr(redis, "command_list") else redis.execute_command("COMMAND", "LIST")
    assert set(commands()) <= set(known)


def test_what_a_user_may_not_look_at_is_unknown_and_not_good(ratekit, server, redis):
    found, _ = examined(ratekit, as_user(server, *acl_line("ratekit").partition(">PASSWORD ")[2].split()))
    assert {found[check]["level"] for check in ("version", "eviction", "connections", "time to live")} == {"unknown"}
    assert "administrator" in found["eviction"]["advice"]
    assert found["clock"]["level"] == "good"


def test_a_server_is_judged_by_the_commands_that_it_knows_and_not_by_the_version_that_it_names(ratekit):
    with servers.RedisServer("--rename-command", "PEXPIRETIME", "") as without:
        found, code = examined(ratekit, without.url)
    assert (found["version"]["level"], found["script"]["level"], code) == ("bad", "bad", 1)
    assert "PEXPIRETIME" in found["version"]["advice"]


def test_keys_without_a_time_to_live_are_found_among_healthy_ones(ratekit, server, redis):
    with Limiter("5/minute", store=server.url, name="doctor's") as limiter:
        for i in range(30):
            limiter.hit(i)
    for key in sorted(redis.scan_iter("ratekit:*"))[:2]:
        redis.persist(key)
    redis.set("ratekit:restored", "1")
    redis.set("somebody:else", "1")
    found, code = examined(ratekit, server.url)
    assert found["time to live"]["level"] == "bad"
    assert "all 31 keys" in found["time to live"]["says"]
    assert "3 without" in found["time to live"]["says"]
    assert "ratekit:restored" in found["time to live"]["advice"]
    assert "somebody" not in found["time to live"]["advice"]
    assert code == 1


def test_a_prefix_with_a_star_means_itself(ratekit, server, redis):
    redis.set("rate*kit:a", "1")
    redis.set("rate-kit:a", "1")
    with Limiter("5/minute", store=server.url, prefix="rate*kit", name="doctor's") as limiter:
        limiter.hit("user:42")
    found, _ = examined(ratekit, server.url, "--prefix", "rate*kit")
    assert found["script"]["level"] == "good"
    assert "'rate%2Akit'" in found["time to live"]["says"]


@needs_faketime
@pytest.mark.parametrize(("offset", "side", "apart"), [("+1h", "behind", 3600), ("-90s", "ahead of", 90)])
def test_a_skewed_clock_is_named_with_how_much(server, redis, offset, side, apart):
    # This machine's clock is moved: to the doctor it is all one which of the two is wrong.
    wrapped = ["faketime", "--exclude-monotonic", "-f", offset, sys.executable, "-m", "ratekit", "doctor", "--store", server.url]
    done = subprocess.run([*wrapped, "--json"], capture_output=True, text=True, timeout=60, check=False)
    clock = {one["check"]: one for one in json.loads(done.stdout)}["clock"]
    assert clock["level"] == "bad"
    assert float(clock["says"].partition(" clock is ")[2].partition(" s ")[0].replace(",", "")) == pytest.approx(apart, abs=1)
    assert side in clock["says"]
    assert "NTP" in clock["advice"]
    assert done.returncode == 1


def test_a_redis_that_has_no_connections_left_is_named(ratekit, server, redis):
    redis.config_set("maxclients", 20)
    clients = [server.client() for _ in range(17)]
    for client in clients:
        client.ping()
    found, _ = examined(ratekit, server.url)
    for client in clients:
        client.close()
    assert found["connections"]["level"] == "bad"


def test_a_redis_that_is_not_there_is_all_that_is_said_of_it(ratekit):
    found, code = examined(ratekit, "redis://127.0.0.1:1/0")
    assert found["ping"]["level"] == "bad"
    assert "firewall" in found["ping"]["advice"]
    assert "script" not in found
    assert code == 1


def test_an_upstash_database_is_tried_by_the_script(ratekit, upstash_server):
    found, code = examined(ratekit, upstash_server.url)
    assert found["script"]["level"] == "good"
    assert found["eviction"]["level"] == "unknown"
    assert code == 0


@pytest.mark.parametrize(
    ("command", "environment", "level"),
    [
        ("uvicorn app:app --workers 4", {}, "bad"),
        ("gunicorn -w 4 app:app", {}, "bad"),
        ("gunicorn app:app", {"GUNICORN_CMD_ARGS": "--workers=3"}, "bad"),
        ("uvicorn app:app", {"WEB_CONCURRENCY": "2"}, "bad"),
        ("uvicorn app:app", {}, "good"),
        ("", {}, "look"),
    ],
)
def test_memory_under_several_workers_is_named(ratekit, command, environment, level):
    result = ratekit("doctor", "--server", command, "--json", env={"WEB_CONCURRENCY": None, **environment})
    found = {one["check"]: one for one in json.loads(result.stdout)}
    assert found["workers"]["level"] == level


def test_several_workers_on_one_redis_are_well(ratekit, server, redis):
    found, _ = examined(ratekit, server.url, "--server", "uvicorn app:app --workers 4")
    assert found["workers"]["level"] == "good"


@pytest.mark.parametrize(
    ("command", "environment", "level", "says"),
    [
        ("uvicorn app:app --forwarded-allow-ips '*'", {}, "bad", "198.51.100.7 was taken for 203.0.113.9"),
        ("uvicorn app:app --forwarded-allow-ips=*", {}, "bad", "198.51.100.7 was taken for 203.0.113.9"),
        ("uvicorn app:app", {"FORWARDED_ALLOW_IPS": "*"}, "bad", "as it claimed"),
        ("gunicorn -k uvicorn.workers.UvicornWorker app:app", {"FORWARDED_ALLOW_IPS": "*"}, "bad", "as it claimed"),
        ("uvicorn app:app", {}, "look", "when the peer is 127.0.0.1"),
        ("uvicorn app:app --no-proxy-headers", {"FORWARDED_ALLOW_IPS": "*"}, "good", "leaves the peer's address"),
        ("gunicorn app:app", {}, "good", "leaves the peer's address"),
        ("hypercorn app:app", {}, "good", "leaves the peer's address"),
        ("", {}, "unknown", "would believe"),
        ("", {"FORWARDED_ALLOW_IPS": "*"}, "bad", "as it claimed"),
    ],
)
def test_what_the_server_does_to_addresses_is_tried_out(ratekit, command, environment, level, says):
    result = ratekit("doctor", "--server", command, "--json", env={"FORWARDED_ALLOW_IPS": None, **environment})
    found = {one["check"]: one for one in json.loads(result.stdout)}
    assert found["addresses"]["level"] == level
    assert says in found["addresses"]["says"]


def test_a_unix_socket_without_its_proxy_named_is_bad(ratekit):
    options = ("--server", "uvicorn app:app --uds /run/app.sock --no-proxy-headers")
    found = json.loads(ratekit("doctor", *options, "--json").stdout)
    assert "bad" in {one["level"] for one in found if one["check"] == "addresses"}
    found = json.loads(ratekit("doctor", *options, "--trusted-proxy", "unix", "--json").stdout)
    assert {one["level"] for one in found if one["check"] == "addresses"} == {"good"}


def test_a_switch_that_disables_is_bad(ratekit):
    result = ratekit("doctor", env={"RATEKIT_ENABLED": "0"})
    assert "RATEKIT_ENABLED=0: nothing is limited" in result.stdout
    assert result.exit_code == 1


@pytest.mark.parametrize(
    "options", [("--server", "uvicorn 'app"), ("--trusted-proxy", "0.0.0.0/0"), ("--store", "redis://localhost:many/0")]
)
def test_what_cannot_be_is_said_with_exit_code_2(ratekit, options):
    result = ratekit("doctor", *options)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")


def test_behind_sentinels_it_is_the_master_that_is_examined(ratekit, server, redis):
    with Sentinel(server.port) as sentinel:
        found, code = examined(ratekit, f"redis+sentinel://127.0.0.1:{sentinel.port}/{SERVICE}/0", *SERVER)
        assert {one["level"] for one in found.values()} == {"good"}
        assert code == 0
        found, code = examined(ratekit, f"redis+sentinel://127.0.0.1:{sentinel.port}/nobody/0")
        assert (found["ping"]["level"], code) == ("bad", 1)
