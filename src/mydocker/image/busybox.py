"""The built-in image: the host's static busybox and the few files that make it a system.

The same busybox always makes the same image, byte for byte: times are zero, order and owners are fixed.
"""

from __future__ import annotations

import io
import os
import struct
import subprocess
import tarfile

from mydocker.errors import HostError, NotFound
from mydocker.image import intake, store, writer
from mydocker.model.oci.spec import PATH
from mydocker.model.options.references import BUSYBOX
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PLACES = (
    "/bin/busybox",
    "/usr/bin/busybox",
    "/usr/local/bin/busybox",
    "/usr/lib/busybox/busybox-static",
    "/sbin/busybox",
    f"{__file__.rpartition('/mydocker/')[0]}/busybox/busybox-{os.uname().machine}",  # part of the .rpm
)
EPOCH = "1970-01-01T00:00:00Z"

_DIRECTORIES = {
    "": 0o755,
    "bin": 0o755,
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "sys": 0o555,
    "tmp": 0o1777,
    "usr": 0o755,
    "usr/bin": 0o755,
    "usr/sbin": 0o755,
    "var": 0o755,
    "var/log": 0o755,
    "var/tmp": 0o1777,
}
_USERS = (  # name, number of the user and of its group, home
    ("root", 0, "/root"),
    ("daemon", 1, "/usr/sbin"),
    ("bin", 2, "/bin"),
    ("sys", 3, "/dev"),
    ("mail", 8, "/var/mail"),
    ("www-data", 33, "/var/www"),
    ("nobody", 65534, "/home"),
)
_GROUPS = {name: number for name, number, _ in _USERS} | {"adm": 4, "tty": 5, "disk": 6, "wheel": 10, "users": 100}
_PT_LOAD, _PT_INTERP = 1, 3


@record
class Built:
    """An image that is not in the store yet, and its layer's tar."""

    image: store.Image
    tar: bytes


def ensure() -> store.Image:
    """Return the image; make and store it if it is missing. Of several processes at once, only one makes it."""
    with writer.Workspace() as work, store.lock():
        try:
            return store.look(BUSYBOX)
        except NotFound:
            pass
        built = build()
        descriptor = intake.store_plain(io.BufferedReader(io.BytesIO(built.tar)), work)
        work.sync()
        return writer.add(work, *writer.documents(built.image.config, [descriptor]), [BUSYBOX])


def build() -> Built:
    """Make the image in memory. Raises HostError if this host has no static busybox."""
    path, program = _program()
    content = _tar(program, _applets(path))
    descriptor = _descriptor(content)
    diff_id = descriptor["digest"]
    config = {
        "created": EPOCH,
        "architecture": store.architecture(),
        "os": "linux",
        "config": {"Env": [f"PATH={PATH}"], "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": EPOCH, "created_by": "mydocker, from the host's static busybox"}],
    }
    image_id, manifest = (store.digest_of(data) for data in writer.documents(config, [descriptor]))
    return Built(store.Image(image_id, manifest, [BUSYBOX], config, [diff_id], len(content), EPOCH), content)


def _descriptor(content: bytes) -> dict[str, Any]:
    return {"mediaType": store.LAYER, "digest": store.digest_of(content), "size": len(content)}


def _program() -> tuple[str, bytes]:
    """Return (path, content) of the first static busybox on this host."""
    dynamic = ""
    for path in PLACES:
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError:
            continue
        if is_static(content):
            return path, content
        dynamic = path
    why = f"{dynamic} is not a static program" if dynamic else "this host has no busybox"
    raise HostError(f"cannot make the busybox image: {why}", "apt-get install busybox-static")


def is_static(program: bytes) -> bool:
    """True if an ELF file runs without an interpreter, that is, without a dynamic loader (elf(5))."""
    wide, order = program[4:5] == b"\2", "<" if program[5:6] == b"\1" else ">"
    try:
        if program[:4] != b"\x7fELF":
            return False
        (offset,) = struct.unpack_from(f"{order}Q" if wide else f"{order}I", program, 32 if wide else 28)
        size, count = struct.unpack_from(f"{order}2H", program, 54 if wide else 42)
        types = [struct.unpack_from(f"{order}I", program, offset + size * index)[0] for index in range(count)]
    except struct.error:
        return False
    return _PT_LOAD in types and _PT_INTERP not in types


def _applets(path: str) -> list[str]:
    try:
        done = subprocess.run(
            [path, "--list"], env={}, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise HostError(f"cannot make the busybox image: {path} --list: {error}", "reinstall busybox-static") from None
    return sorted(name for name in done.stdout.decode().split() if "/" not in name and name != "busybox")


def _tar(program: bytes, applets: list[str]) -> bytes:
    """Make the layer. Applets are hard links, as in docker's busybox: they need no space, and each can be removed."""
    users = "".join(
        f"{name}:x:{uid}:{uid}:{name}:{home}:/bin/{'sh' if uid == 0 else 'false'}\n" for name, uid, home in _USERS
    )
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:

        def entry(name: str, kind: bytes, mode: int, target: str = "", data: bytes = b"") -> None:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.linkname, info.size = kind, mode, target, len(data)
            archive.addfile(info, io.BytesIO(data))

        for name, mode in _DIRECTORIES.items():
            entry(f"./{name}", tarfile.DIRTYPE, mode)
        entry("./bin/busybox", tarfile.REGTYPE, 0o755, data=program)
        for name in [f"bin/{applet}" for applet in applets] + ["usr/bin/env"]:
            entry(f"./{name}", tarfile.LNKTYPE, 0o755, target="./bin/busybox")
        entry("./etc/group", tarfile.REGTYPE, 0o644, data="".join(f"{n}:x:{g}:\n" for n, g in _GROUPS.items()).encode())
        entry("./etc/passwd", tarfile.REGTYPE, 0o644, data=users.encode())
        entry("./etc/shadow", tarfile.REGTYPE, 0o600, data="".join(f"{user[0]}:*:::::::\n" for user in _USERS).encode())
    return out.getvalue()
