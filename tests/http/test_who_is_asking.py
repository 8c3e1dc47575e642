"""
Who is asking: the peer, unless it is a named proxy; then the right-most address that is not one, from one header.
"""

import pytest
from calling import ask, hello, scope_of
from hypothesis import example, given
from hypothesis import strategies as st
from running import raw, serving

from ratekit import ConfigurationError, Policy
from ratekit.asgi import RateLimitMiddleware
from ratekit.keys import Proxies, hop_of, network_of, parts_of
from ratekit.request import Request
from ratekit.stores import AsyncMemoryStore

PROXY = "10.0.0.1"
TRUSTED = ["10.0.0.0/8", "192.168.7.7", "fd00::/8"]


def client(*lines, header="x-forwarded-for", peer=PROXY, trusted=TRUSTED, also=()):
    """Whom a request with these header lines comes from."""
    fields = [(header.encode(), line.encode("latin-1")) for line in lines] + list(also)
    request = Request(method="GET", path="/", fields=fields, query=b"", client=lambda _: None, native=None)
    return Proxies(trusted, header).client(request, peer)


def forwarded(*lines, **options):
    return client(*lines, header="forwarded", **options)


def test_by_default_the_peer_is_the_client_whatever_the_headers_say():
    for header in ("x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip"):
        assert client("6.6.6.6", trusted=[], also=[(header.encode(), b"6.6.6.6")]) == PROXY


def test_a_forged_header_does_not_count_unless_the_peer_is_a_named_proxy():
    assert client("6.6.6.6", peer="203.0.113.5") == "203.0.113.5"
    assert client("6.6.6.6", peer="11.0.0.1") == "11.0.0.1"
    assert client("6.6.6.6", peer="fe80::1") == "fe80::1"
    assert client("6.6.6.6", peer="testclient") == "testclient"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 10.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9, 10.2.2.2", "203.0.113.9"),
        ("203.0.113.9, 10.2.2.2, 192.168.7.7, 10.3.3.3", "203.0.113.9"),
        ("203.0.113.9,10.2.2.2", "203.0.113.9"),
        ("  203.0.113.9\t,\t10.2.2.2  ", "203.0.113.9"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ('"203.0.113.9"', "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, ::ffff:10.2.2.2", "203.0.113.9"),
        ("203.0.113.9, fd00::5", "203.0.113.9"),
        ("203.0.113.9, [fd00::5]:80", "203.0.113.9"),
        ("10.2.2.2, 10.3.3.3", "10.2.2.2"),
    ],
)
def test_of_a_chain_the_right_most_address_that_is_no_proxy_is_the_client(line, expected):
    assert client(line) == expected


@pytest.mark.parametrize(
    "hop", ["unknown", "_hidden", "", " ", "203.0.113", "203.0.113.256", "0x7f.1", "127.1", "1.2.3.4.5", "203.0.113.9/32", "[::1", "::1]",
            "evil.example", "203.0.113.9:", "203.0.113.9:123456", "203.0.113.9;203.0.113.8", "٢٠٣.0.113.9".encode().decode("latin-1"),
            "\x00", "2001:db8::1::2", "[203.0.113.9", "-1", "999999999999"],
)  # fmt: skip
def test_a_hop_that_is_no_address_stops_at_the_last_one_known(hop):
    assert client(f"6.6.6.6, {hop}, 10.2.2.2") == "10.2.2.2"
    assert client(f"6.6.6.6, {hop}") == PROXY
    assert client(hop) == PROXY
    assert client(f"{hop}, 203.0.113.9") == "203.0.113.9"


def test_several_lines_of_the_header_are_one_list_in_order():
    assert client("6.6.6.6", "203.0.113.9") == "203.0.113.9"
    assert client("6.6.6.6, 203.0.113.9", "10.2.2.2, 10.3.3.3") == "203.0.113.9"
    assert client("203.0.113.9", "") == PROXY


