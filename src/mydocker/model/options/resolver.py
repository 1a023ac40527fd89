"""--dns, --dns-search, --dns-option and --add-host, by docker's rules."""

from __future__ import annotations

from mydocker.errors import InvalidArgument
from mydocker.model.options.addresses import parse, show
from mydocker.model.options.names import DIGITS, LETTERS

HOST_GATEWAY = "host-gateway"  # stands for the host's address, as seen from the container
_NAME = frozenset(LETTERS + DIGITS + "_-")


def address(text: str) -> str:
    """Return an IPv4 or IPv6 address, which may be in brackets, in its canonical form; "" for any other text."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") and ":" in text else text
    try:
        return show(*parse(bare))
    except InvalidArgument:
        return ""


def server(text: str) -> str:
    """Parse --dns: the address of a resolver."""
    canonical = address(text)
    if not canonical:
        raise InvalidArgument(f"invalid DNS server '{text}'", "an IP address, such as 192.168.1.1")
    return canonical


def search(text: str) -> str:
    """Parse --dns-search: a domain, or `.` for none at all."""
    domain = text.strip()
    if domain != "." and not _is_domain(domain.removesuffix(".")):
        raise InvalidArgument(f"invalid search domain '{text}'", "a domain, such as lab.example.com; . for none")
    return domain


def option(text: str) -> str:
    """Parse --dns-option: one word of resolv.conf's `options` line."""
    if not text or len(text) > 255 or not all("!" <= char <= "~" for char in text):
        raise InvalidArgument(f"invalid DNS option '{text}'", "one word, such as ndots:2; see resolv.conf(5)")
    return text


def extra_host(text: str) -> tuple[str, str]:
    """Parse --add-host NAME:IP or NAME=IP to (name, address); for NAME:host-gateway the address is HOST_GATEWAY."""
    name, sign, value = text.partition("=" if "=" in text else ":")
    target = value if value == HOST_GATEWAY else address(value)
    if not sign or not _is_domain(name) or not target:
        raise InvalidArgument(f"invalid host '{text}' to add", f"NAME:IP or NAME:{HOST_GATEWAY}, such as db:10.0.0.5")
    return name, target


def _is_domain(text: str) -> bool:
    """True for labels of [a-zA-Z0-9_-] separated by dots, within the limits of DNS."""
    return len(text) <= 253 and all(
        0 < len(label) <= 63 and _NAME.issuperset(label) and "-" not in (label[0], label[-1])
        for label in text.split(".")
    )
