"""port, port add, port rm."""

from __future__ import annotations

from mydocker.engine import ports
from mydocker.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def port(params: dict[str, Any]) -> int:
    """`add` and `rm` are words of ours where a container and a port follow; else they are a container's name."""
    first, *rest = params["container_and_ports"]
    if first == "add" and len(rest) > 1:
        for each in ports.add(rest[0], rest[1:]):
            print(f"{each.target} -> {each.source}")
    elif first == "rm" and len(rest) > 1:
        for text in ports.remove(rest[0], rest[1:]):
            print(text)
    elif len(rest) > 1:
        raise InvalidArgument(f"one port at most, not {len(rest)}", "mydocker port CONTAINER [PORT[/udp]]")
    else:
        for each in ports.listing(first, *rest):
            print(each.source if rest else f"{each.target} -> {each.source}")
    return 0
