"""Draw the map of engine/network/netmap.py: as a tree for a terminal, or in DOT for graphviz."""

from __future__ import annotations

from textwrap import wrap

from mydocker.cli.output import printable, shorten, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Map = dict[str, Any]

_NOTE_WIDTH = 58
_OTHERS = {"none": "no network", "host": "the host's network"}


# --- a tree -----------------------------------------------------------------------------------------------------------


def tree(map_: Map, columns: int | None = None) -> str:
    """A tree with a line for each link, port and rule. columns: of the terminal; None for a pipe: cut no line."""
    lines: list[str] = []
    for network in map_["networks"]:
        subnets = ", ".join(filter(None, (network["subnet"], network["subnet6"])))
        lines.append(f"network {network['name']}  {subnets}{'  internal' if network['internal'] else ''}")
        lines.append(f"└─ {_bridge(network)}")
        lines += [f"   {line}" for line in _branches(network)]
    for mode, names in map_["others"].items():
        lines.append(_OTHERS.get(mode, mode))
        lines += _branch_lines([[name] for name in names])
    lines = [printable(line) for line in lines]
    return "".join(f"{shorten(line, columns) if columns else line}\n" for line in lines)


def _bridge(network: Map) -> str:
    bridge = network["bridge"]
    state = {"missing": "MISSING", "foreign": "NOT MYDOCKER'S", "down": "DOWN"}.get(bridge["state"], bridge["state"])
    return "  ".join([bridge["device"], state, *bridge["addresses"], f"mtu {bridge['mtu']}"])


def _branches(network: Map) -> list[str]:
    """The branches of a bridge: its rules, then its links with their containers."""
    containers = network["containers"]
    links = [
        [
            each["link"],
            "──" if each["attached"] else "DETACHED",
            each["device"],
            each["name"],
            ", ".join(filter(None, (each["address"], each["address6"]))),
        ]
        for each in containers
    ]
    branches = [["rules", *network["rules"]]] if network["rules"] else []
    branches += [[line, *each["ports"], *each["rules"]] for line, each in zip(_aligned(links), containers)]
    branches += [[f"{link}  NO CONTAINER"] for link in network["strays"]]
    return _branch_lines(branches)


def _branch_lines(branches: list[list[str]]) -> list[str]:
    """Put the first line of each branch on the trunk, its other lines below."""
    lines = []
    for number, (first, *others) in enumerate(branches, 1):
        mark, below = ("├─ ", "│    ") if number < len(branches) else ("└─ ", "     ")
        lines.append(mark + first)
        lines += [below + line for line in others]
    return lines


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align cells in columns. They are made printable first, which changes their width."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(*cells)]
    return ["  ".join(cell + " " * (wide - width(cell)) for cell, wide in zip(row, widths)).rstrip() for row in cells]


# --- DOT --------------------------------------------------------------------------------------------------------------


def dot(map_: Map) -> str:
    """A graph: a box for each network with its bridge and rules, a node for a container, an edge for a veth pair."""
    lines = [
        "graph mydocker {",
        '  rankdir=LR; fontname="sans-serif"',
        '  node [shape=box, style="rounded,filled", fillcolor=white, fontname="sans-serif"]',
        '  edge [fontname="sans-serif", fontsize=11]',
    ]
    for network in map_["networks"]:
        lines += _network_nodes(network)
    containers = {each["id"]: each for network in map_["networks"] for each in network["containers"]}
    lines += [_node(f"c {key}", [each["name"]], "fillcolor=lightblue") for key, each in containers.items()]
    for network in map_["networks"]:
        for each in network["containers"]:
            lines += _edges(network, each)
    for mode, names in map_["others"].items():
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
        lines += [f"  {line}" for line in _note(f"b {key}", f"r {key}", network["rules"])]
    lines.append("  }")
    for link in network["strays"]:
        lines.append(_node(f"s {link}", [link, "no container"], "fillcolor=salmon"))
        lines.append(f"  {_quoted(f'b {key}')} -- {_quoted(f's {link}')}")
    return lines


def _edges(network: Map, container: Map) -> list[str]:
    addresses = filter(None, (container["address"], container["address6"]))
    label = _label([f"{container['link']} — {container['device']}", *addresses])
    style = "" if container["attached"] else ", style=dotted, color=red"
    node = _quoted(f"c {container['id']}")
    lines = [f"  {_quoted('b ' + network['id'])} -- {node} [label={label}{style}]"]
    notes = [*container["ports"], *container["rules"]]
    return lines + (_note(f"c {container['id']}", f"p {container['id']}", notes) if notes else [])


def _note(of: str, key: str, lines: Sequence[str]) -> list[str]:
    """A note below the node `of`. Long lines are broken, so that the graph is narrow enough for a page."""
    broken: list[str] = []
    for line in lines:
        first, *more = wrap(line, _NOTE_WIDTH, break_on_hyphens=False)
        broken += [first, *(f"&nbsp;&nbsp;&nbsp;{part}" for part in more)]
    return [
        _node(key, broken, "shape=note, fillcolor=lightyellow, fontsize=11"),
        f"  {{ rank=same; {_quoted(of)} -- {_quoted(key)} [style=dashed] }}",
    ]


def _node(key: str, lines: Sequence[str], attributes: str) -> str:
    return f"  {_quoted(key)} [label={_label(lines)}, {attributes}]"


def _label(lines: Sequence[str]) -> str:
    """A label. A single line is centred, several lines are flush left."""
    text = [_quoted(line)[1:-1] for line in lines]
    return f'"{text[0]}"' if len(text) == 1 else '"' + "".join(f"{line}\\l" for line in text) + '"'


def _quoted(text: str) -> str:
    return '"' + printable(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
