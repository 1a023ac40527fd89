"""port, port add, port rm."""

from __future__ import annotations

from mydocker.engine.network import ports
from mydocker.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.options.ports import Port


def port(params: dict[str, Any]) -> int:
    """`add` and `rm` are words of ours where a container and a port follow; else they are a container's name."""
    first, *rest = params["container_and_ports"]
    if first == "add" and len(rest) > 1:
        _show(ports.add(rest[0], rest[1:]))
    elif first == "rm" and len(rest) > 1:
        _show(ports.remove(rest[0], rest[1:]))
    elif len(rest) > 1:
        raise InvalidArgument(f"one port at most, not {len(rest)}", "mydocker port CONTAINER [PORT[/udp]]")
    elif rest:
        for each in ports.listing(first, rest[0]):
            print(each.source)
    else:
        _show(ports.listing(first))
    return 0


def _show(found: list[Port]) -> None:
    for port in found:
        print(f"{port.target} -> {port.source}")
