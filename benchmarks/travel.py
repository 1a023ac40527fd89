"""Images on their way: pull, load, save and build, beside docker, and podman with buildah."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

from cases import Bench, files, pss
from peers import IMAGE, Failure, Peer, sh
from sitting import OURS, Row

LAYERS = 6
RUNS = 8  # RUN steps, in a Dockerfile of twelve
REGISTRY = "127.0.0.1:5000"
SAMPLED = 0.05  # seconds between two looks at the memory of a command
CREATED = "2026-01-01T00:00:00Z"
SETTINGS = "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {}\n"
INSECURE = f'[[registry]]\nlocation = "{REGISTRY}"\ninsecure = true\n'


def travel(s: Bench) -> None:
    """pull, pull and first run, load and save of an image of six layers, 500 MB; and their memory for one of 2 GB"""
    megabytes, heavy = s.sizes.images[-1], s.sizes.heavy
    serve(s, [archive(s, size) for size in (megabytes, heavy)])
    saved = f"{s.directory}/saved.tar"
    what = f"{megabytes} MB in {LAYERS} layers"

    def timed(peer: Peer, *words: str, undo: str = "") -> list[float]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(saved)
        seconds = peer.took(words)
        if undo:
            peer("rmi", undo)
        return [seconds]

    pulled, loaded = f"{REGISTRY}/{name(megabytes)}", name(megabytes)
    pull, load = ["pull", pulled], ["load", "-i", archive(s, megabytes)]
    targets = {"docker": 0.6, "podman": 0.6}
    s.measure(f"pull of {what}", "s", lambda p: timed(p, *pull, undo=pulled), targets, rounds=s.few)
    first_run(s, what, pulled)
    s.measure(f"load of {what}", "s", lambda p: timed(p, *load, undo=loaded), {"docker": 0.7}, rounds=s.few)
    s.each(*load)
    s.measure(f"save of {what}", "s", lambda p: timed(p, "save", "-o", saved, loaded), {"docker": 0.7}, rounds=s.few)
    s.each("rmi", loaded)
    pulled, loaded = f"{REGISTRY}/{name(heavy)}", name(heavy)
    s.measure(f"memory of pull, {heavy} MB", "MB", lambda p: [peak(p, "pull", pulled)], rounds=1)
    s.each("rmi", pulled)
    s.measure(f"memory of load, {heavy} MB", "MB", lambda p: [peak(p, "load", "-i", archive(s, heavy))], rounds=1)
    s.measure(
        f"memory of save, {heavy} MB", "MB", lambda p: [peak(p, "save", "-o", f"{saved}.{p.name}", loaded)], rounds=1
    )
    s.each("rmi", loaded)


def first_run(s: Bench, what: str, pulled: str) -> None:
    """Pull and the first run, together. mydocker takes part with each of its storage drivers that works here."""
    with_driver: dict[str, list[float]] = {"overlay": [], "erofs": []}

    def timed(peer: Peer) -> list[float]:
        commands = [["pull", pulled], ["run", "--rm", "--net=none", pulled, "true"]]
        if peer.name != OURS:
            seconds = peer.took(*commands)
            peer("rmi", pulled)
            return [seconds]
        for driver, values in with_driver.items():
            peer.host.write("/etc/mydocker/config.yaml", f"storage_driver: {driver}\n")
            try:
                values.append(peer.took(*commands))
                peer("rmi", pulled)
            except Failure as problem:
                if driver == "overlay":
                    raise
                s.notes.append(f"erofs: {problem}")
            os.sync()
        os.unlink(f"{peer.host.directory}/own/etc/mydocker/config.yaml")
        return with_driver["erofs"][-1:] or with_driver["overlay"][-1:]

    row = s.measure(f"pull and first run of {what}", "s", timed, {"docker": 0.35}, rounds=s.few)
    if with_driver["erofs"]:
        row.what += ", erofs"
        base = Row(s.case, "that with overlay", "s", values={OURS: with_driver["overlay"]})
        row.base, row.growth = base, 0.6


def build(s: Bench) -> None:
    """build of a Dockerfile of twelve steps, new and from the cache; podman's column is buildah bud"""
    context = Path(s.directory, "context")
    context.mkdir(exist_ok=True)
    (context / "file").write_text("content\n")
    steps = [f"FROM {IMAGE}", "ENV A=1", "COPY file /file", *(f"RUN true {n}" for n in range(RUNS)), 'CMD ["sh"]']
    (context / "Dockerfile").write_text("\n".join(steps) + "\n")

    def timed(peer: Peer, *options: str) -> list[float]:
        program = ["buildah", "bud", "--layers"] if peer.name == "podman" else [*peer.program, "build"]
        start = time.perf_counter()
        sh(*peer.host.enter, "env", "DOCKER_BUILDKIT=0", *program, *options, "-t", "built", str(context))
        return [time.perf_counter() - start]

    what = f"build of {len(steps)} steps"
    third, half = {"docker": 0.3, "podman": 0.3}, {"docker": 0.5, "podman": 0.5}
    s.measure(what, "s", lambda p: timed(p, "--no-cache"), third, rounds=s.few)
    s.prepare(timed)
    s.measure(f"{what}, cached", "s", timed, half, rounds=s.few)