def test_one_named_header_is_never_merged_with_another():
    forged = [(b"x-forwarded-for", b"6.6.6.6"), (b"forwarded", b"for=6.6.6.6"), (b"x-real-ip", b"6.6.6.6")]
    assert client(trusted=TRUSTED, header="cf-connecting-ip", also=forged) == PROXY
    assert client("203.0.113.9", header="x-real-ip", also=[*forged[:2], (b"X-FORWARDED-FOR", b"7.7.7.7")]) == "203.0.113.9"
    assert client("for=203.0.113.9", header="forwarded", also=[forged[0]]) == "203.0.113.9"


def test_the_headers_name_is_known_in_any_case():
    assert client("203.0.113.9", header="X-Forwarded-For") == "203.0.113.9"
    assert client(also=[(b"X-ForWarded-FOR", b"203.0.113.9")]) == "203.0.113.9"


def test_a_named_proxy_that_says_nothing_is_the_client_itself():
    assert client() == PROXY
    assert forwarded() == PROXY


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("for=203.0.113.9", "203.0.113.9"),
        ("For=203.0.113.9;proto=https;by=10.0.0.1", "203.0.113.9"),
        ("proto=https;FOR=203.0.113.9", "203.0.113.9"),
        ('for="203.0.113.9:4711"', "203.0.113.9"),
        ("for=203.0.113.9:4711", "203.0.113.9"),
        ('for="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        ('for="[2001:db8:cafe::17]"', "2001:db8:cafe::17"),
        ('for="2001:db8:cafe::17"', "2001:db8:cafe::17"),
        (r'for="\[2001:db8::\1\]"', "2001:db8::1"),
        ("for=6.6.6.6, for=203.0.113.9", "203.0.113.9"),
        ('for=6.6.6.6, for="203.0.113.9" , for=10.2.2.2;by=10.9.9.9', "203.0.113.9"),
        ('host="a,b;for=6.6.6.6";for=203.0.113.9', "203.0.113.9"),
        ('for=203.0.113.9;host="a,b;for=6.6.6.6"', "203.0.113.9"),
        (r'host="a\",for=6.6.6.6";for=203.0.113.9', "203.0.113.9"),
        ("for=203.0.113.9;", "203.0.113.9"),
    ],
)
def test_forwarded_is_read_as_rfc_7239_says(line, expected):
    assert forwarded(line) == expected


@pytest.mark.parametrize(
    "last", ["for=unknown", "for=_hidden", 'for="_hidden"', "for=_SEVKISEK:80", "proto=https", "by=203.0.113.9", ""]
)
def test_an_obfuscated_or_missing_for_stops_at_the_last_one_known(last):
    assert forwarded(f"for=6.6.6.6, {last}") == PROXY
    assert forwarded(f"for=6.6.6.6, {last}, for=10.2.2.2") == "10.2.2.2"


@pytest.mark.parametrize(
    "line",
    [
        'for=6.6.6.6;x=", for="[2001:db8::9]"',
        'for=6.6.6.6;x=", for=203.0.113.9;host="example.com"',
        'for="6.6.6.6", x=", for=203.0.113.9;host="example.com"',
        'for=6.6.6.6, ", for=203.0.113.9',
        r'for=6.6.6.6;x="\", for="[2001:db8::9]"',
        "for=203.0.113.9;for=6.6.6.6",
        "for = 6.6.6.6",
        'for=6.6.6.6"x"',
        'for="6.6.6.6"x',
        "for=a b",
        "=6.6.6.6",
    ],
)
def test_a_forwarded_line_that_breaks_the_grammar_says_nothing(line):
    assert forwarded(line) == PROXY


# What a client can write into a header before its proxy appends to it.
PREFIX = st.text(st.sampled_from('for=6.12,;"\\ \t[]:x_h') | st.characters(min_codepoint=32, max_codepoint=255), max_size=60)


@given(PREFIX, st.sampled_from(["203.0.113.9", "203.0.113.9:80", "[2001:db8::9]:80"]))
@example("6.6.6.6,", "203.0.113.9")
def test_nothing_that_a_client_writes_changes_what_its_proxy_appends_to_x_forwarded_for(prefix, appended):
    assert client(f"{prefix}, {appended}") == hop_of(appended)
    assert client(prefix, appended) == hop_of(appended)


