"""What examples/README.md tells the reader to type, and what it says is seen then."""

from __future__ import annotations

import io
import os
import re
import tarfile

from machine import CHECKOUT, PATH, Machine

DIR = CHECKOUT / "examples"
TITLES = ("nginx", "A counter, with redis behind it")


def blocks(title: str, language: str) -> list[str]:
    """The code blocks of the chapter with this title. `sh`: the images, the start, the end. `console`: what is seen."""
    chapters = re.split(r"^## (.*)\n", (DIR / "README.md").read_text(), flags=re.MULTILINE)[1:]
    text = dict(zip(chapters[::2], chapters[1::2]))[title]
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def answers(title: str) -> list[str]:
    """What each command of the chapter's `console` block prints."""
    (console,) = blocks(title, "console")
    return [answer.partition("\n")[2] for answer in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]]


def copy_to(machine: Machine) -> str:
    """The examples as a new directory of the machine."""
    directory, stream = machine.directory(), io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.add(DIR, ".")
    result = machine.run("tar", "-x", "-C", directory, input=stream.getvalue())
    assert result.rc == 0, result.stderr
    return directory


def type_in(machine: Machine, directory: str, block: str) -> str:
    """Type a block in that directory, with this machine's mydocker; what it prints."""
    path = f"{os.path.dirname(machine.program)}:{PATH}".lstrip(":")
    result = machine.run("sh", "-exc", f'cd "$0"; {block}', directory, env={"PATH": path}, timeout=110)
    assert result.rc == 0, f"{block}\n{result.stdout}{result.stderr}"
    return result.stdout
