"""From a request to a container on disk: its bundle (config.json), its record, its writable layer. Nothing runs yet."""

from __future__ import annotations

import os

from mydocker import config, jsontext, paths, state
from mydocker.engine import filters, host, volumes
from mydocker.engine.bundle import load_spec
from mydocker.engine.network import endpoints
from mydocker.errors import Conflict, HostError, InvalidArgument, NotFound
from mydocker.image import lookup, store
from mydocker.image.drivers import choice
from mydocker.kernel import cgroups
from mydocker.kernel.files import open_in_root, write_new
from mydocker.model.container import Container
from mydocker.model.network import with_hostname
from mydocker.model.oci import spec
from mydocker.model.oci.annotations import DRIVER, FILL, LAYERS
from mydocker.model.options import names, references, request, signals
from mydocker.record import record
from mydocker.runtime import limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.image.store import Image
    from mydocker.kernel.locks import Lock
    from mydocker.model.host import HostFacts
    from mydocker.runtime.plan import Plan

_STOP_TIMEOUT = 10  # seconds, docker's
_ATTEMPTS = 100


@record
class Draft:
    """A container that is only planned. spec: its config.json to be. program: its seccomp filter, compiled. notes:
    lines that a person should see."""

    id: str
    request: request.CreateRequest
    image: Image
    driver: Any
    spec: dict[str, Any]
    program: bytes
    volumes: dict[str, bool]  # name -> whether it is the container's alone
    notes: list[str] = []

    @property
    def directory(self) -> str:
        return paths.container(self.id)

    def plan(self) -> Plan:
        """What a start would do now, for --dry-run."""
        from mydocker.runtime.plan import plan

        wanted = self.request
        name, attachments = wanted.name or self.id[:12], endpoints.imagined(self.id, wanted)
        made = plan(
            self.spec, self.directory, cgroups.layout(), name=name, attachments=attachments, program=self.program
        )
        if attachments:
            from mydocker.engine.network import lifecycle

            made.bridges = [op for network, _ in attachments.endpoints for op in lifecycle.bring_up_plan(network)]
        return made


def draft(asked: request.CreateRequest, facts: HostFacts) -> Draft:
    """Everything that can be wrong with a request comes out here, before anything has changed, but for the busybox
    image, which is made if it is not there yet."""
    images: dict[str, Image] = {}

    def is_image(word: str) -> bool:
        try:
            images[word] = lookup.find(word, make=not asked.dry_run)
        except NotFound:
            return False
        return True

    name, command = request.resolve_words(asked.words, is_image, _is_default_command, store.how_to_get)
    image = images.get(name) or lookup.find(name, make=not asked.dry_run)
    wanted = request.complete(asked, name, command, image.config.get("config") or {})
    if asked.platform:
        from mydocker.image import platform

        platform.check_image(asked.platform, name, image)
    notes = [*_busybox_note(wanted), *endpoints.check(wanted)]
    shared = _shared(wanted)
    container_id = os.urandom(32).hex()
    settings = config.load()
    driver, _ = choice.choose(settings["storage_driver"], try_it=not asked.dry_run)
    own = {mount["source"]: mount["anonymous"] for mount in wanted.mounts if mount["type"] == "volume"}
    sources = {name: volumes.path(name) for name in own}
    for mount in wanted.mounts:
        if mount["type"] == "bind" and mount["option"] == "mount" and not os.path.exists(mount["source"]):
            raise InvalidArgument(
                f"bind source '{mount['source']}' does not exist", "make it, or use -v, which makes it"
            )
    nodes = host.nodes(wanted.devices, wanted.privileged)
    directory, parent = paths.container(container_id), settings["cgroup_parent"]
    bundle = spec.build(wanted, container_id, directory, facts, sources, nodes, shared, parent)
    bundle["annotations"].update(
        {
            DRIVER: driver.name,
            LAYERS: ",".join(image.layers),
            FILL: jsontext.dumps([mount["target"] for mount in wanted.mounts if mount["copy"]]),
        }
    )
    limits.files(bundle["linux"]["resources"], cgroups.layout())  # one that this machine can't give is an error now
    return Draft(container_id, wanted, image, driver, bundle, filters.program(bundle), own, notes)


def _busybox_note(wanted: request.CreateRequest) -> list[str]:
    """The note on a command that could have been meant as an image: `run httpd` starts busybox's."""
    word = wanted.words[0]
    if word == wanted.image or word.startswith("/"):
        return []
    return [f"there is no image '{word}' here: the command '{word}' runs in {wanted.image}"]