@given(
    PREFIX,
    st.sampled_from(["for=203.0.113.9", 'for="[2001:db8::9]"', 'for=203.0.113.9;host="h.example"', 'host="";for=203.0.113.9']),
)
@example('for=6.6.6.6;x="', 'for="[2001:db8::9]"')
def test_nothing_that_a_client_writes_gives_it_an_address_that_its_proxy_did_not_append_to_forwarded(prefix, appended):
    truth = forwarded(appended)
    assert truth in ("203.0.113.9", "2001:db8::9")
    assert forwarded(f"{prefix}, {appended}") in (truth, PROXY)
    assert forwarded(prefix, appended) == truth


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=60)), max_size=5), st.binary(max_size=40))
def test_no_header_bytes_whatever_raise(others, value):
    for header in ("x-forwarded-for", "forwarded"):
        for peer in (PROXY, "203.0.113.5", "testclient", "", None):
            fields = [*others, (header.encode(), value)]
            request = Request(method="GET", path="/", fields=fields, query=value, client=lambda _: None, native=None)
            found = Proxies([*TRUSTED, "unix"], header).client(request, peer)
            assert found is None or isinstance(network_of(found), str)
            assert request.headers is not None
            assert request.query is not None


@pytest.mark.parametrize(
    ("address", "identity"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("2001:DB8:1:2::A", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:cb00:7109", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::/64"),
        ("fe80::1%a/b", "fe80::/64"),
        ("::1", "::/64"),
        ("testclient", "testclient"),
        ("unix:/tmp/x", "unix:/tmp/x"),
    ],
)
def test_an_ipv6_address_counts_by_its_64_and_a_mapped_one_as_ipv4(address, identity):
    assert network_of(address) == identity


def test_addresses_of_one_64_share_a_limit_and_two_64s_do_not():
    app = RateLimitMiddleware(hello, "1/minute", store=AsyncMemoryStore())
    assert ask(app, client=("2001:db8:1:2::1", 1)).status == 200
    assert ask(app, client=("2001:db8:1:2:aaaa::2", 1)).status == 429
    assert ask(app, client=("2001:db8:1:3::1", 1)).status == 200


def test_a_mapped_address_and_its_ipv4_form_share_a_limit():
    app = RateLimitMiddleware(hello, "1/minute", store=AsyncMemoryStore())
    assert ask(app, client=("::ffff:192.0.2.9", 1)).status == 200
    assert ask(app, client=("192.0.2.9", 1)).status == 429


def test_a_peer_that_is_no_address_is_an_identity_as_it_stands():
    app = RateLimitMiddleware(hello, "1/minute", store=AsyncMemoryStore())
    assert ask(app, client=("testclient", 1)).status == 200
    assert ask(app, client=("testclient", 1)).status == 429
    assert ask(app, client=("another", 1)).status == 200


def test_a_unix_socket_peer_is_a_proxy_only_when_unix_is_named():
    assert client("203.0.113.9", peer=None, trusted=["unix"]) == "203.0.113.9"
    assert client("203.0.113.9", peer="", trusted=["unix"]) == "203.0.113.9"
    assert client("6.6.6.6, 10.2.2.2", peer=None, trusted=["unix"]) == "10.2.2.2"
    assert client("203.0.113.9, 10.2.2.2", peer=None, trusted=["unix", "10.0.0.0/8"]) == "203.0.113.9"
    assert client("203.0.113.9", peer=None) is None
    assert client("203.0.113.9", peer="unix", trusted=["unix"]) == "unix"
    assert client("garbage", peer=None, trusted=["unix"]) is None


def test_behind_a_real_unix_socket_clients_are_told_apart_by_their_proxys_header(tmp_path):
    path = str(tmp_path / "app.sock")
    app = RateLimitMiddleware(hello, "1/minute", store=AsyncMemoryStore(), trusted_proxies=["unix"])
    with serving(app, uds=path):
        assert raw(path, "GET / HTTP/1.1", "X-Forwarded-For: 203.0.113.9")[0] == 200
        assert raw(path, "GET / HTTP/1.1", "X-Forwarded-For: 6.6.6.6, 203.0.113.9")[0] == 429
        assert raw(path, "GET / HTTP/1.1", "X-Forwarded-For: 203.0.113.10")[0] == 200
        assert raw(path, "GET / HTTP/1.1")[0] == 500


