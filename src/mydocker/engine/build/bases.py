"""The images that a build begins from or takes files of."""

from __future__ import annotations

from mydocker.engine.build import layers
from mydocker.errors import FAILED, InvalidArgument, MydockerError, NotFound
from mydocker.image import config_types, lookup, platform, store
from mydocker.model.options import references
from mydocker.model.options.references import BUSYBOX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.build.stages import Planned
    from mydocker.engine.build.workers import Report
    from mydocker.image.build_cache import Session
    from mydocker.image.drivers.base import Driver
    from mydocker.image.store import Image
    from mydocker.model.options.build import BuildRequest
    from mydocker.model.options.references import Reference

PULL = "pull"  # the name of this part of a build, for a view


class Images:
    """The images of one build, each looked up once and kept until its end. report: is told of images that are
    pulled."""

    def __init__(self, request: BuildRequest, session: Session, driver: Driver, report: Report) -> None:
        self._request, self._session, self._driver, self._report = request, session, driver, report
        self._known: dict[str, Image] = {}

    def triggers(self, reference: str, wanted: str) -> list[str]:
        """Return the ONBUILD instructions of a base image."""
        config = self.of(reference, wanted).config.get("config") or {}
        return list(config.get("OnBuild") or [])

    def load(self, planned: Planned) -> None:
        """Find the images that a stage needs."""
        if planned.base_stage is None and planned.base_image != "scratch":
            self.of(planned.base_image, planned.platform)
        for reference, index in planned.sources.items():
            if index is None and reference != "scratch":
                self.of(reference, "")

    def of(self, reference: str, wanted: str) -> Image:
        """Return an image, from the store or a registry. wanted: the platform of the FROM, or ""."""
        if reference not in self._known:
            image = self._find(reference, wanted)
            try:
                config_types.check(image.config)
            except ValueError as error:
                raise InvalidArgument(f"image '{reference}': {error}", "import or build it again", FAILED) from None
            self._session.hold(image, self._driver)
            self._known[reference] = image
        image = self._known[reference]
        for text in (wanted, self._request.platform):
            if text:
                platform.check_image(text, reference, image)
        return image

    def _find(self, reference: str, wanted: str) -> Image:
        if self._request.pull and store.normalise(reference) != BUSYBOX:
            return self._pull(reference, wanted)
        try:
            return lookup.find(reference, driver=self._driver)
        except NotFound:
            return self._pull(reference, wanted)

    def _pull(self, reference: str, wanted: str) -> Image:
        from mydocker.engine.transfer import pull

        parsed = pull.parse(reference)
        self._report(PULL, {"event": "start", "name": f"pulling {references.full(parsed)}"}, b"")
        try:
            pulled = pull.pull(parsed, wanted or self._request.platform, _Watcher(self._report))
        except MydockerError:
            self._report(PULL, {"event": "error"}, b"")
            raise
        self._report(PULL, {"event": "done", "text": f"digest {pulled.digest}"}, b"")
        return pulled.image


class _Watcher:
    """Tells a view of the layers of a pull."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def begin(self, reference: Reference, layers: list[dict[str, Any]]) -> None:
        rows = [(row["digest"], row["size"]) for row in layers]
        self._report(PULL, {"event": "layers", "layers": rows}, b"")

    def advance(self, at: int, state: str, count: int) -> None:
        self._report(PULL, {"event": "layer", "at": at, "state": state, "count": count}, b"")


def layers_of(image: Image) -> list[layers.Layer]:
    """Return the layers of an image, bottom first."""
    descriptors = store.layer_descriptors(image.manifest)
    return [
        layers.Layer(diff_id, {key: row[key] for key in ("mediaType", "digest", "size")})
        for diff_id, row in zip(image.config["rootfs"]["diff_ids"], descriptors)
    ]
