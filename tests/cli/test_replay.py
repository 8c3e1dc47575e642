"""
`ratekit replay`: what it counts is what a recount by other means counts, and no line of a log can stop it.
"""

import gzip
import json
from datetime import datetime

import pytest

LIMITS = ("--limit", "30/minute", "--limit", "60/hour")


def answer(result):
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def recount(path, limits):
    """The same question, answered the slow way: every admitted request of a client against every earlier one."""
    requests = []
    for text in path.read_text(encoding="utf-8").splitlines():
        stamp = text.split("[", 1)[1].split("]", 1)[0]
        requests.append((datetime.strptime(stamp, "%d/%b/%Y:%H:%M:%S %z").timestamp(), text.split(" ", 1)[0]))
    requests.sort(key=lambda request: request[0])
    admitted, asked, refused = {}, {}, {}
    for time, client in requests:
        asked.setdefault(client, []).append(time)
        own = admitted.setdefault(client, [])
        if all(sum(earlier > time - period for earlier in own) < quota for quota, period in limits):
            own.append(time)
        else:
            refused[client] = refused.get(client, 0) + 1
    return admitted, asked, refused


def worst(histories, period):
    return max(sum(start <= time < start + period for time in times) for times in histories.values() for start in times)


def test_counts_of_the_real_log_are_those_of_a_brute_force_recount(ratekit, real_log):
    facts = answer(ratekit("replay", real_log, *LIMITS, "--top", 2000, "--json"))
    admitted, asked, refused = recount(real_log, [(30, 60), (60, 3600)])
    assert facts["requests"] == 10_000
    assert facts["clients"] == len(asked) == 1_753
    assert facts["admitted"] == sum(map(len, admitted.values()))
    assert facts["refused"] == sum(refused.values()) > 0
    assert facts["clients_refused"] == len(refused)
    assert {one["client"]: one["refused"] for one in facts["most_refused"]} == refused
    busy = {client: times for client, times in admitted.items() if times}
    for one, period in zip(facts["limits"], (60, 3600), strict=True):
        assert one["worst_admitted_in_any_window"] == worst(busy, period) <= one["quota"]
        assert one["worst_asked_in_any_window"] == worst(asked, period)


@pytest.mark.parametrize("algorithm", ["fixed_window", "sliding_counter", "token_bucket", "buckets 4"])
def test_no_algorithm_admits_more_of_the_real_log_than_it_promises(ratekit, real_log, algorithm):
    (one,) = answer(ratekit("replay", real_log, "--limit", f"20/minute {algorithm}", "--json"))["limits"]
    assert one["worst_admitted_in_any_window"] <= one["promised_in_any_window"]
    assert one["refusals"] > 0


def test_the_summary_names_every_number_that_people_ask_for(ratekit, real_log):
    result = ratekit("replay", real_log, *LIMITS)
    assert result.exit_code == 0
    facts = answer(ratekit("replay", real_log, *LIMITS, "--json"))
    for number in (facts["requests"], facts["clients"], facts["admitted"], facts["refused"], facts["clients_refused"]):
        assert f"{number:,}" in result.stdout
    assert facts["most_refused"][0]["client"] in result.stdout
    assert "30/minute" in result.stdout
    assert "60/hour" in result.stdout
    assert result.stderr == ""


def test_the_picture_is_a_png_under_300_kilobytes(ratekit, real_log, tmp_path):
    picture = tmp_path / "out.png"
    result = ratekit("replay", real_log, *LIMITS, "--plot", picture)
    assert f"picture: {picture}" in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 300_000


@pytest.mark.parametrize("lines", [1, 40])
def test_a_picture_of_a_single_instant_can_be_drawn(ratekit, line, tmp_path, lines):
    picture = tmp_path / "out.png"
    log = (line("10:00:00", user="$x$ \\frac{") * lines).encode()
    assert ratekit("replay", "-", "--limit", "30/minute", "--key", "user", "--plot", picture, stdin=log).exit_code == 0
    assert picture.exists()


def test_a_picture_that_cannot_be_written_is_an_error_in_one_line(ratekit, line, tmp_path):
    result = ratekit("replay", "-", "--limit", "1/minute", "--plot", tmp_path / "no" / "out.png", stdin=line("10:00:00").encode())
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
    assert result.stderr.count("\n") == 1


def test_gzip_is_known_by_its_first_bytes_and_not_by_its_name(ratekit, line, tmp_path):
    log = tmp_path / "access.log"
    log.write_bytes(gzip.compress((line("10:00:00") * 3).encode()))
    assert answer(ratekit("replay", log, "--limit", "2/minute", "--json"))["refused"] == 1


def test_a_gzip_file_that_ends_too_early_is_an_error_in_one_line(ratekit, line, tmp_path):
    log = tmp_path / "access.log.gz"
    log.write_bytes(gzip.compress((line("10:00:00") * 3).encode())[:-12])
    result = ratekit("replay", log, "--limit", "2/minute")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_standard_input_is_read_where_the_log_is_a_dash(ratekit, line, pack):
    facts = answer(ratekit("replay", "-", "--limit", "2/minute", "--json", stdin=pack((line("10:00:00") * 3).encode())))
    assert (facts["admitted"], facts["refused"]) == (2, 1)


def test_common_and_combined_lines_both_count(ratekit, line):
    log = line("10:00:00") + line("10:00:01", tail=' "http://example.com/" "Mozilla/5.0 (X11) \\"quoted\\""')
    assert answer(ratekit("replay", "-", "--limit", "9/minute", "--json", stdin=log.encode()))["requests"] == 2


