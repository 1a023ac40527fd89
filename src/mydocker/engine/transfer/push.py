"""Push images: `skopeo copy` from a directory of hard links to the store's blobs. No lock is held meanwhile.

    layers/.new.<random>/push/    manifest.json and the blobs, as skopeo's `dir:` has them

`dir:` takes docker's manifests as well as OCI's and leaves the config as it is, so that the image keeps its ID; a layer
that the store has plain is compressed on the way.
"""

from __future__ import annotations

import errno
import os
import re
import select
import subprocess
from time import monotonic

from mydocker import jsontext
from mydocker.engine.transfer import skopeo
from mydocker.errors import CorruptRecord, NotFound
from mydocker.image import store, writer
from mydocker.kernel import files, process
from mydocker.model.options import references
from mydocker.model.options.references import Reference
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class Watcher(Protocol):
        def begin(self, layers: list[str]) -> None:
            """Called at the start. layers: diff IDs, bottom first."""

        def advance(self, at: int, state: str) -> None:
            """Called for a layer that the registry has now. state: EXISTS or PUSHED."""


EXISTS, PUSHED = "exists", "pushed"
_TICK = 1000  # ms
_CHUNK = 64 << 10
_SKIPPED = re.compile(r"Skipping blob (sha256:[0-9a-f]{64}) \(already present\)")
_UPLOADED = re.compile(r"Upload of layer (sha256:[0-9a-f]{64}) complete")


@record
class Pushed:
    """digest, size: of the manifest that the registry has now."""

    digest: str
    size: int


def names(text: str, all_tags: bool) -> list[Reference]:
    """Return the names to push. all_tags: all of a repository. Raises NotFound if the store has none."""
    reference = references.parse(text)
    if reference.digest:
        raise NotFound(f"'{text}' can't be pushed", "give NAME:TAG: the registry computes the digest")
    known = {name for image in store.images() for name in image.names}
    tagged = [each for each in map(references.parse, sorted(known)) if each.name == reference.name]
    if not tagged:
        raise NotFound(f"an image does not exist locally with the tag: {reference.name}", "see 'mydocker images'")
    if all_tags:
        return tagged
    if reference not in tagged:
        raise NotFound(f"tag does not exist: {reference}", "see 'mydocker images'")
    return [reference]


def push(reference: Reference, watcher: Watcher) -> Pushed:
    """Push one name of the store. Raises NotFound, HostError, CorruptRecord."""
    registry = skopeo.Skopeo(references.host_of(reference.name))
    with writer.Workspace() as work:
        directory = f"{work.path}/push"
        image = _lay_out(reference, directory)
        digests = [row["digest"] for row in store.layer_descriptors(image.manifest)]
        watcher.begin(image.config["rootfs"]["diff_ids"])
        digestfile = f"{work.path}/digest"
        options = [*registry.tls("dest-"), f"--digestfile={digestfile}", f"dir:{directory}", skopeo.address(reference)]
        done: set[str] = set()
        errors = []
        with registry.spawn(
            "copy", options, debug=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        ) as running:
            try:
                for line in _lines(running, registry):
                    if told := _SKIPPED.search(line) or _UPLOADED.search(line):
                        digest = told.group(1)
                        state = EXISTS if told.re is _SKIPPED else PUSHED
                        for at in (at for at, each in enumerate(digests) if each == digest and each not in done):
                            watcher.advance(at, state)
                        done.add(digest)
                    elif "level=fatal" in line:
                        errors.append(line)
                running.wait(registry.patience)
            except BaseException:
                running.kill()
                raise
        if running.returncode:
            raise registry.error("\n".join(errors), str(reference))
        for at in (at for at, each in enumerate(digests) if each not in done):
            watcher.advance(at, PUSHED)
        with open(digestfile) as file:
            digest = file.read().strip()
    pushed = Reference(reference.name, digest=digest)
    size = len(registry.manifest(pushed))
    try:
        writer.note_digest(image.id, str(pushed))
    except NotFound:
        pass  # the image has been removed meanwhile
    return Pushed(digest, size)


def _lay_out(reference: Reference, directory: str) -> store.Image:
    """Make the directory for skopeo, under the store's lock. The blobs stay even if the image is removed."""
    with store.lock(shared=True):
        image = store.look(str(reference))
        manifest = store.manifest_of(image.manifest)
        os.mkdir(directory, 0o700)
        for row in (manifest["config"], *manifest["layers"]):
            _link(store.blob(row["digest"]), f"{directory}/{row['digest'][7:]}")
        if "manifests" in store.json_blob(image.manifest):  # a list that another program brought: one image of it
            files.write_new(f"{directory}/manifest.json", jsontext.dumps(manifest).encode())
        else:
            _link(store.blob(image.manifest), f"{directory}/manifest.json")
    files.write_new(f"{directory}/version", b"Directory Transport Version: 1.1\n")
    return image


def _link(blob: str, place: str) -> None:
    try:
        os.link(blob, place)
    except FileExistsError:
        pass  # a layer that the image has twice
    except FileNotFoundError:
        raise CorruptRecord(f"corrupt image store: {blob} is missing", "pull or import the image again") from None
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        os.symlink(blob, place)  # layers/ is another file system


def _lines(running: subprocess.Popen[bytes], registry: skopeo.Skopeo) -> Iterator[str]:
    """Yield what skopeo says, to its end. Raises HostError if it neither says, reads nor writes anything for long: the
    registry is silent."""
    assert running.stderr is not None
    source = running.stderr.fileno()
    poll = select.poll()
    poll.register(source, select.POLLIN)
    unread, moved, last = b"", -1, monotonic()
    while True:
        if not poll.poll(_TICK):
            now = process.transferred(running.pid)
            if now != moved:
                moved, last = now, monotonic()
            elif monotonic() - last > registry.patience:
                raise registry.silent()
            continue
        data = os.read(source, _CHUNK)
        if not data:
            return
        *lines, unread = (unread + data).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
