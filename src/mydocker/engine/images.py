"""The commands on images: images, tag, rmi, import, commit, export.

What only the last three need is imported there: the others are to be as quick as ps.
"""

from __future__ import annotations

import os
import sys

from mydocker import jsontext, state
from mydocker.engine import listing
from mydocker.errors import Conflict, HostError, InvalidArgument, MydockerError, NotFound, from_details
from mydocker.image import lookup, store, writer
from mydocker.kernel import files
from mydocker.model.options import references
from mydocker.ops.namespaces import Unshare
from mydocker.ops.rootfs import SetPropagation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from mydocker.model.container import Container

_CHUNK = 1 << 20
FILTERS = ("dangling", "label", "before", "since", "reference")


def images(pattern: str | None, filters: list[str]) -> list[store.Image]:
    """The images, the newest first, each with the names that fit. pattern: NAME or NAME:TAG, with wildcards.
    filters: KEY=VALUE as typed."""
    found = store.images()
    wanted = [_filter(text, found) for text in filters]
    if pattern:
        wanted.append(lambda image: _only_named(image, pattern))
    for keep in wanted:
        found = [image for image in map(keep, found) if image is not None]
    return found


def _filter(text: str, found: list[store.Image]) -> Callable[[store.Image], store.Image | None]:
    key, equals, value = text.partition("=")
    key, value = key.strip().lower(), value.strip()
    if not equals or key not in FILTERS or (key == "dangling" and value not in ("true", "false", "1", "0")):
        raise listing.invalid(text, f"KEY=VALUE, with {', '.join(FILTERS)} as the key")
    if key == "reference":
        return lambda image: _only_named(image, value)
    if key == "dangling":
        return lambda image: image if (not image.names) == (value in ("true", "1")) else None
    if key == "label":
        return lambda image: image if listing.has_label(_labels(image), value) else None
    created = store.resolve(value).created
    if key == "before":
        return lambda image: image if image.created < created else None
    return lambda image: image if image.created > created else None


def _only_named(image: store.Image, pattern: str) -> store.Image | None:
    plain = references.familiar(pattern)
    names = [name for name in image.names if _fits(name, plain) or _fits(_bare(name), plain)]
    return store.Image(**{**image.__dict__, "names": names}) if names else None


def _fits(name: str, pattern: str) -> bool:
    """Part by part: as in docker, no wildcard stands for a slash."""
    from fnmatch import fnmatchcase

    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _bare(name: str) -> str:
    return name.rpartition(":")[0]


def _labels(image: store.Image) -> dict[str, str]:
    return (image.config.get("config") or {}).get("Labels") or {}


def tag(source: str, target: str) -> None:
    name = _new_name(target)
    writer.tag(lookup.find(source).id, name)


def remove(reference: str, force: bool) -> list[str]:
    """docker's lines, `Untagged: …` and `Deleted: …`. Raises Conflict where a container uses the image."""
    try:
        return writer.remove(reference, force, _users)
    except NotFound as error:
        error.hint = "see 'mydocker images'"  # nobody gets an image to remove it
        raise


def _users() -> list[writer.User]:
    return [writer.User(each.id, each.image_id, each.layers, each.is_active()) for each in state.containers()]


def import_image(file: str, name: str, changes: list[str], message: str, platform: str = "") -> str:
    """Make an image of a root file system's tar. file: its path, or - for stdin. name: "" for none. The image's ID."""
    import io

    if platform:
        from mydocker.image.platform import check

        check(platform)

    from mydocker.image import archive

    if file == "-" and os.isatty(0):
        raise InvalidArgument("import reads a tar, and stdin is a terminal", "name a file, or redirect it")
    new_name = _new_name(name) if name else ""
    try:
        source = io.FileIO(0, closefd=False) if file == "-" else io.FileIO(file)
    except OSError as error:
        raise HostError(f"can't read {file}: {error.strerror}", "give a tar file, or - for stdin") from None
    with io.BufferedReader(source, _CHUNK) as stream:
        return archive.import_image(stream, new_name, changes, message).id


def commit(
    container: str, name: str | None, changes: list[str], message: str, author: str, output: str, pause: bool
) -> tuple[str, list[str]]:
    """Make an image of a container's changes. Returns its ID, and sentences that a person should see, on what a layer
    can't hold and was left out. output: a file that also gets its root file system as a tar. pause: asked for, which
    only a container that does not run is.

    With one word only it is a container, whose image gets no name, or, while only one container runs, the image's name.
    """
    from mydocker.image import archive
    from mydocker.image.changes import apply_changes
    from mydocker.image.drivers import choice

    found, new_name = _to_commit(container, name)
    try:
        parent = store.resolve(found.image_id)
    except NotFound:
        hint = f"'mydocker export {found.name} | mydocker import -' keeps its files"
        raise Conflict(f"the image of container {found.name} has been removed", hint) from None
    driver = choice.named(found.driver)
    config = apply_changes(_config(found, parent), changes)
    left_out: list[str] = []
    made = archive.commit(
        lambda out: left_out.extend(driver.changes(found.directory, found.layers, out)),
        parent,
        new_name,
        config,
        " ".join(found.command),
        author,
        message,
    )
    if output:
        left_out += export(found.id, output)
    if pause and state.is_running(found):
        left_out.insert(0, f"container {found.name} was not paused: what it wrote meanwhile is in the image in part")
    return made.id, left_out


