"""port, port add, port rm."""

from __future__ import annotations

from mydocker.engine.network import ports
from mydocker.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.model.options.ports import Port


def port(params: dict[str, Any]) -> int:
    """`add` and `rm` are subcommands if a container and a port follow them; otherwise they are a container's name."""
    first, *others = params["container_and_ports"]
    if first == "add" and len(others) > 1:
        _show(ports.add(others[0], others[1:]))
    elif first == "rm" and len(others) > 1:
        _show(ports.remove(others[0], others[1:]))
    elif len(others) > 1:
        raise InvalidArgument(f"expected at most one port, got {len(others)}", "mydocker port CONTAINER [PORT[/udp]]")
    elif others:
        for each in ports.listing(first, others[0]):
            print(each.source)
    else:
        _show(ports.listing(first))
    return 0


def _show(published: list[Port]) -> None:
    for port in published:
        print(f"{port.target} -> {port.source}")
