"""Dockerfiles, one or two for each row of docs/dockerfile.md, and what a builder has made of one, to be compared."""

from __future__ import annotations

import io
import json
import platform
import tarfile
import time
from pathlib import Path

from mydocker.record import record

LONGEST = 160  # characters of a content that is shown
PLATFORM = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}.get(platform.machine(), "linux/386")
OF_THE_BUILDER = ("ArgsEscaped", "Image")  # fields of a config that say nothing of the image

SUM = "sha256:" + "0" * 64
ONE = "FROM bb AS one\nRUN mkdir -p /o/s && echo 1 >/o/s/f && chown 7:8 /o/s/f && chmod 4750 /o/s/f\n"

# name -> the Dockerfile; its results are below /o. `?` at the beginning: mydocker refuses it.
DOCKERFILES = {
    "lines": "# a comment\nfrom bb\nRUN mkdir /o && \\\n  # a comment\n  echo a \\\n  >/o/a\nENV A=1 \\\n B=2\n",
    "escape": "# escape=`\nFROM bb\nENV A=a\\b B=`$x\nRUN mkdir /o; `\n echo 'a\\b' >/o/a\n",
    "check": "?# check=error=true\nFROM bb\nMAINTAINER a\n",
    "unknown": "?FROM bb\nNOSUCH a\n",
    "unknown flag": "?FROM bb\nCOPY --nosuch=1 a.txt /o/\n",
    "from": f"ARG BASE=bb\n{ONE}FROM bb AS unused\nRUN false\nFROM $BASE\nCOPY --from=one /o/s/f /o/\n",
    "from stage": f"{ONE}RUN chmod 777 /o\nENV A=1\nUSER 7\nFROM one\nRUN id -u >/o/a; echo $A >>/o/a\n",
    "from scratch": "FROM scratch\nCOPY a.txt /o/\nCMD [\"/o/a.txt\"]\n",
    "from platform": f"FROM --platform={PLATFORM} bb\nRUN mkdir /o\n",
    "arg": "FROM bb\nARG A=1\nARG B\nENV C=${A}2 D=${B:-none} E=${B:+some}\nRUN mkdir /o; echo $A >/o/a\n",
    "arg over env": "FROM bb\nENV A=env\nARG A=arg\nRUN mkdir /o; echo $A >/o/a\n",
    "arg of a parent": "FROM bb AS one\nARG A=1\nFROM one\nRUN mkdir /o; echo \"[$A]\" >/o/a\n",
    "expansion": "FROM bb\nENV x=abccd\nENV A=${x#a} B=${x%%c*} C=${x/c/_} D=${x//c/_} E=${u-d}\n",
    "env": "FROM bb\nENV A=\"b  c\" B=d\\ e C='$A'\nENV D old form\nENV A=$A-2 E=$D\n",
    "label": "FROM bb\nLABEL a=b \"c d\"=\"e f\"\nLABEL a=g\n",
    "maintainer": "FROM bb\nMAINTAINER a <b@c>\n",
    "workdir": "FROM bb\nWORKDIR /o/a\nWORKDIR b/../c\nRUN pwd >p\n",
    "workdir owner": "FROM bb\nUSER bob\nWORKDIR /o/w\n",
    "user": "FROM bb\nRUN mkdir -m 777 /o\nUSER bob:staff\nRUN id -u >/o/a; id -g >>/o/a; echo $HOME >>/o/a\n",
    "user unknown": "?FROM bb\nUSER nosuch\nRUN true\n",
    "cmd": "FROM bb\nCMD [\"a\", \"b c\"]\n",
    "cmd shell": "FROM bb\nCMD echo \"a  b\"\n",
    "entrypoint": "FROM bb AS one\nCMD [\"c\"]\nFROM one\nENTRYPOINT [\"e\", \"f\"]\n",
    "entrypoint shell": "FROM bb\nENTRYPOINT exec e\nCMD [\"c\"]\n",
    "shell": "FROM bb\nSHELL [\"/bin/sh\", \"-ec\"]\nCMD a\nRUN mkdir /o; echo $- >/o/a\n",
    "expose": "FROM bb\nEXPOSE 80 53/udp 90-91\nEXPOSE 80/tcp\n",
    "expose odd": "?FROM bb\nEXPOSE 70000\n",
    "volume": "FROM bb\nVOLUME /o/v\nVOLUME [\"/w\", \"/x y\"]\n",
    "volume written": "FROM bb\nVOLUME /o\nRUN mkdir -p /o; echo a >/o/a\n",
    "stopsignal": "FROM bb\nSTOPSIGNAL SIGQUIT\n",
    "stopsignal odd": "?FROM bb\nSTOPSIGNAL SIGFOO\n",
    "healthcheck": "FROM bb\nHEALTHCHECK --interval=5s --timeout=2s --start-period=1m --retries=4 CMD test -e /o\n",
    "healthcheck start": "FROM bb\nHEALTHCHECK --start-interval=2s CMD [\"true\"]\n",
    "healthcheck none": "FROM bb AS one\nHEALTHCHECK CMD true\nFROM one\nHEALTHCHECK NONE\n",
    "onbuild": "FROM bb\nONBUILD RUN mkdir /o\nONBUILD COPY a.txt /o/\n",
    "onbuild child": "FROM bb AS one\nONBUILD RUN mkdir -p /o; echo x >>/o/a\nFROM one\nRUN echo y >>/o/a\n",
    "onbuild odd": "?FROM bb\nONBUILD FROM bb\n",
    "run": "FROM bb\nRUN mkdir /o\nRUN [\"/bin/sh\", \"-c\", \"echo $0 >/o/a\"]\nRUN echo a    b >/o/b\n",
    "run fails": "?FROM bb\nRUN exit 7\n",
    "run heredoc": "FROM bb\nRUN <<EOF\nmkdir /o\nfalse\necho a >/o/a\nEOF\nRUN cat <<A - <<B >/o/b\none\nA\ntwo\nB\n",
    "run script": "FROM bb\nRUN <<EOF\n#!/bin/sh\nmkdir /o; echo $0 >/o/a\nEOF\n",
    "run network": "FROM bb\nRUN --network=none mkdir /o; ls /sys/class/net >/o/a\n",
    "run security": "?FROM bb\nRUN --security=insecure true\n",
    "run device": "?FROM bb\nRUN --device=x true\n",
    "mount bind": f"{ONE}FROM bb\nRUN --mount=type=bind,source=a.txt,target=/m/a --mount=from=one,source=/o,target=/n "
    "mkdir /o; cat /m/a /n/s/f >/o/a; (echo >/m/a) 2>/dev/null || echo read-only >>/o/a\n",
    "mount cache": "FROM bb\nRUN --mount=type=cache,target=/c,uid=7,gid=8,mode=0710,id=i,sharing=locked "
    "mkdir /o; stat -c '%u %g %a' /c >/o/a\n",
    "mount tmpfs": "FROM bb\nRUN --mount=type=tmpfs,target=/t mkdir /o; grep -c ' /t tmpfs' /proc/mounts >/o/a\n",
    "mount secret": "FROM bb\nRUN --mount=type=secret,id=s,uid=7,mode=0440 "
    "mkdir /o; cat /run/secrets/s >/o/a; stat -c '%u %a' /run/secrets/s >>/o/a\n",
    "mount secret env": "FROM bb\nRUN --mount=type=secret,id=s,env=S mkdir /o; echo \"$S\" >/o/a\n",
    "mount ssh": "?FROM bb\nRUN --mount=type=ssh,required true\n",
    "mount odd": "?FROM bb\nRUN --mount=type=nosuch,target=/m true\n",
    "copy": "FROM bb\nCOPY a.txt b.txt /o/x/\nCOPY d /o/d\nCOPY *.txt /o/y/\n",
    "copy missing": "?FROM bb\nCOPY nosuch /o/\n",
    "copy heredoc": "FROM bb\nENV A=1\nCOPY <<EOF <<'F' /o/\n$A\nEOF\n$A\nF\n",
    "copy from": f"{ONE}FROM bb\nCOPY --from=one /o/s /o/t\nCOPY --from=0 /o/s/f /o/\n",
    "copy chown": "FROM bb\nCOPY --chown=bob:staff d /o/n/d\nCOPY --chown=7 a.txt /o/n/\n",
    "copy chmod": "FROM bb\nCOPY --chmod=640 a.txt /o/\nCOPY --chmod=750 b.txt /o/\n",
    "copy chmod symbolic": "FROM bb\nCOPY --chmod=u=rwX,go=rX a.txt exe /o/\n",
    "copy link": "FROM bb\nCOPY --link a.txt /o/p/q\n",
    "copy exclude": "FROM bb\nCOPY --exclude=sub/y d /o/x\n",
    "copy parents": "FROM bb\nCOPY --parents d/sub/y /o/\n",
    "add": "FROM bb\nADD a.txt t.tar.gz /o/x/\n",
    "add chown": "FROM bb\nADD --chown=bob a.txt t.tar /o/x/\n",
    "add chmod": "FROM bb\nADD --chmod=600 a.txt t.tar /o/x/\n",
    "add checksum": f"?FROM bb\nADD --checksum={SUM} a.txt /o/\n",
    "add link": "FROM bb\nADD --link a.txt /o/p/q\n",
    "add exclude": "FROM bb\nADD --exclude=sub/y d /o/x\n",
    "add unpack": "FROM bb\nADD --unpack=false t.tar /o/x/\n",
    "add keep-git-dir": "?FROM bb\nADD --keep-git-dir=true https://127.0.0.1:1/a.git /o/\n",
}  # fmt: skip
OPTIONS = {
    "arg": ["--build-arg", "B=b"],
    "mount secret": ["--secret", "id=s,src=SECRET"],
    "mount secret env": ["--secret", "id=s,src=SECRET"],
}


