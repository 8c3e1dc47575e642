"""
Who is asking. Safe by default: the socket's peer, unless proxies are named; then the right-most address that is not one of
them, read from exactly one named header and never from two merged.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

from ratekit.errors import ConfigurationError
from ratekit.request import Request

Key = str | Callable[[Request], Any] | Sequence[str | Callable[[Request], Any]]
"""Who is asking: "ip", "header:NAME", a callable on the Request (sync or async), or a list of them, all together."""

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PORT: Final = re.compile(r"\[(?P<six>[^\]]+)\](?::\d{1,5})?|(?P<four>\d+\.\d+\.\d+\.\d+):\d{1,5}")
_PAIR: Final = re.compile(r'[ \t]*(?:([^\s",;=]+)=(?:([^\s",;]+)|"((?:[^"\\]|\\.)*)"))?[ \t]*(,|;|\Z)', re.DOTALL)


@lru_cache(maxsize=8192)
def network_of(address: str) -> str:
    """
    The identity of an address: IPv4 as it is, also when mapped into IPv6; IPv6 by its /64; anything else as it stands.

    >>> network_of("::ffff:192.0.2.1"), network_of("2001:db8:1:2:3:4:5:6"), network_of("testclient")
    ('192.0.2.1', '2001:db8:1:2::/64', 'testclient')
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(IPv6Network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)


def hop_of(text: str) -> str | None:
    """The address in one hop of a forwarding header, its port and quotes left out; None for what is no address."""
    text = text.strip().strip('"').strip()
    port = _PORT.fullmatch(text)
    if port is not None:
        text = port["six"] or port["four"]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


class Proxies:
    """
    Which peers are believed about whom they speak for.

    `trusted` are networks such as "10.0.0.0/8", or "unix" for a proxy on a Unix socket; `header` is the one header they write.
    """

    def __init__(self, trusted: Sequence[str] = (), header: str = "x-forwarded-for") -> None:
        if isinstance(trusted, str):
            raise ConfigurationError(f"trusted_proxies {trusted!r}: write a list, such as ['10.0.0.0/8']")
        if not isinstance(header, str) or not _TOKEN.fullmatch(header):
            raise ConfigurationError(f"forwarded_header {header!r}: write one header's name, such as 'x-forwarded-for'")
        self._unix = "unix" in trusted
        self._networks = tuple(_network(text) for text in trusted if text != "unix")
        self._header = header.lower()
        self._trusts = lru_cache(maxsize=4096)(self._trusted)

    @property
    def named(self) -> bool:
        """Whether there are any."""
        return self._unix or bool(self._networks)

    def client(self, request: Request, peer: str | None) -> str | None:
        """The client's address; None where there is no peer and no proxy that would say."""
        if not self._believed(peer):
            return peer
        client = peer
        for text in self._hops(request):
            hop = hop_of(text)
            if hop is None:  # whoever wrote this, it was not a proxy of ours about its peer: stop at the last one known
                return client
            client = hop
            if not self._trusts(hop):
                return client
        return client

    def _believed(self, peer: str | None) -> bool:
        if not peer:
            return self._unix
        return bool(self._networks) and self._trusts(peer)

    def _trusted(self, address: str) -> bool:
        try:
            parsed = ip_address(hop_of(address) or address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)

    def _hops(self, request: Request) -> list[str]:
        """What the proxies wrote, the last one first."""
        lines = request.lines(self._header)
        if self._header == "forwarded":
            hops = [hop for line in lines for hop in _forwarded(line)]
        else:
            hops = ",".join(lines).split(",") if lines else []
        return hops[::-1]


def _forwarded(line: str) -> list[str]:
    """
    The `for` of each element in a Forwarded line (RFC 7239), "" where it has none.

    A line that breaks the grammar says nothing at all: an open quote on the left, which anybody can send, would swallow what the
    proxy wrote on the right.
    """
    hops, at, separator = [""], 0, ";"
    while separator:
        pair = _PAIR.match(line, at)
        if pair is None:
            return [""]
        name, token, quoted, separator = pair.groups()
        if name and name.lower() == "for":
            if hops[-1]:
                return [""]
            hops[-1] = token or re.sub(r"\\(.)", r"\1", quoted)
        if separator == ",":
            hops.append("")
        at = pair.end()
    return hops


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(text, strict=False)
    except (ValueError, TypeError):
        raise ConfigurationError(f"trusted proxy {text!r}: write a network such as '10.0.0.0/8', an address, or 'unix'") from None
    if network.prefixlen == 0:
        raise ConfigurationError(
            f"trusted proxy {text!r} is everybody, who could then claim any address: name your proxies' network"
        )
    return network


def parts_of(key: Key) -> list[Callable[[Request], Any]]:
    """
    A key as functions on the request, each giving one part of the identity: "" or None where it is absent.
    """
    if isinstance(key, str):
        return [_part(key)]
    if callable(key):
        return [key]
    if isinstance(key, Sequence) and key:
        return [part for some in key for part in parts_of(some)]
    raise ConfigurationError(f"key {key!r}: write 'ip', 'header:NAME', a callable on the request, or a list of them")


def _part(key: str) -> Callable[[Request], Any]:
    if key == "ip":
        return address
    kind, _, name = key.partition(":")
    if kind == "header" and _TOKEN.fullmatch(name):
        return lambda request: request.headers.get(name.lower())
    raise ConfigurationError(
        f"key {key!r}: write 'ip', 'header:NAME' with a header's name, a callable on the request, or a list of them"
    )


def address(request: Request) -> str:
    """The client's address as an identity; raises ConfigurationError where a request has none."""
    client = request.client
    if not client:
        raise ConfigurationError(
            "a request came without a client address (a Unix socket, a proxy): name the proxies with trusted_proxies=[...] "
            "('unix' for a Unix socket) and their forwarded_header, or give the policy another key and missing='skip'"
        )
    return network_of(client)
