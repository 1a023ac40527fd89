"""Create a container on disk for a request: its bundle (config.json), its record, its writable layer. Starts
nothing."""

from __future__ import annotations

import os

from mydocker import config, jsontext, paths, state
from mydocker.engine import filters, host, volumes
from mydocker.engine.bundle import load_request, load_spec
from mydocker.engine.network import endpoints
from mydocker.errors import Conflict, HostError, ImageNotFound, InvalidArgument, NotFound
from mydocker.image import lookup, store
from mydocker.image.drivers import choice
from mydocker.kernel import cgroups
from mydocker.kernel.files import write_new
from mydocker.model.container import Container
from mydocker.model.network import with_hostname
from mydocker.model.oci import spec
from mydocker.model.oci.annotations import DRIVER, FILL, LAYERS, SUBPATHS, VOLUMES, WRITABLE_BELOW
from mydocker.model.options import names, references, signals
from mydocker.model.options.request import complete, resolve_words
from mydocker.record import record
from mydocker.runtime import limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from mydocker.image.drivers.base import Driver
    from mydocker.image.store import Image
    from mydocker.kernel.locks import Lock
    from mydocker.model.host import HostFacts
    from mydocker.model.options.request import CreateRequest
    from mydocker.runtime.plan import Plan

_STOP_TIMEOUT = 10  # seconds, docker's
_ATTEMPTS = 100
_TRIES = 3


@record
class Draft:
    """A container that is only planned. spec: the future config.json. program: the compiled seccomp filter. notes:
    lines for the user."""

    id: str
    request: CreateRequest
    image: Image
    driver: Any
    spec: dict[str, Any]
    program: bytes
    volumes: dict[str, bool]  # name -> True if it is anonymous
    notes: list[str] = []
    build: str = ""  # the ID of the build whose step it is
    volume_options: dict[str, dict[str, str]] = {}  # of the volumes that have some
    volume_labels: dict[str, dict[str, str]] = {}  # of new volumes

    @property
    def directory(self) -> str:
        return paths.container(self.id)

    @property
    def own_volumes(self) -> list[str]:
        return [name for name, anonymous in self.volumes.items() if anonymous]

    def plan(self) -> Plan:
        """Return the steps of a start, for --dry-run."""
        from mydocker.runtime.plan import plan

        name, attachments = self.request.name or self.id[:12], endpoints.planned(self.id, self.request)
        steps = plan(
            self.spec, self.directory, cgroups.layout(), name=name, attachments=attachments, program=self.program
        )
        if attachments:
            from mydocker.engine.network import lifecycle

            steps.bridges = [op for network in attachments.networks.values() for op in lifecycle.bring_up_plan(network)]
        return steps

    def container(self, name: str) -> Container:
        """Return the record of the new container."""
        request = self.request
        return Container(
            id=self.id,
            name=name,
            created=state.now(),
            image=references.familiar(request.image),
            image_id=self.image.id,
            command=self.spec["process"]["args"],
            driver=self.driver.name,
            layers=self.image.layers,
            network=request.network,
            networks=_with_hostname(request.networks, request.hostname),
            requested_ports=request.published,
            exposed=request.exposed_ports,
            tty=request.tty,
            open_stdin=request.interactive,
            stdin_once=request.interactive and "stdin" in request.attached,
            auto_remove=request.auto_remove,
            build=self.build,
            labels=request.labels,
            mounts=[mount["source"] for mount in request.mounts if mount["type"] != "tmpfs"],
            own_volumes=self.own_volumes,
            log_size=request.log_size,
            log_files=request.log_files,
            restart=request.restart,
            stop_signal=signals.number(request.stop_signal or "TERM"),
            stop_timeout=_STOP_TIMEOUT if request.stop_timeout is None else request.stop_timeout,
        )


def draft(options: CreateRequest, facts: HostFacts) -> Draft:
    """Plan a container. Every error in a request is raised here, before anything has changed, except that a missing
    busybox image is built. options: the request as typed, not yet complete()."""
    images: dict[str, Image] = {}
    settings = config.load()
    driver, _ = choice.choose(settings["storage_driver"], try_it=not options.dry_run)

    def is_image(word: str) -> bool:
        try:
            images[word] = lookup.find(word, not options.dry_run, driver)
        except NotFound:
            return False
        return True

    def is_default_command(word: str) -> bool:
        return _is_default_command(word, driver)

    name, command = resolve_words(options.words, is_image, is_default_command, store.how_to_get)
    image = images.get(name) or lookup.find(name, not options.dry_run, driver)
    request = complete(options, name, command, image.config.get("config") or {})
    if request.platform:
        from mydocker.image import platform

        platform.check_image(request.platform, name, image)
    return draft_of(request, image, driver, facts, _busybox_note(request))


