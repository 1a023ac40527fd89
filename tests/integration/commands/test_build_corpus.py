"""The corpus of Dockerfiles: each is built, and its files, config and history are compared with BuildKit's of docker
28.5.2, which tests/integration/dockerfile_cases.json has. A result that differs is in DIFFERENT, with the reason."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from archives import busybox
from contexts import make_context, write_files
from dockerfiles import CASES, text

pytestmark = pytest.mark.peer

GROUPS = sorted({case["name"].partition("-")[0] for case in CASES})
OLD = 981173106  # the time of all files in the context
# Case -> why the result is another one than BuildKit's.
DIFFERENT = {
    **dict.fromkeys(("syn-first", "syn-nosuch"), "# syntax= is ignored: no front end is fetched"),
    **dict.fromkeys(("cp-glob-nomatch", "cp-glob-dstar"), "no source matches anything: refused"),
    **dict.fromkeys(("cp-chown-bad", "cp-chown-badgrp", "ab-add-chown-bad"), "an unknown owner is refused"),
    **dict.fromkeys(("cp-parents-glob", "aa-cp-parents-nodir"), "--parents is known"),
    "cp-exclude": "a dangling link is copied, as without --exclude",
    "aa-json-copy-multi": "several sources need a directory",
    "aa-cp-src-var-empty": "an empty source is refused",
    "aa-cp-from-special": "holes stay holes, devices and FIFOs are not in the corpus",
    "add-tar.xz": "xz is always unpacked",
    "ab-cache": "the corpus's cache mount had content before",
    "run-m-bind": "counts the files of the context, which had another one",
    "run-env": "stdin is /dev/null; /dev and /etc/hosts are those of run",
    "cp-dotfiles": "the archives in the context have other bytes",
    **dict.fromkeys(("add-zip", "add-gz-only", "add-unpack", "add-empty-tar"), "likewise"),
    "aa-cp-src-dotdot-stage": "likewise: /etc/passwd",
    "f-hist": "a file of the base's, which the corpus leaves out",
    "f-hist2": "likewise",
}
LONGEST = 160  # characters of a content: longer ones are not in the corpus
PLACES = ("o/", "tmp/y", "tmp/x")  # below these a result's files are compared
LISTED = re.compile(r"total \d+| +\d+ [A-Z][a-z]{2} +\d+ \d\d:\d\d")  # of `ls -l`: the host's sizes and times


@pytest.fixture(scope="module")
def base(machine):
    """The image bb: busybox with a user bob, and nothing in /etc but passwd and group."""
    files = (
        ("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nbob:x:1234:1235:bob:/home/bob:/bin/sh\n"),
        ("etc/group", b"root:x:0:\nstaff:x:50:\nbob:x:1235:\n"),
    )
    result = machine.run(machine.program, "import", "-", "bb", input=with_open_tmp(busybox(*files)))
    assert result.rc == 0, result.stderr
    yield
    machine.run(machine.program, "rmi", "-f", "bb")


def with_open_tmp(archive: bytes) -> bytes:
    """Return the archive with a /tmp that all users may write."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as source, tarfile.open(fileobj=stream, mode="w") as target:
        for entry in source:
            entry.mode = 0o1777 if entry.name == "tmp" else entry.mode
            target.addfile(entry, source.extractfile(entry) if entry.isfile() else None)
    return stream.getvalue()


@pytest.mark.parametrize("group", GROUPS)
def test_results_are_buildkits(base, mydocker, tmp_path, monkeypatch, group):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZED", "zedval")
    Path("SECRET").write_text("sekret\n")
    context = tmp_path / "context"
    context.mkdir()
    make_context(str(context), OLD)
    wrong = {}
    for case in CASES:
        if case["name"].partition("-")[0] == group and case["name"] not in DIFFERENT:
            difference = compare(mydocker, case, context, tmp_path / f"of-{case['name']}")
            if difference:
                wrong[case["name"]] = difference
    mydocker("rmi", "-f", "case")
    mydocker.ok("image", "prune", "-f")
    mydocker.ok("builder", "prune", "-a", "-f")
    assert wrong == {}


