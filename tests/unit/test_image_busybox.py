"""The busybox image: reproducible, complete, and refused for a dynamic program."""

from __future__ import annotations

import io
import struct
import tarfile

import pytest

from mydocker.errors import HostError
from mydocker.image import busybox

APPLETS = ["[", "cat", "sh", "vi"]


def elf(*types: int, wide: bool = True, order: str = "<") -> bytes:
    """Make an ELF header and program headers of these types (elf(5))."""
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    size, each = (64, 56) if wide else (52, 32)
    address = "Q" if wide else "I"
    header = ident + struct.pack(
        f"{order}HHI3{address}IHHHHHH", 2, 62, 1, 0, size, 0, 0, size, each, len(types), 0, 0, 0
    )
    assert len(header) == size
    return header + b"".join(struct.pack(f"{order}I", kind).ljust(each, b"\0") for kind in types)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("order", "<>")
def test_a_program_without_interpreter_is_static(wide, order):
    assert busybox.is_static(elf(1, 1, 4, wide=wide, order=order))
    assert not busybox.is_static(elf(6, 3, 1, wide=wide, order=order))
    assert not busybox.is_static(elf(wide=wide, order=order))


@pytest.mark.parametrize("program", [b"", b"\x7fELF", b"#!/bin/sh\n", elf(1, 1)[:80], elf(1)[:-60]])
def test_a_file_that_is_not_a_program_is_not_static(program):
    assert not busybox.is_static(program)


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host whose busybox is the file that is returned; the file is not executed."""
    program = tmp_path / "busybox"
    program.write_bytes(elf(1))
    monkeypatch.setattr(busybox, "PLACES", (str(tmp_path / "no"), str(program)))
    monkeypatch.setattr(busybox, "_applets", lambda path: APPLETS)
    return program


def test_the_image(host):
    built = busybox.build()
    image = built.image
    assert image.names == ["busybox:latest"]
    assert image.config["config"] == {"Env": [f"PATH={busybox.PATH}"], "Cmd": ["sh"]}
    assert image.config["rootfs"]["diff_ids"] == image.layers
    assert len(built.tar) == image.size
    with tarfile.open(fileobj=io.BytesIO(built.tar)) as archive:
        members = {info.name.removeprefix("./"): info for info in archive}
    top = {name for name in members if name and "/" not in name and name != "."}
    assert top == {"bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr", "var"}
    assert members["tmp"].mode == 0o1777
    assert members["bin/busybox"].mode == 0o755
    assert all(members[f"bin/{applet}"].islnk() for applet in APPLETS)
    assert members["etc/shadow"].mode == 0o600
    assert {(info.mtime, info.uid, info.gid) for info in members.values()} == {(0, 0, 0)}


def test_it_is_the_same_every_time(host):
    assert busybox.build() == busybox.build()


def test_users_and_groups_are_well_formed(host):
    with tarfile.open(fileobj=io.BytesIO(busybox.build().tar)) as archive:
        passwd = archive.extractfile("./etc/passwd").read().decode()
        group = archive.extractfile("./etc/group").read().decode()
    assert passwd.startswith("root:x:0:0:root:/root:/bin/sh\n")
    assert {len(line.split(":")) for line in passwd.splitlines()} == {7}
    assert group.startswith("root:x:0:\n")
    assert {len(line.split(":")) for line in group.splitlines()} == {4}


@pytest.mark.parametrize("program", [None, b"#!/bin/sh\n", elf(3, 1)])
def test_a_host_without_a_static_busybox_is_told_what_to_install(host, program):
    host.unlink()
    if program is not None:
        host.write_bytes(program)
    with pytest.raises(HostError) as caught:
        busybox.build()
    assert caught.value.hint == "apt-get install busybox-static"
    assert (str(host) in caught.value.message) == (program is not None)
