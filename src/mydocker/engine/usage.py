"""system df: what images, containers, volumes and the build cache use of the disk, and what a prune would free.

The sizes are those of files, as docker counts them: the archives of an image's layers are not among them. A layer that
several images have counts once.
"""

from __future__ import annotations

from mydocker.engine import listing, sizes, volumes
from mydocker.engine.build import pruning
from mydocker.image import build_cache, store
from mydocker.image import sizes as image_sizes
from mydocker.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.engine.build.pruning import Entry
    from mydocker.engine.volumes import Volume
    from mydocker.errors import CorruptRecord
    from mydocker.image.store import Image
    from mydocker.model.container import Container


@record
class ImageUsage:
    """size: bytes of all its layers. shared: of those that another image has, too. containers: those made of it."""

    image: Image
    size: int
    shared: int
    containers: int


@record
class Total:
    """One kind of thing. active: how many are in use. size, reclaimable: bytes."""

    count: int
    active: int
    size: int
    reclaimable: int


@record
class DiskUsage:
    """containers, volumes: each with its bytes; volumes also with the number of containers that mount them. broken: an
    error for each record that can't be read."""

    images: list[ImageUsage]
    layers: int
    unused_layers: int
    containers: list[tuple[Container, int]]
    volumes: list[tuple[Volume, int, int]]
    cache: list[Entry]
    in_use_since: int  # ns: a running build may use what was used later
    broken: list[CorruptRecord]

    def totals(self) -> dict[str, Total]:
        """Sum up, by docker's names."""
        idle = [size for container, size in self.containers if not container.is_active()]
        free = [size for _, size, links in self.volumes if not links]
        cache = [entry for entry in self.cache if not entry.shared]
        used = sum(bool(each.containers) for each in self.images)
        busy = [entry for entry in self.cache if self.is_in_use(entry)]
        written, stored, cached = (
            sum(size for _, size in self.containers),
            sum(size for _, size, _ in self.volumes),
            sum(entry.size for entry in cache),
        )
        reclaimable = sum(entry.size for entry in cache if not self.is_in_use(entry))
        return {
            "Images": Total(len(self.images), used, self.layers, self.unused_layers),
            "Containers": Total(len(self.containers), len(self.containers) - len(idle), written, sum(idle)),
            "Local Volumes": Total(len(self.volumes), len(self.volumes) - len(free), stored, sum(free)),
            "Build Cache": Total(len(self.cache), len(busy), cached, reclaimable),
        }

    def is_in_use(self, entry: Entry) -> bool:
        return entry.used >= self.in_use_since


def usage() -> DiskUsage:
    """Measure everything; this walks over the files of all containers and volumes."""
    containers, broken = listing.containers(True, [])
    every, broken_volumes = volumes.volumes()
    links: dict[str, int] = {}
    for container in containers:
        for source in set(container.mounts):
            links[source] = links.get(source, 0) + 1
    images, layers, unused = _images(containers)
    return DiskUsage(
        images,
        layers,
        unused,
        [(container, sizes.of(container)[0]) for container in containers],
        # Those with options are left out, as by docker: their data are elsewhere.
        [(each, volumes.size(each.name), links.get(each.name, 0)) for each in every if not each.options],
        pruning.cached(),
        build_cache.oldest_running(),
        broken + broken_volumes,
    )


def _images(containers: list[Container]) -> tuple[list[ImageUsage], int, int]:
    """Return (the images, the newest first as they are listed; bytes of all layers; of those no container needs)."""
    images = store.images()
    of_layer: dict[str, int] = {}
    holders: dict[str, int] = {}
    for image in images:
        of_layer.update(zip(_layers(image), image_sizes.of_layers(image)))
        for layer in set(_layers(image)):
            holders[layer] = holders.get(layer, 0) + 1
    users: dict[str, int] = {}
    for container in containers:
        users[container.image_id] = users.get(container.image_id, 0) + 1
    needed = {layer for image in images if image.id in users for layer in _layers(image)}
    rows = [
        ImageUsage(
            image,
            sum(of_layer[layer] for layer in _layers(image)),
            sum(of_layer[layer] for layer in _layers(image) if holders[layer] > 1),
            users.get(image.id, 0),
        )
        for image in images
    ]
    everything = sum(of_layer.values())
    return rows, everything, everything - sum(size for layer, size in of_layer.items() if layer in needed)


def _layers(image: Image) -> list[str]:
    """The chain IDs; a busybox image that is not in the store yet has one size only."""
    return image.layers if len(image_sizes.of_layers(image)) == len(image.layers) else [image.id]
