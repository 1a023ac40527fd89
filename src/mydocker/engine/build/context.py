"""The build context and the Dockerfile: a directory, or from stdin an archive or the Dockerfile alone."""

from __future__ import annotations

import io
import os

from mydocker.engine.build import sweeping
from mydocker.errors import FAILED, InvalidArgument
from mydocker.kernel import files
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.model.options.build import BuildRequest

_LARGEST = 16 << 20  # bytes of a Dockerfile or .dockerignore
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
        return Context(directory, _read(os.dup(0), "Dockerfile"), "Dockerfile", _ignore(directory, ""))
    path = request.file or next(
        (f"{directory}/{name}" for name in _NAMES if os.path.exists(f"{directory}/{name}")), f"{directory}/Dockerfile"
    )
    if request.file and not os.path.exists(path) and os.path.exists(f"{directory}/{path}"):
        path = f"{directory}/{path}"
    try:
        # A file that is named may be a pipe or a terminal; one that lies in the context, from anybody, may not.
        text = _read(os.open(path, os.O_RDONLY | os.O_CLOEXEC), path) if request.file else _read_regular(None, path)
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
            return Context("", _checked(stream.read(_LARGEST + 1), "Dockerfile"), "Dockerfile", b"")
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
        return _read_regular(root, name)
    except OSError:
        return None
    finally:
        os.close(root)


def _ignore(directory: str, dockerfile: str) -> bytes:
    """Read the rules of what the context does not have: those beside the Dockerfile, or else .dockerignore."""
    for path in ([f"{dockerfile}.dockerignore"] if dockerfile else []) + [f"{directory}/.dockerignore"]:
        try:
            return _read_regular(None, path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise _refused(f"can't read {path}: {(error.strerror or str(error)).lower()}", "") from None
    return b""


def _read_regular(root: int | None, path: str) -> bytes:
    """Read a regular file, of a root if one is given. Any other is not opened: a FIFO would block, a device may act."""
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC) if root is None else files.open_in_root(root, path, os.O_PATH)
    try:
        files.size_of(handle, path)
        return _read(os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC), path)
    finally:
        os.close(handle)


def _read(descriptor: int, path: str) -> bytes:
    with open(descriptor, "rb") as file:
        return _checked(file.read(_LARGEST + 1), path)


def _checked(data: bytes, path: str) -> bytes:
    """Refuse what would be cut off: of .dockerignore, that could be the rules that keep secrets out."""
    if len(data) > _LARGEST:
        raise _refused(f"{path} has more than {_LARGEST >> 20} MB", "")
    return data


def _refused(message: str, hint: str) -> InvalidArgument:
    return InvalidArgument(message, hint, FAILED)
