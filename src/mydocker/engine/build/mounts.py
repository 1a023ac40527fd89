"""`RUN --mount=`: what is mounted into a step's container, beside its root.

build/mounts/<key>/about.json   a cache mount: its id, and when it was made
build/mounts/<key>/data/        its content
build/mounts/<key>/lock         held by each step that has it mounted; alone with sharing=locked or private
"""

from __future__ import annotations

import os
import posixpath
import stat
from time import time_ns

from mydocker import jsontext
from mydocker.build.instructions import Mount as Requested
from mydocker.engine.build import hashing, layers, sweeping
from mydocker.engine.build.roots import Root
from mydocker.engine.build.steps import Origin, Step
from mydocker.errors import FAILED, InvalidArgument
from mydocker.image import store, writer
from mydocker.image.build_cache import MOUNTS
from mydocker.kernel import files
from mydocker.kernel.locks import NEW_FILE, Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from mydocker.engine.build.stage import Shared
    from mydocker.model.options.mounts import Mount

    Find = Callable[[str], tuple[str, list[str]]]

_SECRETS = "/run/secrets"
_LARGEST_SECRET = 500 << 10  # bytes, as BuildKit's
_SECRET_MODE, _CACHE_MODE, _SCRIPT_MODE = 0o400, 0o755, 0o755
_MANY = 1000  # copies of a private cache


