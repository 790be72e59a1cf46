"""Targets of deliveries: which URLs may be called, at which addresses; looked at when they are set and when they are called.

A name may lead to another address at any time, inside the house too (DNS rebinding). So it is resolved by whoever calls, once:
the address that was looked at is the one that is called.
"""

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import httpx

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
HOST = re.compile(r"([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?")
MAIL = re.compile(r"mailto:[A-Za-z0-9.!#$&'*+/=^_`{|}~-]{1,64}@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?){1,30}")
HERE = ("127.0.0.1", "localhost")
"""The hosts that are this machine."""
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
INSIDE = "is private, link-local or otherwise not on the Internet: allow its network in webhook_networks in workspace.toml"


class UnusableURL(ValueError):
    """A URL to which no webhook may go."""


@dataclass(frozen=True)
class Target:
    """A URL as the client that calls it understands it."""

    url: httpx.URL

    @property
    def host(self) -> str:
        """The name or address of the host."""
        return self.url.raw_host.decode("ascii")

    @property
    def port(self) -> int:
        """The port that is called."""
        return self.url.port or (443 if self.url.scheme == "https" else 80)


def require_callable(url: str, networks: Sequence[Network] = ()) -> Target:
    """Checks that webhooks may go to ``url``, which must use HTTPS or lead to this machine.

    Args:
        url: the URL.
        networks: networks inside that may be called.

    Raises:
        UnusableURL: it is mistyped, or leads elsewhere. The message does not repeat it, because it may hold a password.
    """
    if any(character.isspace() or not character.isprintable() for character in url):
        raise UnusableURL("the URL contains spaces or control characters: remove them")
    try:
        target = Target(httpx.URL(url))
        host, userinfo, port = target.host, target.url.userinfo, target.url.port
    except (httpx.InvalidURL, ValueError):
        raise UnusableURL("the URL cannot be read: write it as https://host/path") from None
    if userinfo:
        raise UnusableURL("the URL contains a name or a password before the host: leave them out, deliveries are signed")
    address = _address(host)
    if address is None and not (len(host) <= 253 and HOST.fullmatch(host)):
        raise UnusableURL("the URL names no valid host: write it as https://host/path")
    if not url.isascii():
        raise UnusableURL("the URL has characters beyond ASCII: write the host in its xn-- form, and the path percent-encoded")
    if port is not None and not 1 <= port <= 65535:
        raise UnusableURL("the URL's port is not between 1 and 65535")
    if target.url.scheme != "https" and not (target.url.scheme == "http" and host in HERE):
        raise UnusableURL("the URL must begin with https://, or lead to this machine: http://127.0.0.1 or http://localhost")
    if address is not None and not is_allowed(address, host, networks):
        raise UnusableURL(f"the URL's address {INSIDE}")
    return target


def require_mail(url: str) -> None:
    """Checks that ``url`` is ``mailto:`` and one e-mail address.

    Raises:
        UnusableURL: it is not.
    """
    if not MAIL.fullmatch(url):
        raise UnusableURL("the URL is no e-mail address: write it as mailto:name@example.org")


def is_allowed(address: Address, host: str, networks: Sequence[Network]) -> bool:
    """Whether ``address``, to which ``host`` leads, may be called: on the Internet, or inside where that is allowed."""
    if any(address.version == network.version and address in network for network in networks):
        return True
    if address.is_loopback:
        return host in HERE
    inner = _inner(address)
    return (address.is_global and not address.is_multicast) if inner is None else is_allowed(inner, "", networks)


def _inner(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address to which an IPv6 address leads."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


async def call(target: Target, body: bytes, headers: dict[str, str], networks: Sequence[Network]) -> int:
    """Calls a target at an address that was looked at, and returns the status of the answer; no more of it is read.

    Raises:
        UnusableURL: it leads to no address that may be called.
        OSError: the host is not known.
        httpx.HTTPError: it cannot be reached.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    allowed = [text for text in dict.fromkeys(addresses) if is_allowed(ipaddress.ip_address(text), target.host, networks)]
    if not allowed:
        raise UnusableURL(f"the address to which the URL's host leads {INSIDE}")
    async with httpx.AsyncClient(timeout=None, follow_redirects=False, verify=_trusted(), trust_env=False) as client:
        for number, text in enumerate(allowed, 1):
            try:  # the certificate must be that of the host, whatever its address
                async with client.stream(
                    "POST",
                    target.url.copy_with(host=text),
                    content=body,
                    headers={"Host": target.url.netloc.decode("ascii"), **headers},
                    extensions={"sni_hostname": target.host},
                ) as answer:
                    return answer.status_code
            except httpx.ConnectError:
                if number == len(allowed):
                    raise
    raise AssertionError  # pragma: no cover


@cache
def _trusted() -> ssl.SSLContext:
    """The authorities that are trusted; proxies of the environment are not used, since they would look up names again."""
    return httpx.create_ssl_context()