def name(megabytes: int) -> str:
    return f"image-{megabytes}:1"


def archive(s: Bench, megabytes: int) -> str:
    """The archive of an image of so many layers, in the form of docker 20.10. It is made once."""
    path = f"{s.directory}/image-{megabytes}.tar"
    if os.path.exists(path):
        return path
    layers = list(layer_tars(s, megabytes))
    diff_ids = [f"sha256:{sh('sha256sum', layer).split()[0]}" for layer in layers]
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "created": CREATED,
        "config": {"Cmd": ["sh"], "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created": CREATED, "created_by": "benchmark"} for _ in layers],
    }
    data = json.dumps(config).encode()
    document = f"{hashlib.sha256(data).hexdigest()}.json"
    names = [f"{number}/layer.tar" for number in range(LAYERS)]
    manifest = json.dumps([{"Config": document, "RepoTags": [name(megabytes)], "Layers": names}]).encode()
    with tarfile.open(path, "w") as tar:
        for inside, layer in zip(names, layers):
            tar.add(layer, inside)
            os.unlink(layer)
        for inside, text in ((document, data), ("manifest.json", manifest)):
            member = tarfile.TarInfo(inside)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return path


def layer_tars(s: Bench, megabytes: int) -> Iterator[str]:
    """Write each layer's tar; the first has the busybox."""
    contents = iter(files(megabytes * 10**6))
    for number in range(LAYERS):
        path, written = f"{s.directory}/layer-{number}.tar", 0
        with tarfile.open(path, "w") as tar:
            if number == 0:
                with tarfile.open(f"{s.directory}/busybox.tar") as busybox:
                    for member in busybox:
                        tar.addfile(member, busybox.extractfile(member) if member.isreg() else None)
            for inside, data in contents:
                member = tarfile.TarInfo(f"benchmark/{number}/{inside}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
                written += len(data)
                if written >= megabytes * 10**6 / LAYERS:
                    break
        yield path


def serve(s: Bench, archives: list[str]) -> None:
    """Give every contestant a registry on its host, which ends with the host. All have the same images."""
    directory = f"{s.directory}/registry"
    settings = Path(s.directory, "registry.yml")
    settings.write_text(SETTINGS.format(directory, REGISTRY))
    for peer in s.engines:
        words = [*peer.host.enter, "docker-registry", "serve", str(settings)]
        subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if peer.name == "podman":
            peer.host.write("/etc/containers/registries.conf", INSECURE)
    time.sleep(2)  # until they listen
    for path in archives:
        target = f"docker://{REGISTRY}/{Path(path).stem}:1"
        copy = ["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"]
        sh(*s.engines[0].host.enter, *copy, f"docker-archive:{path}", target)


def peak(peer: Peer, *words: str) -> float:
    """The most memory, PSS in bytes, that a command and its daemon have had above what was there before."""
    before = pss(peer.host.processes())
    most = 0
    with subprocess.Popen([*peer.host.enter, *peer.program, *words], stdout=subprocess.DEVNULL) as running:
        while running.poll() is None:
            most = max(most, pss(peer.host.processes()) - before)
            time.sleep(SAMPLED)
    if running.returncode:
        raise Failure(f"{words[0]}: exit code {running.returncode}")
    return float(most)
