"""The shell commands that stand for changes of firewall rules."""

from __future__ import annotations

from mydocker.kernel import iptables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from mydocker.network import firewall


def commands(version: int, rules: list[firewall.Rule]) -> list[str]:
    program = iptables.PROGRAMS[version]
    return [f"{program} -w -t {rule.table} {rule.line}" for rule in rules]


def deletion(owner_id: str, versions: Iterable[int]) -> list[str]:
    """The commands that delete the rules of an owner: a network or a container."""
    programs = (iptables.PROGRAMS[version] for version in versions)
    return [delete_with(program, f'"mydocker: .* {owner_id[:12]}"') for program in programs]


def delete_with(program: str, pattern: str) -> str:
    """The command that deletes the rules in which sed finds the pattern."""
    return (
        f"{program}-save | sed -n '/^\\*/h; /{pattern}/{{G;s/^-A\\(.*\\)\\n.\\(.*\\)/"
        f"{program} -w -t \\2 -D\\1/p}}' | sh"
    )
