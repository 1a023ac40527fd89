"""A registry between docker and mydocker: what one has pushed, the other pulls, runs, and inspects alike."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from machine import CHECKOUT
from registries import registry

pytestmark = [pytest.mark.local, pytest.mark.peer]

DOCKERFILE = """
FROM busybox
RUN mkdir /data && echo content >/data/file && chown 7:8 /data/file && chmod 4711 /data/file
HEALTHCHECK --interval=5s CMD test -e /data/file
ONBUILD RUN echo triggered >/data/trigger
SHELL ["/bin/sh", "-ec"]
STOPSIGNAL SIGQUIT
LABEL key="a value"
CMD ["ls", "-ln", "/data"]
"""
SAME = ("Id", "RepoTags", "RepoDigests", "Created", "Architecture", "Os", "Config", "RootFS", "Size")


def test_docker_and_mydocker_share_a_registry(docker, directory):
    """Both are on docker's host: there mydocker has a store of its own."""

    def mydocker(*words: str) -> str:
        result = docker.shell(shlex.join([str(CHECKOUT / "bin/mydocker"), *words]))
        assert result.rc == 0, f"{shlex.join(words)}: exit {result.rc}\n{result.stdout}{result.stderr}"
        return result.stdout.rstrip("\n")

    def seen(command, name: str) -> dict:
        (document,) = json.loads(command("image", "inspect", name))
        return {key: document[key] for key in SAME}

    with registry(Path(directory), enter=["nsenter", "--net", f"--target={docker.host.pid}"]) as served:
        theirs, ours = f"{served.address}/theirs:1", f"{served.address}/ours:1"
        context = Path(directory, "context")
        context.mkdir()
        (context / "Dockerfile").write_text(DOCKERFILE)
        docker.ok("build", "-q", "-t", theirs, str(context), env={"DOCKER_BUILDKIT": "0"})
        docker.ok("push", "-q", theirs)
        mydocker("pull", "-q", theirs)
        assert seen(mydocker, theirs) == seen(docker.ok, theirs)
        plain = ("run", "--rm", "--net", "none")
        assert lines(mydocker(*plain, theirs)) == lines(docker.ok(*plain, theirs)) == ["-rws--x--x 7 8 8 file"]

        (context / "Dockerfile").write_text(f"FROM {theirs}\nRUN echo ours >/data/mine\n")
        mydocker("build", "-q", "--network", "none", "-t", ours, str(context))
        mydocker("push", "-q", ours)
        docker.ok("rmi", theirs)
        docker.ok("pull", "-q", ours)
        assert seen(docker.ok, ours) == seen(mydocker, ours)
        assert lines(docker.ok(*plain, ours)) == lines(mydocker(*plain, ours)) == [
            "-rws--x--x 7 8 8 file", "-rw-r--r-- 0 0 5 mine", "-rw-r--r-- 0 0 10 trigger",
        ]  # fmt: skip
        mydocker("rmi", theirs, ours)


def lines(listed: str) -> list[str]:
    """Return `MODE OWNER GROUP SIZE NAME` of each file that ls -ln has listed."""
    rows = (line.split() for line in listed.splitlines() if not line.startswith("total"))
    return [" ".join((row[0], *row[2:5], row[8])) for row in rows]