def test_over_a_real_socket_a_forged_header_gains_nothing():
    app = RateLimitMiddleware(hello, "2/minute", store=AsyncMemoryStore())
    with serving(app) as port:
        answers = [raw(port, "GET / HTTP/1.1", f"X-Forwarded-For: 6.6.6.{i}", f"Forwarded: for=6.6.6.{i}")[0] for i in range(4)]
    assert answers == [200, 200, 429, 429]


def test_over_a_real_socket_a_named_proxys_clients_are_each_on_their_own():
    app = RateLimitMiddleware(hello, "1/minute", store=AsyncMemoryStore(), trusted_proxies=["127.0.0.1"])
    with serving(app) as port:
        answers = [raw(port, "GET / HTTP/1.1", f"X-Forwarded-For: 6.6.6.{i}, 203.0.113.{i % 2}")[0] for i in range(4)]
        stranger = raw(port, "GET / HTTP/1.1", "X-Forwarded-For: 203.0.113.77", source="127.0.0.2")[0]
        strangers_second = raw(port, "GET / HTTP/1.1", "X-Forwarded-For: 203.0.113.78", source="127.0.0.2")[0]
    assert answers == [200, 200, 429, 429]
    assert (stranger, strangers_second) == (200, 429)


@pytest.mark.parametrize("everybody", ["0.0.0.0/0", "::/0", "1.2.3.4/0"])
def test_to_trust_everybody_is_a_configuration_error(everybody):
    with pytest.raises(ConfigurationError, match="is everybody, who could then claim any address"):
        Proxies([everybody])
    with pytest.raises(ConfigurationError, match="name your proxies' network"):
        RateLimitMiddleware(hello, "1/minute", trusted_proxies=["10.0.0.0/8", everybody])


@pytest.mark.parametrize("wrong", ["*", "", "proxy.example", "10.0.0.0/33", "10.0.0", "10.0.0.0/8/8", None])
def test_a_proxy_that_is_no_network_is_a_configuration_error(wrong):
    with pytest.raises(ConfigurationError, match=r"write a network such as '10.0.0.0/8', an address, or 'unix'"):
        Proxies([wrong])


def test_a_text_for_a_list_of_proxies_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match=r"write a list, such as \['10.0.0.0/8'\]"):
        Proxies("10.0.0.0/8")


@pytest.mark.parametrize(
    "wrong", ["", "x forwarded for", "x-forwarded-for:", "x-forwarded-for, forwarded", ["x-forwarded-for"], None]
)
def test_a_forwarded_header_that_is_no_one_name_is_a_configuration_error(wrong):
    with pytest.raises(ConfigurationError, match="write one header's name"):
        Proxies(["10.0.0.0/8"], wrong)


@pytest.mark.parametrize(
    "wrong", ["user", "IP", "", "header", "header:", "header:x y", "header:x:y", "headers:x", [], None, 5, ["ip", None], b"ip"]
)
def test_a_key_that_is_none_is_a_configuration_error_that_lists_the_kinds(wrong):
    with pytest.raises(ConfigurationError, match="write 'ip', 'header:NAME'"):
        parts_of(wrong)
    with pytest.raises(ConfigurationError, match="write 'ip', 'header:NAME'"):
        Policy("p", "1/minute", key=wrong)


def test_a_request_shows_the_same_in_one_way():
    seen = []

    def key(request):
        seen.append(request)
        return "one"

    app = RateLimitMiddleware(hello, policies=[Policy("p", "9/minute", key=key)], store=AsyncMemoryStore())
    ask(app, "POST /a", headers=[("x-one", "1"), ("X-One", "2")], query=b"q=1&q=2&e=&u=%C3%A9")
    (request,) = seen
    assert (request.method, request.path, request.client) == ("POST", "/a", "192.0.2.1")
    assert dict(request.headers) == {"x-one": "1"}
    assert dict(request.query) == {"q": "2", "e": "", "u": "é"}
    assert request.native["type"] == scope_of()["type"]
    with pytest.raises(TypeError):
        request.headers["x-one"] = "3"
