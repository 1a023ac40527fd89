"""docker as the oracle: Debian's dockerd and its client, on a host of their own out of namespaces.

A test with the fixture `docker` types the same words to docker and to mydocker and compares, or shows where a right
value comes from. The host, its daemon and its containers go with the session: see benchmarks/peers.py.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import peers
from machine import CHECKOUT, PATH, Result, decode

BARE = {"PATH": PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", "TERM": "xterm"}


def missing() -> str:
    """Why there is no docker to ask here; empty if there is one."""
    absent = [name for name in ("dockerd", "docker") if not shutil.which(name, path=PATH)]
    return f"no {' and no '.join(absent)} here: script/test --peers installs docker.io" if absent else ""


class Docker:
    """Types `docker …`. Its image busybox is of the same files as mydocker's, with the same command."""

    def __init__(self, host: peers.Host) -> None:
        self.host = host

    def __call__(self, *args: str, input: bytes = b"", env: dict[str, str] | None = None) -> Result:
        return self.shell(shlex.join(["docker", *args]), input=input, env=env)

    def shell(self, script: str, *, input: bytes = b"", env: dict[str, str] | None = None) -> Result:
        """What a shell on docker's host says to a script."""
        argv = [*self.host.enter, "sh", "-c", script]
        done = subprocess.run(argv, input=input, capture_output=True, env={**BARE, **(env or {})}, timeout=60)
        return Result(argv, done.returncode, decode(done.stdout), decode(done.stderr))

    def ok(self, *args: str, **options) -> str:
        """The command's stdout, without the last line's end; it has to succeed."""
        result = self(*args, **options)
        assert result.rc == 0, f"docker {shlex.join(args)}: exit {result.rc}\n{result.stdout}{result.stderr}"
        return result.stdout.rstrip("\n")

    def clear(self) -> None:
        """Remove all that a test has made: the next one counts what there is."""
        script = """
            docker ps -aq | xargs -r docker rm -fv
            docker network prune -f
            docker volume prune -f
            docker images --format '{{.Repository}}:{{.Tag}}' | grep -v -e '<none>' -e '^busybox:latest$' |
                xargs -r docker rmi -f
            docker image prune -f
        """
        assert self.shell(script).rc == 0


def _busybox(directory: str) -> bytes:
    """The files of mydocker's own image."""
    env = {**BARE, "MYDOCKER_ROOT": f"{directory}/lib", "MYDOCKER_RUN": f"{directory}/run"}

    def mydocker(*args: str) -> bytes:
        return subprocess.run([CHECKOUT / "bin/mydocker", *args], env=env, capture_output=True, check=True).stdout

    mydocker("create", "--net", "none", "--name", "files", "busybox")
    tar = mydocker("export", "files")
    mydocker("rm", "files")
    return tar


@contextlib.contextmanager
def docker_host(before_docker: str = "") -> Iterator[Docker]:
    """A docker that is this block's alone. before_docker: a shell script for its host that runs before it starts."""
    before = os.environ["PATH"]
    with tempfile.TemporaryDirectory(prefix="mydocker-test.docker.", dir="/var/tmp") as directory:
        tar = Path(directory, "busybox.tar")
        tar.write_bytes(_busybox(directory))
        os.environ["PATH"] = PATH
        try:
            with peers.swept_cgroups(directory), peers.host(f"{directory}/docker") as host:
                docker = Docker(host)
                result = docker.shell(before_docker)
                assert result.rc == 0, result.stderr
                peers.docker("docker", host, str(tar))
                docker.ok("import", "--change", 'CMD ["sh"]', "-", "busybox", input=tar.read_bytes())
                docker.ok("rmi", peers.IMAGE)
                yield docker
        finally:
            os.environ["PATH"] = before