def _shared(wanted: request.CreateRequest) -> tuple[str, str, str] | None:
    """--net container:NAME: name, host name and directory of that container. Its ID takes the name's place."""
    kind, colon, name = wanted.network.partition(":")
    if not colon:
        return None
    other = state.find(name)
    if other.network == "host" or other.network.startswith("container:"):
        raise InvalidArgument(f"container {other.name} has no network of its own", "share that of one that has")
    wanted.network = f"{kind}:{other.id}"
    return other.name, load_spec(other).get("hostname", ""), other.directory


def _is_default_command(word: str) -> bool:
    """Whether the default image has an executable of that name in its PATH."""
    image = lookup.find(references.BUSYBOX)
    rows = (image.config.get("config") or {}).get("Env") or []
    path = next((row[5:] for row in rows if row.startswith("PATH=")), spec.PATH)
    candidates = [word] if "/" in word else [f"{directory}/{word}" for directory in path.split(":")]
    for layer in image.layers:
        root = os.open(paths.layer(layer), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for candidate in candidates:
                try:
                    os.close(open_in_root(root, candidate, os.O_PATH))
                    return True
                except OSError:
                    continue
        finally:
            os.close(root)
    return False


def create(made: Draft) -> Container:
    """Write the draft to disk; state.fsync_new() makes it durable. Raises Conflict if the name is taken. After an error
    nothing is left."""
    wanted = made.request
    cidfile = _claim_cidfile(wanted.cidfile)
    try:
        name, lock = _reserve(made.id, wanted.name)
        with lock:
            try:
                with store.keep(made.image):
                    found = _write(made, name)
                state.commit(made.id)
            except BaseException:
                state.remove(made.id, name, [name for name, anonymous in made.volumes.items() if anonymous])
                raise
    except BaseException:
        if cidfile >= 0:
            os.unlink(wanted.cidfile)
        raise
    finally:
        if cidfile >= 0:
            os.write(cidfile, made.id.encode())
            os.close(cidfile)
    return found


def _claim_cidfile(path: str) -> int:
    """A descriptor of the new file, -1 if none is wanted."""
    if not path:
        return -1
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        raise Conflict(f"the container ID file {path} exists", "remove it, or give another") from None
    except OSError as error:
        raise HostError(f"can't write {path}: {os.strerror(error.errno or 0)}", "give another --cidfile") from None


def _reserve(container_id: str, asked: str) -> tuple[str, Lock]:
    """The name that it got, and the lock on it: `asked`, or one of 9,000 made-up names, or one with a number."""
    if asked:
        return asked, state.reserve(container_id, asked)
    for attempt in range(_ATTEMPTS):
        name = names.random_name() + (str(attempt) if attempt > _ATTEMPTS // 2 else "")
        try:
            return name, state.reserve(container_id, name)
        except Conflict:
            continue
    raise Conflict("no free name was found", "give one with --name")


def _write(made: Draft, name: str) -> Container:
    wanted, directory, image = made.request, state.staging_dir(made.id), made.image
    for volume, anonymous in made.volumes.items():
        volumes.ensure(volume, anonymous=anonymous)
    for mount in wanted.mounts:
        if mount["type"] == "bind" and mount["option"] == "volume" and not os.path.exists(mount["source"]):
            os.makedirs(mount["source"], 0o755)  # as docker does for -v
    made.driver.prepare(directory, image.layers)
    os.makedirs(f"{directory}/rootfs", exist_ok=True)
    write_new(f"{directory}/config.json", jsontext.dumps(made.spec).encode())
    write_new(f"{directory}/request.json", jsontext.dumps(wanted.to_json()).encode())
    found = Container(
        id=made.id,
        name=name,
        created=state.now(),
        image=references.familiar(wanted.image),
        image_id=image.id,
        command=made.spec["process"]["args"],
        driver=made.driver.name,
        layers=image.layers,
        network=wanted.network,
        networks=_named(wanted.networks, wanted.hostname),
        requested_ports=wanted.published,
        exposed=wanted.exposed_ports,
        tty=wanted.tty,
        open_stdin=wanted.interactive,
        auto_remove=wanted.auto_remove,
        labels=wanted.labels,
        mounts=[mount["source"] for mount in wanted.mounts if mount["type"] != "tmpfs"],
        own_volumes=[name for name, anonymous in made.volumes.items() if anonymous],
        log_size=wanted.log_size,
        log_files=wanted.log_files,
        restart=wanted.restart,
        stop_signal=signals.number(wanted.stop_signal or "TERM"),
        stop_timeout=_STOP_TIMEOUT if wanted.stop_timeout is None else wanted.stop_timeout,
    )
    state.save_staged(found)
    return found


def _named(endpoints: list[dict[str, Any]], hostname: str) -> list[dict[str, Any]]:
    """The endpoints, with --hostname as one more alias on each network that has names."""
    return [
        {**endpoint, "aliases": with_hostname(endpoint["network"], endpoint["aliases"], hostname)}
        for endpoint in endpoints
    ]
