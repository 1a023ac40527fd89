"""Make archives of images in memory, in the forms that tools write, for tests to load as they are or to damage."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field

from archives import archive

OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
PLATFORM = {"os": "linux", "architecture": ARCHITECTURE}
REF_NAME, CONTAINERD = "org.opencontainers.image.ref.name", "io.containerd.image.name"


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout


def chunked(data: bytes) -> bytes:
    """Compress as zstd:chunked does: many frames, and skippable ones between and after them."""
    skippable = b"\x50\x2a\x4d\x18" + (8).to_bytes(4, "little") + b"manifest"
    return skippable.join(zstd(data[at : at + 500_000]) for at in range(0, len(data), 500_000)) + skippable


COMPRESS = {
    "": lambda data: data,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": lambda data: bz2.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
    "zstd": zstd,
    "chunked": chunked,
}
SUFFIX = {"": "", "gzip": "+gzip", "zstd": "+zstd", "chunked": "+zstd"}


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Image:
    """An image to be packed. layers: plain tars, bottom first. names: with their tags. config: more of the config."""

    layers: list[bytes]
    names: list[str] = field(default_factory=list)
    config: dict = field(default_factory=dict)
    compression: str = ""

    @property
    def config_data(self) -> bytes:
        """Docker's own order and white space, which another writer of JSON would not keep."""
        document = {
            **PLATFORM,
            "config": {"Cmd": ["sh"], "Healthcheck": {"Test": ["CMD", "true"]}, "OnBuild": ["RUN true"]},
            "created": "2026-01-02T03:04:05.123456789Z",
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in self.layers]},
            "history": [{"created": "2026-01-02T03:04:05Z", "created_by": "a & b"} for _ in self.layers],
            **self.config,
        }
        return json.dumps(document, separators=(",", ":")).replace("&", "\\u0026").encode()

    @property
    def id(self) -> str:
        return digest(self.config_data)

    @property
    def blobs(self) -> list[bytes]:
        return [COMPRESS[self.compression](layer) for layer in self.layers]

    def manifest(self, docker: bool = False) -> bytes:
        config, manifest, layer = f"{OCI}.config.v1+json", f"{OCI}.manifest.v1+json", f"{OCI}.layer.v1.tar"
        suffix = SUFFIX.get(self.compression, "")
        if docker:
            config, manifest = f"{DOCKER}.container.image.v1+json", f"{DOCKER}.distribution.manifest.v2+json"
            layer, suffix = f"{DOCKER}.image.rootfs.diff.tar", suffix.replace("+", ".")
        document = {
            "schemaVersion": 2,
            "mediaType": manifest,
            "config": descriptor(config, self.config_data),
            "layers": [descriptor(f"{layer}{suffix}", blob) for blob in self.blobs],
        }
        return json.dumps(document, indent=3).encode()


def descriptor(kind: str, data: bytes, **more) -> dict:
    return {"mediaType": kind, "digest": digest(data), "size": len(data), **more}


def blob(data: bytes) -> str:
    return f"blobs/sha256/{digest(data)[7:]}"


def docker_old(*images: Image) -> dict[str, object]:
    """The members of an archive of docker up to 24: layers in directories of their own, and their names last."""
    members: dict[str, object] = {}
    rows = []
    for image in images:
        layers = []
        for number, data in enumerate(image.blobs):
            directory = digest(image.config_data + bytes([number]))[7:]
            members |= {directory: None, f"{directory}/VERSION": b"1.0", f"{directory}/json": b"{}"}
            members[f"{directory}/layer.tar"] = data
            layers.append(f"{directory}/layer.tar")
        members[f"{image.id[7:]}.json"] = image.config_data
        rows.append({"Config": f"{image.id[7:]}.json", "RepoTags": image.names or None, "Layers": layers})
    return {**members, "manifest.json": json.dumps(rows).encode()}


def docker_linked(*images: Image) -> dict[str, object]:
    """The members of an archive of skopeo or podman: layers at the top, links to them in the old directories."""
    members: dict[str, object] = {}
    rows = []
    for image in images:
        names = [f"{digest(layer)[7:]}.tar" for layer in image.layers]
        members |= dict(zip(names, image.blobs))
        members |= {f"{number}/layer.tar": ("link", f"../{name}") for number, name in enumerate(names)}
        members[f"{image.id[7:]}.json"] = image.config_data
        layers = [f"{number}/layer.tar" for number in range(len(names))]
        rows.append({"Config": f"{image.id[7:]}.json", "RepoTags": image.names, "Layers": layers})
    return {**members, "manifest.json": json.dumps(rows).encode()}


def oci(*images: Image, docker: bool = False, entries: Iterable[dict] | None = None) -> dict[str, object]:
    """The members of an OCI layout. docker: its manifests are docker's. entries: of index.json, instead of one for each
    name."""
    members: dict[str, object] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    rows = []
    for image in images:
        manifest = image.manifest(docker)
        members |= {blob(data): data for data in (*image.blobs, image.config_data, manifest)}
        kind = json.loads(manifest)["mediaType"]
        rows += [descriptor(kind, manifest, annotations={REF_NAME: name}) for name in image.names]
        if not image.names:
            rows.append(descriptor(kind, manifest))
    index = {"schemaVersion": 2, "manifests": rows if entries is None else list(entries)}
    return {**members, "index.json": json.dumps(index).encode()}


def hybrid(*images: Image) -> dict[str, object]:
    """The members of an archive of docker from 25 on."""
    rows = [
        {"Config": blob(image.config_data), "RepoTags": image.names or None, "Layers": [blob(b) for b in image.blobs]}
        for image in images
    ]
    return {**oci(*images), "manifest.json": json.dumps(rows).encode()}


def packed(members: dict[str, object], compression: str = "") -> bytes:
    """Pack members into a tar: each is its content, None for a directory, or the words of archives.archive()."""
    entries = [(name, *value) if isinstance(value, tuple) else (name, value) for name, value in members.items()]
    return COMPRESS[compression](archive(*entries))


FORMS = {"old": docker_old, "linked": docker_linked, "hybrid": hybrid, "oci": oci}
