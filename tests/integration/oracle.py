"""docker as the oracle: Debian's dockerd and its client, on a host made of namespaces.

A test with the fixture `docker` runs the same commands with docker and mydocker and compares the results, or shows the
origin of an expected value. The host, its daemon and its containers end with the session: see benchmarks/peers.py.
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
    """Return why docker cannot be used here, "" if it can."""
    absent = [name for name in ("dockerd", "docker") if not shutil.which(name, path=PATH)]
    return f"no {' and no '.join(absent)} here: script/test --peers installs docker.io" if absent else ""


class Docker:
    """Runs `docker …`. Its image busybox has the same files and the same command as mydocker's."""

    def __init__(self, host: peers.Host) -> None:
        self.host = host

    def __call__(self, *args: str, input: bytes = b"", env: dict[str, str] | None = None) -> Result:
        return self.shell(shlex.join(["docker", *args]), input=input, env=env)

    def shell(self, script: str, *, input: bytes = b"", env: dict[str, str] | None = None) -> Result:
        """Run a script on docker's host."""
        argv = [*self.host.enter, "sh", "-c", script]
        done = subprocess.run(argv, input=input, capture_output=True, env={**BARE, **(env or {})}, timeout=60)
        return Result(argv, done.returncode, decode(done.stdout), decode(done.stderr))

    def ok(self, *args: str, **options) -> str:
        """Return the stdout, without the last newline, of a command that must succeed."""
        result = self(*args, **options)
        assert result.rc == 0, f"docker {shlex.join(args)}: exit {result.rc}\n{result.stdout}{result.stderr}"
        return result.stdout.rstrip("\n")

    def clear(self) -> None:
        """Remove everything that a test has made: the next one counts what exists."""
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
    """Return a tar of the files of mydocker's own image."""
    env = {**BARE, "MYDOCKER_ROOT": f"{directory}/lib", "MYDOCKER_RUN": f"{directory}/run"}

    def mydocker(*args: str) -> bytes:
        return subprocess.run([CHECKOUT / "bin/mydocker", *args], env=env, capture_output=True, check=True).stdout

    mydocker("create", "--net", "none", "--name", "files", "busybox")
    tar = mydocker("export", "files")
    mydocker("rm", "files")
    return tar


@contextlib.contextmanager
def docker_host(before_docker: str = "") -> Iterator[Docker]:
    """Start a docker for this block only. before_docker: a shell script that runs on its host before it starts."""
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
