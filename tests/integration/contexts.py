"""The build context of the corpus of Dockerfiles (test_build_corpus.py)."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import tarfile
import zipfile

FILES = {
    "a.txt": "A\n", "b.txt": "B\n", ".dot": "D\n", "d/x": "X\n", "d/sub/y": "Y\n", "d/.h": "H\n",
    "withlinks/t": "T\n", "sp ace.txt": "S\n", "[br].txt": "br\n", "exe": "e\n", "ro": "r\n", "suid": "s\n",
    "owned": "o\n", "mdir/f": "f\n", "hl1": "h\n", "nottar.tar": "not a tar\n", "tdir/.k": "k",
}  # fmt: skip
LINKS = {
    "flink": "a.txt", "dlink": "d", "badlink": "nope", "abslink": "/a.txt", "uplink": "../../etc/passwd",
    "withlinks/l": "t", "withlinks/abs": "/etc/passwd", "withlinks/bad": "nope", "withlinks/dl": "../d",
    "tarlink": "t.tar",
}  # fmt: skip
MODES = {"exe": 0o755, "ro": 0o400, "suid": 0o4755, "mdir": 0o2711}


def write_files(root: str, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = f"{root}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(content)


def make_context(root: str, time: int) -> None:
    """Make the files. time: of all of them, in seconds."""
    write_files(root, FILES)
    for name, target in LINKS.items():
        os.symlink(target, f"{root}/{name}")
    os.mkdir(f"{root}/empty")
    os.link(f"{root}/hl1", f"{root}/hl2")
    os.chown(f"{root}/owned", 1234, 1235)
    for name, mode in MODES.items():
        os.chmod(f"{root}/{name}", mode)
    for ending, how in {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}.items():
        _archive(f"{root}/t.{ending}", how, time)
    subprocess.run(["zstd", "-qf", f"{root}/t.tar", "-o", f"{root}/t.tar.zst"], check=True)
    with zipfile.ZipFile(f"{root}/t.zip", "w") as file:
        file.writestr("zf", "z")
    with gzip.open(f"{root}/plain.gz", "w") as file:
        file.write(b"plain\n")
    shutil.copy(f"{root}/t.tar.gz", f"{root}/tarnoext")
    shutil.copy(f"{root}/t.tar", f"{root}/tdir/in.tar")
    tarfile.open(f"{root}/empty.tar", "w").close()
    for top, directories, names in os.walk(root):
        for name in directories + names:
            os.utime(f"{top}/{name}", (time, time), follow_symlinks=False)


def _archive(path: str, how: str, time: int) -> None:
    with tarfile.open(path, how) as tar:
        for name, kind, mode, content in (
            ("td", tarfile.DIRTYPE, 0o750, b""),
            ("td/f", tarfile.REGTYPE, 0o640, b"new\n"),
            ("l", tarfile.SYMTYPE, 0o644, b""),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.mtime, entry.size = kind, mode, time, len(content)
            entry.linkname = "td/f" if kind == tarfile.SYMTYPE else ""
            if kind != tarfile.SYMTYPE:
                entry.uid, entry.gid = 7, 8
            tar.addfile(entry, io.BytesIO(content))
