"""The commands on images: images, tag, rmi, import, commit, export.

The last three import the modules that only they need in their functions, so that the others are as quick as ps.
"""

from __future__ import annotations

import os
import sys

from mydocker import jsontext, state
from mydocker.engine import listing
from mydocker.errors import Conflict, HostError, InvalidArgument, MydockerError, NotFound, from_details
from mydocker.image import lookup, sizes, store, writer
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
    """List the images, the newest first, each with the names that match. pattern: NAME or NAME:TAG, with wildcards.
    filters: KEY=VALUE as typed."""
    selected = store.images()
    selections = [_filter(text) for text in filters]
    if pattern:
        selections.append(lambda image: _only_named(image, pattern))
    for select in selections:
        selected = [image for image in map(select, selected) if image is not None]
    return selected


def size(image: store.Image) -> int:
    """Return the bytes of an image's files as docker counts them."""
    return sizes.of_image(image)


def _filter(text: str) -> Callable[[store.Image], store.Image | None]:
    key, equals, value = text.partition("=")
    key, value = key.strip().lower(), value.strip()
    if not equals or key not in FILTERS or (key == "dangling" and value not in ("true", "false", "1", "0")):
        raise listing.invalid(text, f"KEY=VALUE, with {', '.join(FILTERS)} as the key")
    if key == "reference":
        return lambda image: _only_named(image, value)
    if key == "dangling":
        return lambda image: image if (not image.names) == (value in ("true", "1")) else None
    if key == "label":
        return lambda image: image if listing.has_label(image.labels, value) else None
    created = store.resolve(value).created
    if key == "before":
        return lambda image: image if image.created < created else None
    return lambda image: image if image.created > created else None


def _only_named(image: store.Image, pattern: str) -> store.Image | None:
    plain = references.familiar(pattern)
    names = [name for name in image.names if _matches(name, plain) or _matches(_without_tag(name), plain)]
    return store.Image(**{**image.__dict__, "names": names}) if names else None


def _matches(name: str, pattern: str) -> bool:
    """Compare part by part: as in docker, no wildcard matches a slash."""
    from fnmatch import fnmatchcase

    parts, patterns = name.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _without_tag(name: str) -> str:
    return name.rpartition(":")[0]


def tag(source: str, target: str) -> None:
    name = _new_name(target)
    writer.tag(lookup.find(source).id, name)


def remove(reference: str, force: bool) -> list[str]:
    """Remove a name or an image. Returns docker's lines, `Untagged: …` and `Deleted: …`. Raises Conflict if a container
    uses the image."""
    try:
        return writer.remove(reference, force, _users)
    except NotFound as error:
        error.hint = "see 'mydocker images'"  # instead of the commands that get an image
        raise


def _users() -> list[writer.User]:
    return [writer.User(each.id, each.image_id, each.layers, each.is_active()) for each in state.containers()]


def import_image(file: str, name: str, changes: list[str], message: str, platform: str = "") -> str:
    """Make an image of a root file system's tar. file: its path, or - for stdin. name: "" for none. Returns its ID."""
    import io

    if platform:
        from mydocker.image.platform import check

        check(platform)

    from mydocker.image import archive

    if file == "-" and os.isatty(0):
        raise InvalidArgument("stdin is a terminal, not a tar archive", "name a file, or redirect stdin")
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
    """Make an image of a container's changes. Returns its ID, and warnings for the user, as on files that were left out
    because a layer can't hold them. output: a file that also gets the root file system as a tar. pause: a warning says
    that a running container is not paused.

    Without `name`, `container` is a container, whose image gets no name; or, if only one container is running, the name
    for its image.
    """
    from mydocker.image import archive
    from mydocker.image.changes import apply_changes
    from mydocker.image.drivers import choice

    source, new_name = _to_commit(container, name)
    try:
        parent = store.resolve(source.image_id)
    except NotFound:
        hint = f"'mydocker export {source.name} | mydocker import -' keeps its files"
        raise Conflict(f"the image of container {source.name} has been removed", hint) from None
    driver = choice.named(source.driver)
    config = apply_changes(_config(source, parent), changes)
    warnings: list[str] = []
    image = archive.commit(
        lambda out: warnings.extend(driver.changes(source.directory, source.layers, out)),
        parent,
        new_name,
        config,
        " ".join(source.command),
        author,
        message,
    )
    if output:
        warnings += export(source.id, output)
    if pause and state.is_running(source):
        warnings.insert(0, f"container {source.name} was not paused: the image may have only a part of recent writes")
    return image.id, warnings


def _to_commit(container: str, name: str | None) -> tuple[Container, str]:
    """Return (the container, the image's name) for commit's arguments."""
    try:
        return state.find(container), _new_name(name) if name else ""
    except NotFound:
        running = [each for each in state.readable() if state.is_running(each)]
        if name or len(running) != 1:
            raise
        return running[0], _new_name(container)


def _config(container: Container, parent: store.Image) -> dict[str, Any]:
    """Make the image config for more containers like this one."""
    from mydocker.engine import bundle

    request = bundle.load_request(container)
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
    """Normalise a new name for an image. Raises InvalidArgument for a digest."""
    name = references.normalise(text)
    if "@" in name or name.startswith("sha256:"):
        raise InvalidArgument(f"'{text}' is not a name for an image", "give NAME:TAG: a digest is computed")
    return name


# --- export -----------------------------------------------------------------------------------------------------------


def export(container: str, output: str) -> list[str]:
    """Write a running or stopped container's root file system as a tar, without what is mounted in it. output: a file,
    replaced when the tar is complete; "" for stdout. Returns a sentence for each file that was left out."""
    source = state.find(container)
    if not output:
        sys.stdout.flush()
        return _export(source, 1)
    # The tar is written into a device or FIFO; a file is replaced at the end.
    special = os.path.exists(output) and not os.path.isfile(output)
    path = output if special else f"{output}.{os.urandom(6).hex()}"
    try:
        descriptor = os.open(path, os.O_WRONLY | (0 if special else os.O_CREAT | os.O_EXCL) | os.O_CLOEXEC, 0o600)
        try:
            left_out = _export(source, descriptor)
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


def _export(container: Container, descriptor: int) -> list[str]:
    """Write the tar in a child with its own mount namespace, so that the root's mount always ends with the child."""
    from mydocker.image import packing
    from mydocker.image.drivers import choice
    from mydocker.trace import Trace

    driver = choice.named(container.driver)
    driver.prepare(container.directory, container.layers)

    def write() -> list[str]:
        trace = Trace("container")
        trace.run([Unshare(["mount"]), SetPropagation("/", "private")])
        trace.run(driver.view_ops(container.directory, container.layers))
        with open(descriptor, "wb", _CHUNK, closefd=False) as out:
            return packing.pack(f"{container.directory}/rootfs", out)

    return _in_child(write)


def _in_child(work: Callable[[], list[str]]) -> list[str]:
    """Call `work` in a child process, which ends with this one at the latest. Raises MydockerError for its errors."""
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
        with open(reader, "rb") as pipe:
            answer = pipe.read()
    except BaseException:
        os.kill(child, SIGKILL)
        raise
    finally:
        status = os.waitpid(child, 0)[1]
    if not answer:
        raise HostError("export was cut short: its process was killed")
    outcome = jsontext.loads(answer)
    if status:
        raise from_details(outcome["error"])
    result: list[str] = outcome["result"]
    return result
