"""The words of EXPOSE: `80`, `80-82/udp`, also with docker's `-p` syntax, of which only the container's ports count."""

from __future__ import annotations

from mydocker.build.failure import Malformed
from mydocker.gotemplate.formats import quote

_PROTOCOLS = ("tcp", "udp", "sctp")
_ALL = 65536 * len(_PROTOCOLS)


def exposed(words: list[str]) -> list[str]:
    """Return `80/tcp`, each once, in order. Raises Malformed."""
    ports: dict[str, None] = {}
    total = 0
    for word in words:
        numbers, _, protocol = word.partition("/")
        protocol = protocol.lower() or "tcp"
        outside, _, inside = numbers.rpartition(":")
        if protocol not in _PROTOCOLS:
            raise Malformed(f"invalid port: {quote(word)}: invalid proto: {protocol}", "tcp, udp or sctp")
        if not inside:
            raise Malformed(f"no port specified: {word}")
        first, last = _range(inside)
        total += last - first + 1
        if total > _ALL:
            raise Malformed(f"EXPOSE {word} and the others are more ports than there are")
        if outside:
            _check_outside(outside, last - first, word)
        ports.update({f"{port}/{protocol}": None for port in range(first, last + 1)})
    return list(ports)


def _range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    last = last if dash else first
    if not (_is_port(first) and _is_port(last) and int(first) <= int(last)):
        raise Malformed(f"invalid containerPort: {text}", "a number up to 65535, or FIRST-LAST")
    return int(first), int(last)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535


def _check_outside(text: str, size: int, word: str) -> None:
    """Check `IP:PORT` or `PORT`, which EXPOSE takes and does not use."""
    port = text.rpartition(":")[2]
    if port:
        first, dash, last = port.partition("-")
        if not (_is_port(first) and (not dash or _is_port(last))):
            raise Malformed(f"invalid hostPort: {port}")
        if size and int(last or first) - int(first) != size:
            raise Malformed(f"invalid ranges specified for container and host Ports: {word}")