def image_name(options: CreateRequest) -> str:
    """Return the name of the image that a request as typed means, whether it is here or not."""
    driver, _ = choice.choose(config.load()["storage_driver"])

    def is_image(word: str) -> bool:
        try:
            store.resolve(word)
        except NotFound:
            return False
        return True

    try:
        return resolve_words(options.words, is_image, lambda word: _is_default_command(word, driver), str)[0]
    except ImageNotFound as missing:
        return missing.reference


def draft_of(
    request: CreateRequest, image: Image, driver: Driver, facts: HostFacts, notes: Sequence[str] = ()
) -> Draft:
    """Plan a container of a complete() request, as draft() does. image: one of the store, or layers that are on their
    way to become one (a build). notes: lines for the user."""
    notes = [*notes, *endpoints.check(request)]
    if request.volumes_from:
        _take_volumes(request)
    if "container:" in request.pid + request.ipc:
        from mydocker.engine import sharing

        sharing.resolve(request)
    shared, settings = _shared(request), config.load()
    container_id = os.urandom(32).hex()
    anonymous = {mount["source"]: mount["anonymous"] for mount in request.mounts if mount["type"] == "volume"}
    sources = {name: volumes.path(name) for name in anonymous}
    for mount in request.mounts:
        if mount["type"] == "bind" and mount["option"] in ("mount", "from") and not os.path.exists(mount["source"]):
            raise InvalidArgument(
                f"bind source path does not exist: {mount['source']}", "create it, or use -v, which creates it"
            )
    nodes = host.nodes(request.devices, request.privileged)
    directory, parent = paths.container(container_id), settings["cgroup_parent"]
    blocks = host.block_devices(request.block_limits) if request.block_limits else ()
    bundle = spec.build(request, container_id, directory, facts, sources, nodes, shared, parent, blocks)
    bundle["annotations"].update(
        {
            DRIVER: driver.name,
            LAYERS: ",".join(image.layers),
            FILL: jsontext.dumps([mount["target"] for mount in request.mounts if mount["copy"]]),
        }
    )
    options, labels = volumes.requested(request.mounts)
    if options:
        from mydocker.model.options import volumes as volume_options

        mounted = [volume_options.mount(name, given) for name, given in options.items()]
        bundle["annotations"][VOLUMES] = jsontext.dumps(mounted)
    subpaths = {mount["target"]: mount["subpath"] for mount in request.mounts if "subpath" in mount}
    if subpaths:
        bundle["annotations"][SUBPATHS] = jsontext.dumps(subpaths)
    writable = [mount["target"] for mount in request.mounts if mount.get("bind_recursive") == "writable"]
    if writable:
        bundle["annotations"][WRITABLE_BELOW] = jsontext.dumps(writable)
    limits.files(bundle["linux"]["resources"], cgroups.layout())  # raises now for a limit that this machine can't set
    if limits.are_rare(bundle["linux"]["resources"]):
        notes += _check_rare(request, bundle["linux"]["resources"])
    return Draft(
        container_id, request, image, driver, bundle, filters.program(bundle), anonymous, notes, "", options, labels
    )


def _take_volumes(request: CreateRequest) -> None:
    """Add the mounts of --volumes-from to the request's."""
    from mydocker.model.options import isolation

    sources = map(isolation.split_source, request.volumes_from)
    others = [(load_request(state.find(name)), read_only) for name, read_only in sources]
    request.mounts = isolation.with_mounts_of(request, others)


def _check_rare(request: CreateRequest, resources: dict[str, Any]) -> list[str]:
    """Check limits that not every kernel has. Returns warnings. Raises HostError."""
    from mydocker.engine import cgroup_support
    from mydocker.model.options.resources import warnings

    cgroup_support.check(resources, cgroups.layout())
    return warnings(request)


def _busybox_note(request: CreateRequest) -> list[str]:
    """Return a note if the command could have been meant as an image: `run httpd` starts busybox's."""
    word = request.words[0]
    if word == request.image or word.startswith("/"):
        return []
    return [f"there is no image '{word}' here: the command '{word}' runs in {request.image}"]


