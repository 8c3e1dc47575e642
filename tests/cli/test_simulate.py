"""
`ratekit simulate`: who would have been refused by which policy. Its counts are those of `ratekit replay`, and of a brute-force recount.
"""

import json
import time

import pytest

THREE = """
[[policies]]
name = "burst"
limits = "10/10 seconds"

[[policies]]
name = "hourly"
limits = ["30/minute", "60/hour"]

[[policies]]
name = "blog"
limits = "20/day"
match = "/blog/*"
"""


@pytest.fixture
def policies(tmp_path):
    """A function that writes policies to a file."""

    def write(text):
        path = tmp_path / "policies.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def answer(result):
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def replayed(ratekit, log, *limits):
    return answer(ratekit("replay", log, *(word for limit in limits for word in ("--limit", limit)), "--top", 2000, "--json"))


@pytest.mark.parametrize(
    "limits", [["10/10 seconds"], ["30/minute", "60/hour"], ["20/minute token_bucket"], ["100/day fixed_window"]]
)
def test_a_policy_alone_counts_what_replay_counts_for_its_limits(ratekit, real_log, policies, limits):
    text = f'[[policies]]\nname = "only"\nlimits = {json.dumps(limits)}\n'
    mine = answer(ratekit("simulate", policies(text), real_log, "--top", 2000, "--json"))
    theirs = replayed(ratekit, real_log, *limits)
    (one,) = mine["policies"]
    assert one["refused"] == one["refused_alone"] == mine["refused"] == theirs["refused"] > 0
    assert mine["admitted"] == theirs["admitted"]
    assert (mine["requests"], mine["clients"], mine["clients_refused"]) == (10_000, 1_753, theirs["clients_refused"])
    refused = {one["client"]: one["refused"] for one in theirs["most_refused"]}
    assert {one["client"]: one["refused_by"]["only"] for one in mine["most_refused"]} == refused
    assert {one["identity"]: one["refused"] for one in one["most_refused"]} == refused


def test_each_of_several_policies_counts_alone_what_replay_counts(ratekit, real_log, policies):
    mine = answer(ratekit("simulate", policies(THREE), real_log, "--json"))
    burst, hourly, _ = mine["policies"]
    assert burst["refused_alone"] == replayed(ratekit, real_log, "10/10 seconds")["refused"]
    assert hourly["refused_alone"] == replayed(ratekit, real_log, "30/minute", "60/hour")["refused"]


def test_policies_for_every_request_refuse_together_what_replay_refuses_by_all_their_limits(ratekit, real_log, policies):
    mine = answer(ratekit("simulate", policies(THREE.replace('match = "/blog/*"', "")), real_log, "--json"))
    theirs = replayed(ratekit, real_log, "10/10 seconds", "30/minute", "60/hour", "20/day")
    assert (mine["admitted"], mine["refused"]) == (theirs["admitted"], theirs["refused"])


def test_three_policies_over_the_real_log_take_less_than_ten_seconds_with_the_picture(ratekit, real_log, policies, tmp_path):
    picture = tmp_path / "out.png"
    start = time.process_time()
    result = ratekit("simulate", policies(THREE), real_log, "--plot", picture)
    assert time.process_time() - start < 10
    assert result.exit_code == 0
    assert f"picture: {picture}" in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 300_000


def test_what_people_read_names_policies_clients_and_counts(ratekit, real_log, policies):
    result = ratekit("simulate", policies(THREE), real_log)
    facts = answer(ratekit("simulate", policies(THREE), real_log, "--json"))
    assert f"{facts['refused']:,} requests would be refused" in result.stdout
    for one in facts["policies"]:
        assert f"{one['refused']:,}" in result.stdout
        assert f"by {one['policy']}" in result.stdout
    assert facts["most_refused"][0]["client"] in result.stdout