def compare(mydocker, case, context: Path, own: Path) -> str:
    """Build a case. Returns what differs, "" for nothing."""
    if "files" in case:
        own.mkdir()
        write_files(str(own), case["files"])
        context = own
    file = context / "Dockerfile"
    file.write_bytes(text(case))
    words = ["build", "-q", "--network", "none", "-t", "case", *case.get("args", []), str(context)]
    built = subprocess.run(
        mydocker.machine.argv(mydocker.machine.program, *words, env={"ZED": "zedval"}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        cwd=os.getcwd(),
        check=False,
    )
    file.unlink()
    expected = case["docker"]
    if bool(built.returncode) != bool(expected["rc"]):
        return f"exit {built.returncode}: {built.stderr[-500:]}"
    if expected["rc"]:
        return ""
    config, files = saved(mydocker)
    wanted = {key: value for key, value in expected["config"].items() if key != "ArgsEscaped"}
    if config["config"] != wanted:
        return f"config {config['config']} instead of {wanted}"
    listed = {LISTED.sub("", row) for row in expected.get("fs", ()) if row.startswith(PLACES)}
    seen = {LISTED.sub("", row) for row in files if row.startswith(PLACES)}
    if "fs" in expected and listed != seen:
        return f"files {sorted(seen - listed)} instead of {sorted(listed - seen)}"
    rows = " ".join(" ".join(expected.get("history", ())).split())  # docker prints a tab as a blank
    missing = [
        row["created_by"] for row in config["history"][1:] if rows and " ".join(row["created_by"].split()) not in rows
    ]
    return f"history: {missing} not in {rows}" if missing else ""


def saved(mydocker) -> tuple[dict, list[str]]:
    """The config of the image that was built, and a row for each file of its layers but the base's."""
    data = mydocker.machine.start(mydocker.machine.program, "save", "case").communicate()[0]
    rows: dict[str, str] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))[0]
        config = json.load(archive.extractfile(manifest["Config"]))
        ours = [layer for layer, row in zip(manifest["Layers"], layer_rows(config)) if row]
        for layer in ours:
            with tarfile.open(fileobj=io.BytesIO(archive.extractfile(layer).read())) as tar:
                for entry in tar:
                    apply(rows, tar, entry)
    return config, list(rows.values())


def layer_rows(config: dict) -> list[bool]:
    """For each layer, False if it is the base's."""
    made = [row.get("comment") == "buildkit.dockerfile.v0" for row in config["history"] if not row.get("empty_layer")]
    return made


def apply(rows: dict[str, str], tar: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
    """Add an entry of a layer to the rows, or remove what it hides."""
    path = entry.name.removeprefix("./").rstrip("/")
    above, _, name = path.rpartition("/")
    if name.startswith(".wh."):
        hidden = above if name == ".wh..wh..opq" else f"{above}/{name[4:]}".lstrip("/")
        for each in [each for each in rows if f"{each}/".startswith(f"{hidden}/") and (each != above)]:
            del rows[each]
        return
    about = f"{entry.mode & 0o7777:o} {entry.uid}:{entry.gid}" + (" @2001" * (time.gmtime(entry.mtime).tm_year == 2001))
    if entry.isdir():
        rows[path] = f"{path}/ d{about} "
    elif entry.issym():
        rows[path] = f"{path} l{about} -> {entry.linkname}"
    elif entry.islnk():
        rows[path] = f"{path} h{about} -> {entry.linkname.removeprefix('./')}"
    else:
        content = tar.extractfile(entry)
        shown = repr(content.read().decode(errors="replace") if content else "")
        rows[path] = f"{path} f{about}" + (f" {shown}" if len(shown) <= LONGEST else "")