def _shared(request: CreateRequest) -> tuple[str, str, str] | None:
    """Resolve --net container:NAME to that container's name, host name and directory. In the request its ID replaces
    its name."""
    kind, colon, name = request.network.partition(":")
    if not colon:
        return None
    other = state.find(name)
    if other.network == "host" or other.network.startswith("container:"):
        raise InvalidArgument(
            f"container {other.name} has no network of its own", "share the network of a container that has one"
        )
    request.network = f"{kind}:{other.id}"
    return other.name, load_spec(other).get("hostname", ""), other.directory


def _is_default_command(word: str, driver: Driver) -> bool:
    """True if the default image has an executable of that name in its PATH."""
    for _ in range(_TRIES):
        image = lookup.find(references.BUSYBOX, driver=driver)
        try:
            return _has_command(image, word, driver)
        except FileNotFoundError:
            continue  # an `image prune -a` has just removed it: it is made anew
    raise NotFound(f"image {references.BUSYBOX} has been removed again and again", "try again later")


def _has_command(image: Image, word: str, driver: Driver) -> bool:
    rows = (image.config.get("config") or {}).get("Env") or []
    path = next((row[5:] for row in rows if row.startswith("PATH=")), spec.PATH)
    candidates = [word] if "/" in word else [f"{directory}/{word}" for directory in path.split(":")]
    return driver.holds(image.layers, candidates)


def create(draft: Draft) -> Container:
    """Write the draft to disk; state.fsync_new() makes it durable. Raises Conflict if the name is taken. After an error
    nothing is left."""
    cidfile = _claim_cidfile(draft.request.cidfile)
    try:
        name, lock = _reserve(draft.id, draft.request.name)
        with lock:
            try:
                with store.keep(draft.image, draft.driver):
                    container = _write(draft, name)
                    state.commit(draft.id)  # from here on, the record keeps the image
            except BaseException:
                state.remove(draft.id, name, draft.own_volumes)
                raise
    except BaseException:
        if cidfile >= 0:
            os.unlink(draft.request.cidfile)
        raise
    finally:
        if cidfile >= 0:
            os.write(cidfile, draft.id.encode())
            os.close(cidfile)
    return container


def _claim_cidfile(path: str) -> int:
    """Create the file. Returns its descriptor, -1 without --cidfile."""
    if not path:
        return -1
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        raise Conflict(f"the container ID file {path} already exists", "remove it, or give another") from None
    except OSError as error:
        raise HostError(f"can't write {path}: {os.strerror(error.errno or 0)}", "give another --cidfile") from None


def _reserve(container_id: str, name: str) -> tuple[str, Lock]:
    """Reserve the name; without one, one of 9,000 random names, or later one with a number. Returns it and the
    container's lock."""
    if name:
        return name, state.reserve(container_id, name)
    for attempt in range(_ATTEMPTS):
        name = names.random_name() + (str(attempt) if attempt > _ATTEMPTS // 2 else "")
        try:
            return name, state.reserve(container_id, name)
        except Conflict:
            continue
    raise Conflict("no random name is free", "give a name with --name")


def _write(draft: Draft, name: str) -> Container:
    """Write the files of the container into its staging directory, and make its volumes."""
    directory = state.staging_dir(draft.id)
    for volume, anonymous in draft.volumes.items():
        labels, options = draft.volume_labels.get(volume), draft.volume_options.get(volume)
        if volumes.ensure(volume, labels, anonymous, options).options != (options or {}):
            raise Conflict(f"volume {volume} has just been replaced by another one", "try again")
    for mount in draft.request.mounts:
        if mount["type"] == "bind" and mount["option"] == "volume" and not os.path.exists(mount["source"]):
            os.makedirs(mount["source"], 0o755)  # as docker does for -v
    draft.driver.prepare(directory, draft.image.layers)
    os.makedirs(f"{directory}/rootfs", exist_ok=True)
    write_new(f"{directory}/config.json", jsontext.dumps(draft.spec).encode())
    write_new(f"{directory}/request.json", jsontext.dumps(draft.request.to_json()).encode())
    container = draft.container(name)
    state.save_staged(container)
    return container


def _with_hostname(networks: list[dict[str, Any]], hostname: str) -> list[dict[str, Any]]:
    """Return the endpoints, with --hostname as another alias on each network that has names."""
    return [
        {**endpoint, "aliases": with_hostname(endpoint["network"], endpoint["aliases"], hostname)}
        for endpoint in networks
    ]
