"""The build context and the Dockerfile: a directory, or from stdin an archive or the Dockerfile alone."""

from __future__ import annotations

import io
import os
import sys

from mydocker.engine.build import sweeping
from mydocker.errors import FAILED, InvalidArgument
from mydocker.kernel import files
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.options.build import BuildRequest

_LARGEST = 16 << 20  # bytes of a Dockerfile
_USTAR = slice(257, 262)  # where a tar's first header has its magic
_NAMES = ("Dockerfile", "dockerfile")


@record
class Context:
    """directory: "" if there is none, as the Dockerfile came alone. dockerfile: its text. name: its name for messages.
    ignore: the text of .dockerignore, b"" for none."""

    directory: str
    dockerfile: bytes
    name: str
    ignore: bytes


def load(request: BuildRequest, build: str) -> Context:
    """Find the context and read the Dockerfile. build: the build's ID. Raises InvalidArgument."""
    if request.context == "-":
        return _from_stdin(request, build)
    directory = request.context
    if not os.path.isdir(directory):
        if "://" in directory or directory.startswith("git@"):
            raise _refused(
                f"the context '{directory}' is remote", "get it first: 'git clone', or 'curl … | mydocker build -'"
            )
        raise _refused(f"the context '{directory}' is not a directory", "name a directory, or - for stdin")
    directory = os.path.abspath(directory)
    if request.file == "-":
        return Context(directory, sys.stdin.buffer.read(_LARGEST), "Dockerfile", _ignore(directory, ""))
    path = request.file or next(
        (f"{directory}/{name}" for name in _NAMES if os.path.exists(f"{directory}/{name}")), f"{directory}/Dockerfile"
    )
    if request.file and not os.path.exists(path) and os.path.exists(f"{directory}/{path}"):
        path = f"{directory}/{path}"
    try:
        with open(path, "rb") as file:
            text = file.read(_LARGEST)
    except OSError as error:
        raise _refused(
            f"failed to read dockerfile: {path}: {(error.strerror or str(error)).lower()}", "-f FILE names another"
        ) from None
    return Context(directory, text, os.path.basename(path), _ignore(directory, path))


def _from_stdin(request: BuildRequest, build: str) -> Context:
    if os.isatty(0):
        raise InvalidArgument("stdin is a terminal, not a Dockerfile or an archive", "redirect it, or name a directory")
    from mydocker.image import unpacking
    from mydocker.image.streams import CHUNK, compression, decompressed, with_magic

    with with_magic(io.BufferedReader(io.FileIO(0, closefd=False), CHUNK), _USTAR.stop) as stream:
        head = stream.peek(_USTAR.stop)
        if not compression(head[:6]) and head[_USTAR] != b"ustar":
            return Context("", stream.read(_LARGEST), "Dockerfile", b"")
        directory = f"{sweeping.directory(build)}/context"
        files.make_private(directory)
        with decompressed(stream) as plain:
            unpacking.unpack(plain, directory)
    name = request.file or "Dockerfile"
    text = _read_inside(directory, name)
    if text is None:
        raise _refused(f"failed to read dockerfile: the archive has no {name}", "-f NAME names another in it")
    beside = _read_inside(directory, f"{name}.dockerignore")
    ignore = beside if beside is not None else _read_inside(directory, ".dockerignore")
    return Context(directory, text, os.path.basename(name), ignore or b"")


def _read_inside(directory: str, name: str) -> bytes | None:
    """Read a file of an archive from anybody: a link can't lead out of it."""
    root = os.open(directory, files.DIR)
    try:
        handle = files.open_in_root(root, name, os.O_PATH)
        try:
            descriptor = os.open(f"/proc/self/fd/{handle}", files.REGULAR)
        finally:
            os.close(handle)
        with open(descriptor, "rb") as file:
            files.size_of(descriptor, name)
            return file.read(_LARGEST)
    except OSError:
        return None
    finally:
        os.close(root)


def _ignore(directory: str, dockerfile: str) -> bytes:
    """Read the rules of what the context does not have: those beside the Dockerfile, or else .dockerignore."""
    for path in ([f"{dockerfile}.dockerignore"] if dockerfile else []) + [f"{directory}/.dockerignore"]:
        try:
            with open(path, "rb") as file:
                return file.read(_LARGEST)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise _refused(f"can't read {path}: {(error.strerror or str(error)).lower()}", "") from None
    return b""


def _refused(message: str, hint: str) -> InvalidArgument:
    return InvalidArgument(message, hint, FAILED)
