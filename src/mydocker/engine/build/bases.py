"""The images that a build begins from or takes files of."""

from __future__ import annotations

from mydocker.engine.build import layers
from mydocker.errors import NotFound
from mydocker.image import lookup, platform, store
from mydocker.model.options.references import BUSYBOX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.build.stages import Planned
    from mydocker.image.build_cache import Session
    from mydocker.image.drivers.base import Driver
    from mydocker.image.store import Image
    from mydocker.model.options.build import BuildRequest
    from mydocker.model.options.references import Reference


class Images:
    """The images of one build, each looked up once and kept until its end."""

    def __init__(self, request: BuildRequest, session: Session, driver: Driver) -> None:
        self._request, self._session, self._driver = request, session, driver
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

        return pull.pull(pull.parse(reference), wanted or self._request.platform, _Silent()).image


class _Silent:
    """The watcher of a pull, of which a build says no more than that it is done."""

    def begin(self, reference: Reference, layers: list[dict[str, Any]]) -> None:
        pass

    def advance(self, at: int, state: str, count: int) -> None:
        pass


def layers_of(image: Image) -> list[layers.Layer]:
    """Return the layers of an image, bottom first."""
    descriptors = store.layer_descriptors(image.manifest)
    return [
        layers.Layer(diff_id, {key: row[key] for key in ("mediaType", "digest", "size")})
        for diff_id, row in zip(image.config["rootfs"]["diff_ids"], descriptors)
    ]