def test_a_policy_is_charged_for_the_requests_that_it_matches_and_no_others(ratekit, line, policies):
    login = line("10:00:00", request="POST /login HTTP/1.1")
    log = login * 3 + line("10:00:00", request="GET /login HTTP/1.1") + line("10:00:00", request="GET /a%2Fb?x=1 HTTP/1.1")
    text = '[[policies]]\nname = "login"\nlimits = "2/minute"\nmatch = "POST /login"\n'
    facts = answer(ratekit("simulate", policies(text), "-", "--json", stdin=log.encode()))
    assert (facts["refused"], facts["without_policy"], facts["policies"][0]["applies_to"]) == (1, 2, 3)


def test_one_hit_is_charged_to_all_policies_or_to_none(ratekit, line, policies):
    # Two of four requests are refused by "small" and not charged to "large", which therefore never refuses among the others.
    text = '[[policies]]\nname = "small"\nlimits = "2/minute"\n[[policies]]\nname = "large"\nlimits = "3/minute"\n'
    facts = answer(ratekit("simulate", policies(text), "-", "--json", stdin=(line("10:00:00") * 4).encode()))
    assert [(one["refused"], one["refused_alone"]) for one in facts["policies"]] == [(2, 2), (0, 1)]


def test_costs_exemptions_and_header_fields_count_as_they_would(ratekit, line, policies):
    text = """
[[policies]]
name = "agents"
limits = "4/minute"
key = ["ip", "header:user-agent"]
cost = 2
exempt = "/health"
"""
    log = (
        line("10:00:00", tail=' "-" "curl/8"') * 3
        + line("10:00:00", tail=' "-" "other/1"') * 2
        + line("10:00:00", request="GET /health HTTP/1.1", tail=' "-" "curl/8"') * 9
    )
    facts = answer(ratekit("simulate", policies(text), "-", "--json", stdin=log.encode()))
    assert (facts["refused"], facts["without_policy"]) == (1, 9)
    assert facts["policies"][0]["most_refused"] == [{"identity": "192.0.2.7, curl/8", "refused": 1}]


def test_a_header_field_that_no_log_keeps_is_said(ratekit, line, policies):
    text = '[[policies]]\nname = "daily"\nlimits = "1/day"\nkey = "header:x-api-key"\nmissing = "refuse"\n'
    result = ratekit("simulate", policies(text), "-", stdin=line("10:00:00").encode())
    assert result.exit_code == 0
    assert "a log keeps no header 'x-api-key'" in result.stderr
    assert "1 requests would be answered 401" in result.stdout


def test_a_log_of_a_single_instant_and_nobody_refused_can_be_drawn(ratekit, line, policies, tmp_path):
    for count in (1, 40):
        picture = tmp_path / f"{count}.png"
        text = '[[policies]]\nname = "$x$ {"\nlimits = "30/minute"\n'
        result = ratekit("simulate", policies(text), "-", "--plot", picture, stdin=(line("10:00:00") * count).encode())
        assert result.exit_code == 0, result.stderr
        assert picture.exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no policies"),
        ("policies = 3", "no policies"),
        ("[[policies]", "no TOML"),
        ('[policy]\nname = "a"', "'policy' is not understood"),
        ('[[policies]]\nname = "a"', "policy 1: limits is missing"),
        ('[[policies]]\nname = "a"\nlimits = "5/month"', "a month has no fixed length"),
        ('[[policies]]\nname = "a"\nlimit = "5/minute"', "'limit' is no argument of Policy"),
        ('[[policies]]\nname = "a"\nlimits = "5/minute"\n' * 2, "two policies are named 'a'"),
        ('[[policies]]\nname = "a"\nlimits = "5/minute"\nmatch = "login"', "policy 1: match 'login'"),
        ('[[policies]]\nname = "a"\nlimits = 5', "limits 5"),
        ('[[policies]]\nname = "a"\nlimits = "5/minute"\ncost = 1.5', "cost 1.5"),
    ],
)
def test_a_file_of_policies_is_read_strictly(ratekit, line, policies, text, says):
    result = ratekit("simulate", policies(text), "-", stdin=line("10:00:00").encode())
    assert result.exit_code == 2
    assert says in result.stderr
    assert "policies.toml: " in result.stderr


def test_a_file_that_is_not_there_is_an_error_in_one_line(ratekit, tmp_path):
    result = ratekit("simulate", tmp_path / "none.toml", "-")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
