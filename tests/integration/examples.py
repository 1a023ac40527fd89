"""The commands in examples/README.md, and the output that it shows."""

from __future__ import annotations

import io
import os
import re
import tarfile

from machine import CHECKOUT, PATH, Machine

DIR = CHECKOUT / "examples"
TITLES = ("nginx", "A counter with redis")


def blocks(title: str, language: str) -> list[str]:
    """Return the code blocks of a chapter. `sh`: the commands. `console`: commands with their output."""
    chapters = re.split(r"^## (.*)\n", (DIR / "README.md").read_text(), flags=re.MULTILINE)[1:]
    text = dict(zip(chapters[::2], chapters[1::2]))[title]
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def answers(title: str) -> list[str]:
    """Return the output of each command in the chapter's `console` block."""
    (console,) = blocks(title, "console")
    return [answer.partition("\n")[2] for answer in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]]


def copy_to(machine: Machine) -> str:
    """Copy the examples into a new directory of the machine."""
    directory, stream = machine.directory(), io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.add(DIR, ".")
    result = machine.run("tar", "-x", "-C", directory, input=stream.getvalue())
    assert result.rc == 0, result.stderr
    return directory


def type_in(machine: Machine, directory: str, block: str) -> str:
    """Run a block in that directory, with this machine's mydocker. Returns its output."""
    path = f"{os.path.dirname(machine.program)}:{PATH}".lstrip(":")
    result = machine.run("sh", "-exc", f'cd "$0"; {block}', directory, env={"PATH": path}, timeout=110)
    assert result.rc == 0, f"{block}\n{result.stdout}{result.stderr}"
    return result.stdout