class Mounts:
    """`with Mounts(…) as mounted:` the mounts of one step. facts: what the step's result depends on. prepare() makes
    them ready; then `mounts` and `env` are for its container. At the end the locks of caches are released."""

    def __init__(self, requested: list[Requested], shared: Shared, find: Find) -> None:
        self._requested, self._shared, self._find = requested, shared, find
        self._scripts: list[tuple[str, str]] = []
        self._locks: list[Lock] = []
        self._secrets: list[str] = []
        self._bound: list[tuple[Requested, Step | None]] = []
        self.mounts: list[Mount] = []
        self.env: list[str] = []
        self.facts: list[Any] = []

    def __enter__(self) -> Mounts:
        self._work = writer.Scratch()
        try:
            for number, mount in enumerate(self._requested):
                self._note(number, mount)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for lock in self._locks:
            lock.release()
        self._work.__exit__()
        for path in self._secrets:
            files.remove_tree(path)

    def add_script(self, path: str, text: str) -> None:
        """Mount a heredoc that is a script."""
        self._scripts.append((path, text))

    def _note(self, number: int, mount: Requested) -> None:
        """Add what the result depends on: of a bind mount its content; of the others only how they are mounted."""
        if mount.type == "ssh":
            raise _refused("--mount=type=ssh is not supported", "give the key by --mount=type=secret")
        step = None
        content = ""
        if mount.type == "bind" or (mount.type == "cache" and mount.from_stage):
            step = self._copy_of(number, mount)
            content = hashing.digest(step) if mount.type == "bind" else ""
        shown = {key: value for key, value in mount.__dict__.items() if key not in ("from_stage", "source")}
        self.facts.append({**shown, "content": content})
        self._bound.append((mount, step))

    def _copy_of(self, number: int, mount: Requested) -> Step:
        """Plan the copy of a mount's source: the container sees a snapshot, and can't change the source."""
        origin = self._shared.origin
        if mount.from_stage:
            name, chain = self._find(mount.from_stage)
            directory = f"{self._work.path}/from-{number}"
            os.mkdir(directory, 0o700)
            driver = self._shared.driver
            origin = Origin(name, root=Root(driver, directory, layers.stack(chain, driver)))
        return Step(origin, [posixpath.normpath(f"/{mount.source}").lstrip("/") or "."], "/content")

    # --- making them ready --------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        for number, (mount, step) in enumerate(self._bound):
            if mount.type == "tmpfs":
                size = [f"size={mount.size}"] if mount.size else []
                self._add("tmpfs", "", mount.target, False, ["nosuid", *size])
            elif mount.type == "secret":
                self._secret(number, mount)
            elif mount.type == "cache":
                self._add("bind", self._cache(number, mount, step), mount.target, mount.read_only)
            elif step:
                self._add("bind", self._copied(f"bind-{number}", step), mount.target, mount.read_only)
        for number, (path, text) in enumerate(self._scripts):
            source = f"{self._work.path}/script-{number}"
            files.write_new(source, text.encode("utf-8", "surrogateescape"), _SCRIPT_MODE)
            self._add("bind", source, path, True)

    def _add(self, kind: str, source: str, target: str, read_only: bool, options: list[str] | None = None) -> None:
        if options is None:
            options = []
        self.mounts.append(
            {
                "type": kind,
                "source": source,
                "target": "/" + posixpath.normpath(target).lstrip("/"),
                "read_only": read_only,
                "recursive": False,
                "propagation": "rprivate",
                "copy": False,
                "anonymous": False,
                "options": options,
                "option": "mount",
                "mode": "",
            }
        )

    def _copied(self, name: str, step: Step) -> str:
        """Copy a source. Returns the path of the copy."""
        from mydocker.engine.build import copying

        directory = f"{self._work.path}/{name}"
        os.mkdir(directory, 0o700)
        driver = self._shared.driver
        copying.apply(step, Root(driver, directory, layers.stack([], driver)))
        return f"{driver.upper(directory) or f'{directory}/rootfs'}/content"

    def _secret(self, number: int, mount: Requested) -> None:
        secret = next((each for each in self._shared.request.secrets if each.id == mount.id), None)
        content = _content(secret) if secret else None
        if content is None:
            if mount.required:
                raise _refused(f"secret {mount.id}: not found", f"--secret id={mount.id},src=FILE")
            return
        if mount.env:
            self.env.append(f"{mount.env}={content.decode('utf-8', 'surrogateescape')}")
            if not mount.target:
                return
        mode = _SECRET_MODE if mount.mode is None else mount.mode
        path = sweeping.make_secret(self._shared.id, number, content, mode, mount.uid or 0, mount.gid or 0)
        self._secrets.append(path)
        self._add("bind", path, mount.target or f"{_SECRETS}/{mount.id}", True)

    def _cache(self, number: int, mount: Requested, step: Step | None) -> str:
        """Lock a cache mount, and make it if it is new. Returns the path of its content."""
        base = mount.id or posixpath.normpath(f"/{mount.target}")
        facts = [base, step.origin.name if step else "", mount.source if step else "", mount.uid, mount.gid, mount.mode]
        for copy in range(_MANY if mount.sharing == "private" else 1):
            key = store.digest_of(jsontext.dumps([*facts, copy]).encode("utf-8", "surrogateescape"))[7:]
            directory = f"{MOUNTS}/{key}"
            try:
                lock = _lock(directory, mount.sharing)
            except BlockingIOError:
                continue
            self._locks.append(lock)
            data = f"{directory}/data"
            if not os.path.isdir(data):
                self._fill(number, mount, step, data)
            about = {"id": base, "created": time_ns()}
            files.write_atomic(f"{directory}/about.json", jsontext.dumps(about).encode())
            return data
        raise _refused(f"the cache mount {base} is in use {_MANY} times", "wait for the other builds")

    def _fill(self, number: int, mount: Requested, step: Step | None, data: str) -> None:
        """Make the content of a new cache mount: empty, or a copy of its source."""
        if step:
            source = self._copied(f"cache-{number}", step)
            if not stat.S_ISDIR(os.stat(source).st_mode):
                raise _refused(f"the source of the cache mount {mount.target} is not a directory", "")
        else:
            source = f"{self._work.path}/cache-{number}"
            os.mkdir(source)
        os.chown(source, mount.uid or 0, mount.gid or 0)
        os.chmod(source, _CACHE_MODE if mount.mode is None else mount.mode)
        with store.lock():
            if not os.path.isdir(data):  # else another build was quicker, and its step may be writing there
                os.rename(source, data)


def _lock(directory: str, sharing: str) -> Lock:
    """Lock a cache mount, and make its directory if it is new. Raises BlockingIOError if a private one is in use."""
    path = f"{directory}/lock"
    while True:
        files.make_private(directory)
        try:
            if sharing == "private":
                return Lock(path, NEW_FILE, wait=0)
            return Lock(path, NEW_FILE, shared=sharing != "locked", wait=None)
        except FileNotFoundError:
            continue  # pruned meanwhile


def _content(secret: Any) -> bytes | None:
    """Return the secret; None for a variable that is not set. Raises InvalidArgument."""
    if secret.variable:
        value = os.environ.get(secret.variable)
        return None if value is None else value.encode("utf-8", "surrogateescape")
    try:
        with open(secret.file, "rb") as file:
            content = file.read(_LARGEST_SECRET + 1)
    except OSError as error:
        raise _refused(f"secret {secret.id}: can't read {secret.file}: {(error.strerror or '').lower()}", "") from None
    if len(content) > _LARGEST_SECRET:
        raise _refused(f"secret {secret.id} is too large: {secret.file}", f"up to {_LARGEST_SECRET >> 10} KB")
    return content


def _refused(message: str, hint: str) -> InvalidArgument:
    return InvalidArgument(message, hint, FAILED)
