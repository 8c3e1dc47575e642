"""
A cluster, and a master behind sentinels, that ask for passwords and speak TLS: by URL and by the clients of redis-py.
"""

import asyncio
import json

import pytest
import redis
import redis.asyncio
import servers
import trustme
from doors import PATIENT
from topology.cluster import Member, RedisCluster
from topology.sentinels import SERVICE, Sentinel
from typer.testing import CliRunner

from ratekit import AsyncLimiter, ConfigurationError, Limiter, StoreError, StoreUnavailable
from ratekit.cli import app
from ratekit.cli.doctor_acl import acl_line
from ratekit.stores import AsyncRedisClusterStore, AsyncRedisStore, RedisClusterStore, RedisStore
from ratekit.stores.slots import slot_of
from ratekit.testing.doors import opened

PASSWORD, USER = "of_the_servers", "app"


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    """An authority of these tests' own, and a certificate for this machine: their files."""
    folder, authority = tmp_path_factory.mktemp("papers"), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "authority.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    return folder


@pytest.fixture(scope="module")
def options(papers):
    """What a server is told to speak TLS."""
    files = {"cert": "certificate", "key": "key", "ca-cert": "authority"}
    words = [word for name, file in files.items() for word in (f"--tls-{name}-file", str(papers / f"{file}.pem"))]
    words += ["--tls-auth-clients", "no"]
    try:
        with servers.RedisServer(*words, "--tls-port", str(servers.free_port())):
            return words
    except RuntimeError as error:
        pytest.skip(f"this server was built without TLS: {error}")


@pytest.fixture(scope="module")
def secured(options):
    """A cluster whose masters want passwords and speak TLS, to each other too; with a user who may do all that ratekit does."""

    def make():
        port = servers.free_port()
        member = Member(*options, "--tls-port", str(port), "--tls-cluster", "yes", password=PASSWORD)
        member.secure_port = port
        return member

    with RedisCluster(replicas=0, make=make) as cluster:
        for node in cluster.nodes:
            node.ask("ACL", "SETUSER", USER, "on", ">p@ss/word", "~ratekit:*", "+@all", "-@dangerous", "+cluster|slots")
        yield cluster


def url_of(cluster, papers, *, login=f"{USER}:p%40ss%2Fword", tls):
    if tls:
        hosts = ",".join(f"127.0.0.1:{node.secure_port}" for node in cluster.nodes)
        return f"rediss+cluster://{login}@{hosts}?ssl_ca_certs={papers / 'authority.pem'}"
    return f"redis+cluster://{login}@{','.join(f'127.0.0.1:{node.port}' for node in cluster.nodes)}"


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def url(request, secured, papers):
    secured.wipe()
    return url_of(secured, papers, tls=request.param)


@pytest.mark.parametrize("kind", [RedisClusterStore, AsyncRedisClusterStore])
def test_hits_resets_counts_and_slots_that_moved_are_followed_with_the_same_credentials(secured, url, kind):
    with opened(lambda: kind(url, budget=5.0), deny_cache=0) as door:
        limiter = door.limiter("2/hour", name="secured")
        for name in (f"user{i}" for i in range(12)):
            assert [limiter.hit(name).remaining for _ in range(3)] == [1, 0, 0]
            limiter.reset(name)
            assert limiter.hit(name).source == "store"
        slot, source = slot_of("{secured:ann}"), secured.home("{secured:ann}")
        target = secured.masters[(secured.masters.index(source) + 1) % 3]
        secured.move(slot, source, target)
        try:
            assert limiter.hit("ann").source == "store"
            assert target.ask("CLUSTER", "COUNTKEYSINSLOT", slot) == 1
            limiter.reset("ann")
            assert target.ask("CLUSTER", "COUNTKEYSINSLOT", slot) == 0
        finally:
            secured.move(slot, target, source)
        ports = {shard.address[1] for shard in door.store.shards}
        secure = {node.secure_port for node in secured.nodes}
        assert ports == (secure if url.startswith("rediss") else {node.port for node in secured.nodes})


def test_clients_of_redis_py_bring_their_credentials_and_certificates(secured, papers):
    how = {"username": USER, "password": "p@ss/word", "ssl": True, "ssl_ca_certs": str(papers / "authority.pem")}
    place = {"host": "127.0.0.1", "port": secured.nodes[0].secure_port}
    client = redis.RedisCluster(**place, **{**how, "password": PASSWORD, "username": None})  # redis-py asks more of a user
    assert Limiter("5/hour", store=RedisClusterStore(client), name="theirs secured", **PATIENT).hit("ann").source == "store"
    client.close()

    async def main():
        async with redis.asyncio.RedisCluster(**place, **{**how, "password": PASSWORD, "username": None}) as client:
            store = AsyncRedisClusterStore(client)
            answer = await AsyncLimiter("5/hour", store=store, name="theirs secured", **PATIENT).hit("ann")
            await store.aclose()
            return answer

    assert asyncio.run(main()).source == "store"


REFUSED = {"a wrong password": f"{USER}:wrong", "no user": "nobody:p%40ss%2Fword", "no password": ""}


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("login", REFUSED.values(), ids=REFUSED)
def test_who_is_refused_is_told_why_and_does_not_start(secured, papers, login, tls):
    url = url_of(secured, papers, login=login, tls=tls).replace("://@", "://")

    async def start():
        limiter = AsyncLimiter("5/hour", store=url, name=f"refused {login}", **PATIENT)
        try:
            await limiter._store.open()
        finally:
            await limiter.aclose()

    with pytest.raises(StoreError, match=r"(?i)refuses these credentials.*(invalid username|authentication required)") as caught:
        asyncio.run(start())
    assert caught.value.fault == "refused"
    with (
        Limiter("5/hour", store=url, on_outage="closed", name=f"refused {login}", **PATIENT) as limiter,
        pytest.raises(StoreUnavailable),
    ):
        limiter.hit("ann")