@record
class Built:
    """config: what is not empty, and the author. history: the texts of all steps but the base's. files: a row for each
    below /o."""

    config: dict
    history: list[str]
    files: list[str]

    def differences(self, other: Built) -> dict[str, tuple]:
        fields = ("config", "history", "files")
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in fields}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def read(archive: Path, base: Path) -> Built:
    """Read a saved image. base: the saved image that it is built from, or not."""
    below, _, _ = parts(base.read_bytes())
    config, layers, tars = parts(archive.read_bytes())
    common = config["history"][: len(below["history"])] == below["history"]
    rows: dict[str, str] = {}
    for diff_id, tar in zip(layers, tars):
        if diff_id not in below["rootfs"]["diff_ids"]:
            add_layer(rows, tar)
    fields = {**config["config"], "author": config.get("author")}
    return Built(
        config={key: value for key, value in fields.items() if value and key not in OF_THE_BUILDER},
        history=[" ".join(row["created_by"].split()) for row in config["history"][common * len(below["history"]) :]],
        files=sorted(row for row in rows.values() if row.startswith("o/")),
    )


def parts(data: bytes) -> tuple[dict, list[str], list[bytes]]:
    """The config of a saved image, the digests of its layers, and their tars."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))[0]
        config = json.load(archive.extractfile(manifest["Config"]))
        tars = [archive.extractfile(layer).read() for layer in manifest["Layers"]]
    return config, config["rootfs"].get("diff_ids") or [], tars


def add_layer(rows: dict[str, str], data: bytes) -> None:
    """Apply a layer to the rows by path."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for entry in tar:
            apply(rows, tar, entry)


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
