"""The tables of test_build_copy.py, built by BuildKit: the same trees, but for the differences that are listed here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile

import pytest
from copies import COPIES, REFUSED, T, make_context, make_layer

pytestmark = [
    pytest.mark.local,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.parametrize("newer_host", ["sid"], indirect=True),
]

# COPIES: where docker makes another tree, with the reason.
OTHER_TREE = {
    "--parents": "this front end does not know it",
    "--parents with **": "this front end does not know it",
    "--parents from a directory on": "this front end does not know it",
    "--link does not follow": "without containerd's image store it has no effect, against its documentation",
    "--exclude of a match": "has no effect on the names of sources, against its documentation",
    "--exclude with an exception": "loses the time of a directory",
}
# REFUSED: what docker accepts, with the reason to refuse it.
ACCEPTED = {
    "no match": "nothing would be copied",
    "no match with **": "nothing would be copied",
    "an empty source": "the whole context would be copied",
    "several sources, one file": "the last one would win",
    "several matches, one file": "the last one would win",
    "an unknown user": "the files would be root's",
    "an unknown group": "the files would be of another group",
    "a whiteout": "it would remove a file",
}


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    top = tmp_path_factory.mktemp("context")
    make_context(top)
    return top


def build(host, tmp_path, context, script: str, steps: list[list[str]], fields: dict):
    """Build an image with docker. Returns (the result, the path of its files' tar)."""
    shutil.rmtree(host.share / "context", ignore_errors=True)
    subprocess.run(["cp", "-a", context, host.share / "context"], check=True)
    make_layer(tmp_path / "layer", script)
    subprocess.run(["tar", "-cf", host.share / "context/base.tar", "-C", tmp_path / "layer", "."], check=True)
    flags = [f"--{name}={fields[name]}" for name in ("chown", "chmod") if name in fields]
    flags += [f"--exclude={pattern}" for pattern in fields.get("excludes", ())]
    flags += [f"--{name}" for name in ("link", "parents") if fields.get(name)]
    word = "ADD" if fields.get("unpack") else "COPY"
    lines = ["FROM scratch", "ADD base.tar /", f"WORKDIR {fields.get('workdir', '/')}"]
    for words in steps:
        documents = fields.get("documents", {})
        if documents:
            lines.append(" ".join([word, *flags, *words[:-1], *[f"<<{name}" for name in documents], words[-1]]))
            lines += [f"{content.decode()}{name}" for name, content in documents.items()]
        else:
            lines.append(" ".join([word, *flags, json.dumps(words)]))
    (host.share / "Dockerfile").write_bytes("\n".join([*lines, ""]).encode())
    argv = ["docker", "build", "-q", "-f", "/mnt/Dockerfile", "--output", "type=tar,dest=/mnt/out.tar", "/mnt/context"]
    return host(*argv), host.share / "out.tar"


def listing(path) -> list[str]:
    rows = []
    with tarfile.open(path) as tar:
        for entry in sorted(tar, key=lambda entry: entry.name.split("/")):
            if entry.name.split("/")[0] != "o":
                continue
            owner = f"{entry.uid}:{entry.gid}" + (" @" if int(entry.mtime) == T else "")
            if entry.isdir():
                rows.append(f"{entry.name}/ d{entry.mode:o} {owner}")
            elif entry.issym():
                rows.append(f"{entry.name} l {owner} -> {entry.linkname}")
            elif entry.islnk():
                rows.append(f"{entry.name} = {entry.linkname}")
            else:
                content = tar.extractfile(entry)
                rows.append(f"{entry.name} f{entry.mode:o} {owner}" + f" {content.read()!r}"[:30])
    return rows


@pytest.mark.parametrize("name", [name for name in COPIES if "document as" not in name])
def test_the_same_tree(name, newer_host, tmp_path, context):
    script, steps, fields, expected = COPIES[name]
    result, tar = build(newer_host, tmp_path, context, script, steps, fields)
    if name in OTHER_TREE:
        assert result.rc or listing(tar) != expected
        return
    assert result.rc == 0, result.stderr
    actual = listing(tar)
    if "archive" in name:
        actual = [row.partition(" b'")[0] for row in actual]
    assert actual == expected


@pytest.mark.parametrize("name", REFUSED)
def test_refused_too(name, newer_host, tmp_path, context):
    script, words, fields, _ = REFUSED[name]
    result, _ = build(newer_host, tmp_path, context, script, [words], fields)
    assert bool(result.rc) is (name not in ACCEPTED), result.stderr