def test_a_certificate_of_nobody_known_is_away_with_the_reason(secured, papers):
    url = url_of(secured, papers, tls=True).partition("?")[0]
    with opened(lambda: RedisClusterStore(url, budget=5.0)) as door:
        servers.until(lambda: "certificate verify failed" in told_by(door).lower().replace("_", " "))


@pytest.fixture(scope="module")
def hidden_master(options):
    """The port for TLS of a sentinel before a master; each has a password of its own."""
    secure = [servers.free_port(), servers.free_port()]
    more = "\n".join(f"{name.removeprefix('--')} {value}" for name, value in zip(options[::2], options[1::2], strict=True))
    more += f"\ntls-port {secure[1]}\ntls-replication yes\nrequirepass sesame\nsentinel auth-pass {SERVICE} {PASSWORD}\n"
    master = servers.RedisServer(*options, "--tls-port", str(secure[0]))
    with master, master.client() as client:
        client.config_set("requirepass", PASSWORD)
        with Sentinel(secure[0], more):
            yield secure[1]


def told_by(door):
    with pytest.raises(StoreError) as caught:
        door.decide([])
    return str(caught.value)


@pytest.mark.parametrize("kind", [RedisStore, AsyncRedisStore])
def test_a_master_behind_sentinels_is_reached_by_tls_and_with_both_passwords(hidden_master, papers, kind):
    url = f"rediss+sentinel://:{PASSWORD}@127.0.0.1:{hidden_master}/{SERVICE}/0"
    query = f"sentinel_password=sesame&ssl_ca_certs={papers / 'authority.pem'}"
    with opened(lambda: kind(f"{url}?{query}")) as door:
        limiter = door.limiter("5/hour", name=f"hidden {kind.__name__}")
        servers.until(lambda: limiter.hit("ann").source == "store")
    for wrong in (f"{url.replace(PASSWORD, 'of_nobody')}?{query}", f"{url}?{query.replace('sesame', 'barley')}"):
        with opened(lambda wrong=wrong: kind(wrong)) as door:
            servers.until(lambda door=door: "refuses these credentials" in told_by(door))  # sentinels may be late first


@pytest.mark.parametrize("query", ["ssl_nothing=1", "socket_timeout=1", "sentinel_ssl=yes", "ssl_cert_reqs=perhaps"])
def test_what_is_no_option_of_tls_is_said_with_those_that_are(query):
    with pytest.raises(ConfigurationError, match="ssl_ca_certs="):
        RedisStore(f"rediss+sentinel://localhost:26379/{SERVICE}?{query}")
    with pytest.raises(ConfigurationError, match="rediss"):
        RedisStore(f"redis+sentinel://localhost:26379/{SERVICE}?ssl_ca_certs=authority.pem")


@pytest.mark.parametrize("kind", [RedisClusterStore, AsyncRedisClusterStore])
def test_an_option_of_tls_that_a_cluster_cannot_have_is_said_at_once(kind):
    with pytest.raises(ConfigurationError, match=r"perhaps.*rediss\+cluster://"):
        kind("rediss+cluster://localhost:6379?ssl_cert_reqs=perhaps")


def test_the_line_of_the_doctor_is_enough_for_a_cluster_also_while_a_slot_moves(secured):
    secured.wipe()
    line = acl_line("ratekit", cluster=True).replace(">PASSWORD", ">secret").split()
    for node in secured.nodes:
        node.ask(*line)
    url = secured.url.replace("://", "://ratekit:secret@")
    doctor = CliRunner().invoke(app, ["doctor", "--store", url, "--json"])
    found = json.loads(doctor.stdout)
    assert [one["level"] for one in found if one["check"] == "script"] == ["good"]
    assert " ".join(line[:3]) in next(one["advice"] for one in found if one["check"] == "script")
    assert {one["says"].partition(": ")[0] for one in found if one["check"] == "ping"} == {
        f"127.0.0.1:{node.port}" for node in secured.nodes
    }
    slot, source = slot_of("{line:ann}"), secured.home("{line:ann}")
    target = secured.masters[(secured.masters.index(source) + 1) % 3]
    with Limiter("5/hour", "7/day", store=url, name="line", **PATIENT) as limiter:
        assert limiter.hit("bob").source == "store"
        secured.begin(slot, source, target)
        try:
            assert limiter.hit("ann").source == "store"
            limiter.reset("ann")
            assert limiter.hit("ann").remaining == 4
        finally:
            secured.finish(slot, target)
            secured.move(slot, target, source)


@pytest.mark.parametrize(("missing", "says"), [("-cluster|slots", "cluster"), ("-evalsha", "evalsha")])
def test_a_user_of_a_cluster_who_may_not_enough_is_told_with_the_line(secured, missing, says):
    for node in secured.nodes:
        node.ask(*acl_line("ratekit", cluster=True).replace(">PASSWORD", ">secret").split(), missing)
    try:
        doctor = CliRunner().invoke(app, ["doctor", "--store", secured.url.replace("://", "://ratekit:secret@"), "--json"])
        bad = next(one for one in json.loads(doctor.stdout) if one["level"] == "bad")
        assert says in bad["says"].lower()
    finally:
        for node in secured.nodes:
            node.ask("ACL", "DELUSER", "ratekit")
