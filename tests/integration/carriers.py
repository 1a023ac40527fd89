"""Programs that carry images, each asked in its own words: docker, podman, buildah, skopeo, umoci.

A carrier reads an archive that mydocker has written, and says what it sees; it writes one for mydocker to load. It runs
on the host of a docker of its own (oracle.py: Debian's versions; newer.py: later ones), which sees the same files.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Seen:
    """What a program says about an image: its ID (the digest of its config), and the digests of its layers' tars."""

    id: str
    diff_ids: list[str]


class Carrier:
    """run: runs a program's words on its host and returns the stdout; fails the test if the program fails. there: the
    name on that host of a file of this one."""

    forms: tuple[str, ...] = ("docker-archive", "oci-archive")  # those that it writes
    converts: tuple[str, ...] = ()  # forms for which it makes a new config, without what OCI has no word for

    def __init__(self, run: Callable[..., str], there: Callable[[Path], str] = str) -> None:
        self.run = run
        self.there = there

    def load(self, archive: Path, name: str) -> Seen:
        """Read an archive with this one image."""
        raise NotImplementedError

    def save(self, name: str, form: str, target: Path) -> None:
        """Write the image that load() has read."""
        raise NotImplementedError


class Docker(Carrier):
    forms = ("docker-archive",)

    def load(self, archive: Path, name: str) -> Seen:
        assert self.run("docker", "load", "-i", self.there(archive)) == f"Loaded image: {name}"
        (image,) = json.loads(self.run("docker", "image", "inspect", name))
        return Seen(image["Id"], image["RootFS"]["Layers"])

    def save(self, name: str, form: str, target: Path) -> None:
        self.run("docker", "save", "-o", self.there(target), name)


class Podman(Carrier):
    forms = ("docker-archive", "oci-archive", "oci-dir")

    def load(self, archive: Path, name: str) -> Seen:
        assert f"Loaded image: docker.io/library/{name}" in self.run("podman", "load", "-q", "-i", self.there(archive))
        (image,) = json.loads(self.run("podman", "image", "inspect", name))
        return Seen(f"sha256:{image['Id']}", image["RootFS"]["Layers"])

    def save(self, name: str, form: str, target: Path) -> None:
        self.run("podman", "save", "-q", "--format", form, "-o", self.there(target), name)


class Buildah(Carrier):
    converts = ("oci-archive",)

    def load(self, archive: Path, name: str) -> Seen:
        self.run("buildah", "pull", "-q", f"docker-archive:{self.there(archive)}")
        image = json.loads(self.run("buildah", "inspect", "--type", "image", name))
        return Seen(f"sha256:{image['FromImageID']}", image["OCIv1"]["rootfs"]["diff_ids"])

    def save(self, name: str, form: str, target: Path) -> None:
        self.run("buildah", "push", "-q", name, f"{form}:{self.there(target)}:{name}")


class Skopeo(Carrier):
    """It has no store: it reads the archive again."""

    reads = "docker-archive"
    converts: tuple[str, ...] = ("oci-archive",)

    def load(self, archive: Path, name: str) -> Seen:
        self._archive = f"{self.reads}:{self.there(archive)}"
        raw = self.run("skopeo", "inspect", "--config", "--raw", self._archive)
        manifest = json.loads(self.run("skopeo", "inspect", "--raw", self._archive))
        return Seen(manifest["config"]["digest"], json.loads(raw)["rootfs"]["diff_ids"])

    def save(self, name: str, form: str, target: Path) -> None:
        self.run("skopeo", "copy", "-q", self._archive, f"{form}:{self.there(target)}:{name}")


class SkopeoOci(Skopeo):
    reads = "oci-archive"
    converts = ()


class Umoci(Carrier):
    forms = ("oci-dir",)

    def load(self, archive: Path, name: str) -> Seen:
        """It reads layouts, so the archive is unpacked first; it says what the layers are when it unpacks them."""
        self._layout = archive.with_suffix(".layout")
        self._layout.mkdir()
        self.run("tar", "-xf", self.there(archive), "-C", self.there(self._layout))
        image = f"{self.there(self._layout)}:{name.rpartition(':')[2]}"
        self.run("umoci", "unpack", "--image", image, self.there(archive.with_suffix(".bundle")))
        history = json.loads(self.run("umoci", "stat", "--json", "--image", image))["history"]
        (index,) = json.loads((self._layout / "index.json").read_text())["manifests"]
        blobs = self._layout / "blobs/sha256"
        config = json.loads((blobs / index["digest"][7:]).read_text())["config"]["digest"]
        assert sum(not row.get("empty_layer") for row in history) == len(self._config(config)["rootfs"]["diff_ids"])
        return Seen(config, self._config(config)["rootfs"]["diff_ids"])

    def _config(self, digest: str) -> dict:
        return json.loads((self._layout / "blobs/sha256" / digest[7:]).read_text())

    def save(self, name: str, form: str, target: Path) -> None:
        self._layout.rename(target)


CARRIERS = {
    "docker": Docker,
    "podman": Podman,
    "buildah": Buildah,
    "skopeo": Skopeo,
    "skopeo-oci": SkopeoOci,
    "umoci": Umoci,
}