def test_malformed_lines_are_counted_and_shown_and_stop_nothing(ratekit, line):
    broken = ["what is this\n", line("10:00:00").replace("May", "Mai"), line("25:00:00"), line("10:00:61"), "\x1b[2J\n"]
    log = (line("10:00:00") + "\n" + "".join(broken) + line("10:00:01")).encode() + b"\xff\xfe\x00\n"
    result = ratekit("replay", "-", "--limit", "9/minute", stdin=log)
    assert result.exit_code == 0
    assert "6 lines are not of an access log" in result.stderr
    assert "line 3: what is this" in result.stderr
    assert "and 3 more" in result.stderr
    assert answer(ratekit("replay", "-", "--limit", "9/minute", "--json", stdin=log))["malformed_lines"] == 6


def test_a_terminal_is_never_sent_what_a_log_hides_in_it(ratekit, line):
    log = ("\x1b[2Jevil\n" + line("10:00:00", request="GET /\x1b[31mred HTTP/1.1") * 2).encode()
    result = ratekit("replay", "-", "--limit", "1/minute", "--key", "path", stdin=log)
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout + result.stderr
    assert "\\x1b[31mred" in result.stdout


@pytest.mark.parametrize("log", [b"", b"\n\n", b"hello\n", b'{"json": true}\n' * 5])
def test_a_log_in_which_no_line_parses_is_an_error_that_shows_a_line_that_would(ratekit, log):
    result = ratekit("replay", "-", "--limit", "9/minute", stdin=log)
    assert result.exit_code == 2
    assert '[17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 512' in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_is_not_there_is_an_error_in_one_line(ratekit, tmp_path):
    result = ratekit("replay", tmp_path / "none.log", "--limit", "9/minute")
    assert result.exit_code == 2
    assert "no such file" in result.stderr


def test_lines_out_of_order_are_put_in_order_of_time(ratekit, line):
    # Read as it stands the log would send the clock back, and the last line would find a window that is still full.
    log = line("10:02:00") + line("10:00:00") + line("10:01:00") + line("10:00:59")
    facts = answer(ratekit("replay", "-", "--limit", "1/minute", "--json", stdin=log.encode()))
    assert (facts["admitted"], facts["refused"], facts["late_lines"]) == (3, 1, 3)
    assert (facts["from"], facts["to"]) == ("2015-05-17T10:00:00Z", "2015-05-17T10:02:00Z")


def test_requests_of_one_second_stay_in_the_order_of_the_log(ratekit, line):
    log = line("10:00:01", user="c") + line("10:00:00", user="a") + line("10:00:00", user="b")
    facts = answer(ratekit("replay", "-", "--limit", "1/minute", "--key", "method", "--json", stdin=log.encode()))
    assert (facts["admitted"], facts["refused"]) == (1, 2)


def test_time_zones_are_honoured(ratekit, line):
    # One instant in three zones: the third is over the limit. The same wall clock in three zones: three instants.
    same = line("12:00:00", zone="+0200") + line("10:00:00") + line("04:30:00", zone="-0530")
    apart = line("12:00:00", zone="+0200") + line("12:00:00") + line("12:00:00", zone="-0530")
    assert answer(ratekit("replay", "-", "--limit", "2/minute", "--json", stdin=same.encode()))["refused"] == 1
    assert answer(ratekit("replay", "-", "--limit", "1/hour", "--json", stdin=apart.encode()))["refused"] == 0


@pytest.mark.parametrize(
    ("key", "clients"),
    [("ip", 2), ("user", 3), ("path", 2), ("method", 2)],
)
def test_who_is_asking_is_the_field_that_is_named(ratekit, line, key, clients):
    log = (
        line("10:00:00", user="ann", request="GET /a?x=1 HTTP/1.1")
        + line("10:00:00", user="bob b", request="POST /a?x=2 HTTP/1.1")
        + line("10:00:00", host="192.0.2.8", request="GET /b HTTP/1.1")
    )
    assert answer(ratekit("replay", "-", "--limit", "9/minute", "--key", key, "--json", stdin=log.encode()))["clients"] == clients


def test_an_ipv6_client_is_its_network_as_it_is_for_the_middleware(ratekit, line):
    log = line("10:00:00", host="2001:db8::1") + line("10:00:00", host="2001:db8::2") + line("10:00:00", host="2001:db8:1::1")
    assert answer(ratekit("replay", "-", "--limit", "9/minute", "--json", stdin=log.encode()))["clients"] == 2


def test_a_field_that_does_not_exist_is_an_error_that_lists_those_that_do(ratekit, line):
    result = ratekit("replay", "-", "--limit", "9/minute", "--key", "agent", stdin=line("10:00:00").encode())
    assert result.exit_code == 2
    assert "ip, user, path, method" in result.stderr


@pytest.mark.parametrize("limits", [["5/month"], ["5/minute", "6/minute"]])
def test_limits_that_cannot_be_are_said_before_the_log_is_read(ratekit, limits):
    result = ratekit("replay", "no-such-file", *(word for limit in limits for word in ("--limit", limit)))
    assert result.exit_code == 2
    assert "5/m" in result.stderr
    assert "no-such-file" not in result.stderr


def test_a_replay_with_all_limiting_switched_off_would_say_nothing_and_is_refused(ratekit, line):
    result = ratekit("replay", "-", "--limit", "1/minute", stdin=line("10:00:00").encode(), env={"RATEKIT_ENABLED": "0"})
    assert result.exit_code == 2
    assert "RATEKIT_ENABLED" in result.stderr
