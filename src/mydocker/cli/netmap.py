"""How netmap is drawn: a tree for a terminal, or DOT for graphviz, from the map of engine/network/netmap.py."""

from __future__ import annotations

from mydocker.cli.output import printable, shorten, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Map = dict[str, Any]

_OTHERS = {"none": "no network", "host": "the host's network"}


# --- a tree -----------------------------------------------------------------------------------------------------------


def tree(found: Map, columns: int | None = None) -> str:
    """columns: the terminal's, None for a pipe, where nothing is cut. A line each: link, container, port, rule."""
    lines: list[str] = []
    for network in found["networks"]:
        subnets = ", ".join(filter(None, (network["subnet"], network["subnet6"])))
        lines.append(f"network {network['name']}  {subnets}{'  internal' if network['internal'] else ''}")
        lines.append(f"└─ {_bridge(network)}")
        lines += [f"   {line}" for line in _branches(network)]
    for mode, names in found["others"].items():
        lines.append(_OTHERS.get(mode, mode))
        lines += _joined([[name] for name in names])
    lines = [printable(line) for line in lines]
    return "".join(f"{shorten(line, columns) if columns else line}\n" for line in lines)


def _bridge(network: Map) -> str:
    bridge = network["bridge"]
    state = {"missing": "MISSING", "foreign": "NOT MYDOCKER'S", "down": "DOWN"}.get(bridge["state"], bridge["state"])
    return "  ".join([bridge["device"], state, *bridge["addresses"], f"mtu {bridge['mtu']}"])


def _branches(network: Map) -> list[str]:
    """Of a bridge: its rules, then the links on it with who is at their ends."""
    ends = [
        [
            each["link"],
            "──" if each["plugged"] else "UNPLUGGED",
            each["device"],
            each["name"],
            ", ".join(filter(None, (each["address"], each["address6"]))),
        ]
        for each in network["containers"]
    ]
    branches = [["rules", *network["rules"]]] if network["rules"] else []
    branches += [[line, *each["ports"], *each["rules"]] for line, each in zip(_aligned(ends), network["containers"])]
    branches += [[f"{link}  NO CONTAINER'S"] for link in network["strays"]]
    return _joined(branches)


def _joined(branches: list[list[str]]) -> list[str]:
    """Each branch's first line on the trunk, the others below it."""
    lines = []
    for number, (first, *rest) in enumerate(branches, 1):
        mark, below = ("├─ ", "│    ") if number < len(branches) else ("└─ ", "     ")
        lines.append(mark + first)
        lines += [below + line for line in rest]
    return lines


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Cells in columns. They are made printable before, as that changes their width."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(*cells)]
    return ["  ".join(cell + " " * (wide - width(cell)) for cell, wide in zip(row, widths)).rstrip() for row in cells]


# --- DOT --------------------------------------------------------------------------------------------------------------


def dot(found: Map) -> str:
    """A box a network with its bridge and its rules, then a node a container; an edge is a veth pair."""
    lines = [
        "graph mydocker {",
        '  rankdir=LR; fontname="sans-serif"',
        '  node [shape=box, style="rounded,filled", fillcolor=white, fontname="sans-serif"]',
        '  edge [fontname="sans-serif", fontsize=10]',
    ]
    for network in found["networks"]:
        lines += _network_nodes(network)
    containers = {each["id"]: each for network in found["networks"] for each in network["containers"]}
    lines += [_node(f"c {key}", [each["name"]], "fillcolor=lightblue") for key, each in containers.items()]
    for network in found["networks"]:
        for each in network["containers"]:
            lines += _edges(network, each)
    for mode, names in found["others"].items():
        lines.append(f"  subgraph {_quoted(f'cluster {mode}')} {{")
        lines.append(f"    label={_quoted(_OTHERS.get(mode, mode))}")
        lines += [f"  {_node(f'o {name}', [name], 'fillcolor=lightblue')}" for name in names]
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"


def _network_nodes(network: Map) -> list[str]:
    bridge, key = network["bridge"], network["id"]
    colour = {"up": "palegreen"}.get(bridge["state"], "salmon")
    title = f"network {network['name']} {network['subnet']} {network['subnet6']}".rstrip()
    lines = [f"  subgraph {_quoted(f'cluster {key}')} {{", f"    label={_quoted(title)}"]
    about = [bridge["device"], bridge["state"], *bridge["addresses"], f"mtu {bridge['mtu']}"]
    lines.append(f"  {_node(f'b {key}', about, f'fillcolor={colour}')}")
    if network["rules"]:
        lines.append(f"  {_node(f'r {key}', network['rules'], 'shape=note, fillcolor=lightyellow, fontsize=9')}")
        lines.append(f"    {_quoted(f'r {key}')} -- {_quoted(f'b {key}')} [style=dashed]")
    lines.append("  }")
    for link in network["strays"]:
        lines.append(_node(f"s {link}", [link, "no container"], "fillcolor=salmon"))
        lines.append(f"  {_quoted(f'b {key}')} -- {_quoted(f's {link}')}")
    return lines


def _edges(network: Map, end: Map) -> list[str]:
    label = _label([f"{end['link']} — {end['device']}", *filter(None, (end["address"], end["address6"]))])
    style = "" if end["plugged"] else ", style=dotted, color=red"
    container = _quoted(f"c {end['id']}")
    lines = [f"  {_quoted('b ' + network['id'])} -- {container} [label={label}{style}]"]
    if end["ports"] or end["rules"]:
        ports = f"p {end['id']}"
        lines.append(_node(ports, [*end["ports"], *end["rules"]], "shape=note, fillcolor=lightyellow, fontsize=9"))
        lines.append(f"  {container} -- {_quoted(ports)} [style=dashed]")
    return lines


def _node(key: str, lines: Sequence[str], attributes: str) -> str:
    return f"  {_quoted(key)} [label={_label(lines)}, {attributes}]"


def _label(lines: Sequence[str]) -> str:
    """Several lines, each flush left; one is centred."""
    text = [_quoted(line)[1:-1] for line in lines]
    return f'"{text[0]}"' if len(text) == 1 else '"' + "".join(f"{line}\\l" for line in text) + '"'


def _quoted(text: str) -> str:
    return '"' + printable(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