def _to_commit(container: str, name: str | None) -> tuple[Container, str]:
    try:
        return state.find(container), _new_name(name) if name else ""
    except NotFound:
        running = [found for found in state.readable() if state.is_running(found)]
        if name or len(running) != 1:
            raise
        return running[0], _new_name(container)


def _config(found: Container, parent: store.Image) -> dict[str, Any]:
    """The image config that makes another container like this one."""
    from mydocker.engine import bundle

    request = bundle.load_request(found)
    own: dict[str, Any] = {
        "Env": [row for row in request.env if "=" in row],
        "Entrypoint": request.entrypoint,
        "Cmd": request.command,
        "User": request.user,
        "WorkingDir": request.workdir,
        "Labels": request.labels,
        "ExposedPorts": {port: {} for port in request.exposed_ports},
        "StopSignal": request.stop_signal,
    }
    return {key: value for key, value in {**(parent.config.get("config") or {}), **own}.items() if value}


def _new_name(text: str) -> str:
    """A name that an image is to get, normalised."""
    name = references.normalise(text)
    if "@" in name or name.startswith("sha256:"):
        raise InvalidArgument(f"'{text}' is no name for an image", "a digest is not given but computed")
    return name


# --- export -----------------------------------------------------------------------------------------------------------


def export(container: str, output: str) -> list[str]:
    """Write a container's root file system as a tar, without what is mounted in it, whether it runs or not.
    output: a file, replaced when the tar is whole; "" for stdout. Returns what was left out, a sentence each."""
    found = state.find(container)
    if not output:
        sys.stdout.flush()
        return _export(found, 1)
    # A device or FIFO is written to; a file is replaced at the end.
    special = os.path.exists(output) and not os.path.isfile(output)
    path = output if special else f"{output}.{os.urandom(6).hex()}"
    try:
        descriptor = os.open(path, os.O_WRONLY | (0 if special else os.O_CREAT | os.O_EXCL) | os.O_CLOEXEC, 0o600)
        try:
            left_out = _export(found, descriptor)
        finally:
            os.close(descriptor)
        if not special:
            os.rename(path, output)
        return left_out
    except OSError as error:
        raise HostError(f"can't write {output}: {error.strerror}", "give another -o FILE") from None
    finally:
        if not special and os.path.lexists(path):
            os.unlink(path)


def _export(found: Container, descriptor: int) -> list[str]:
    """In a child with a mount namespace of its own, so that the view of the root is gone with it, whatever happens."""
    from mydocker.image import packing
    from mydocker.image.drivers import choice
    from mydocker.trace import Trace

    driver = choice.named(found.driver)
    driver.prepare(found.directory, found.layers)

    def write() -> list[str]:
        trace = Trace("container")
        trace.run([Unshare(["mount"]), SetPropagation("/", "private")])
        trace.run(driver.view_ops(found.directory, found.layers))
        with open(descriptor, "wb", _CHUNK, closefd=False) as out:
            return packing.pack(f"{found.directory}/rootfs", out)

    return _in_child(write)


def _in_child(work: Callable[[], list[str]]) -> list[str]:
    """Call it in a child process, which doesn't outlive this one. Raises MydockerError for what it raises."""
    from signal import SIGKILL

    from mydocker.kernel import process

    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            process.die_with_parent()
            done = {"result": work()}
            files.write_all(writer, jsontext.dumps(done).encode())
            status = 0
        except MydockerError as error:
            os.write(writer, jsontext.dumps({"error": error.details()}).encode())
        except Exception as error:
            os.write(writer, jsontext.dumps({"error": HostError(f"export: {error}").details()}).encode())
        finally:
            os._exit(status)
    os.close(writer)
    try:
        with open(reader, "rb") as answer:
            said = answer.read()
    except BaseException:
        os.kill(child, SIGKILL)
        raise
    finally:
        status = os.waitpid(child, 0)[1]
    if not said:
        raise HostError("export was cut short: its process was killed")
    found = jsontext.loads(said)
    if status:
        raise from_details(found["error"])
    result: list[str] = found["result"]
    return result
