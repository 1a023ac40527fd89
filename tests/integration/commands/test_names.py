"""How a container is named by whoever types: as `inspect` prints it, with a leading slash; and what is no name."""

from __future__ import annotations

import re
import shlex

import pytest

# Every command that names a container: NAME runs, OTHER has ended.
WITH_A_SLASH = [
    "inspect -f {{.Name}} /NAME",
    "exec /NAME echo hello",
    "logs /NAME",
    "port /NAME",
    "update --restart no /NAME",
    "ps -a --format {{.Names}} -f name=/NAME$",
    "ps -a --format {{.Names}} -f name=^/NAME$",
    "ps -a --format {{.Names}} -f since=/OTHER -f name=NAME",
    "ps -a --format {{.Names}} -f before=/NAME -f name=NAME",
    "run --rm --net container:/NAME busybox echo hello",
    "wait /OTHER",
    "network connect NET /NAME",
    "network disconnect NET /NAME",
    "kill -s CONT /NAME",
    "stop -t 0 /NAME",
    "start /NAME",
    "restart -t 0 /NAME",
    "rm /OTHER",
    "rm -f /NAME",
]


def said(typed, name: str) -> list[tuple[str, int, str]]:
    """The answers of a docker to all of these."""
    typed.ok("network", "create", f"{name}-net")
    typed.ok("run", "--name", f"{name}-other", "busybox", "true")
    typed.ok("run", "-d", "--name", f"/{name}", "-p", "127.0.0.1::80", "busybox", "sleep", "1000")
    lines = []
    for line in WITH_A_SLASH:
        words = line.replace("OTHER", f"{name}-other").replace("NAME", name).replace("NET", f"{name}-net")
        result = typed(*shlex.split(words))
        lines.append((line, result.rc, re.sub(r"127.0.0.1:\d+", "127.0.0.1:PORT", result.stdout)))
    typed.ok("network", "rm", f"{name}-net")
    return lines


class TestALeadingSlash:
    def test_is_dropped_by_every_command(self, mydocker, name, keeps_containers):
        assert [(line, rc) for line, rc, _ in said(mydocker, name) if rc] == []
        assert mydocker("inspect", f"/{name}").rc != 0

    def test_as_docker_drops_it(self, docker, mydocker, name, keeps_containers):
        assert said(mydocker, name) == said(docker, name)

    @pytest.mark.parametrize("words", [["explain", "/NAME"], ["commit", "/NAME", "NAME-image"], ["export", "/NAME"]])
    def test_by_those_without_a_match_in_dockers_output(self, mydocker, name, words):
        mydocker.detached("--name", name, "busybox", "sleep", "1000")
        mydocker.ok(*(word.replace("NAME", name) for word in words))
        mydocker("rmi", f"{name}-image")


class TestOneLetter:
    """docker 20.10 wants two characters for a container and a volume, but not for a network or an image. (Its -v takes
    `a:` for a drive of Windows, and makes a volume without a name: here that is an error, too.)"""

    def test_is_no_name_of_a_container_or_a_volume(self, mydocker):
        assert "invalid container name 'a'" in mydocker.fails("create", "--name", "a", "busybox")
        assert "invalid container name '/a'" in mydocker.fails("create", "--name", "/a", "busybox")
        assert "invalid volume name 'a'" in mydocker.fails("volume", "create", "a", rc=125)
        assert "invalid volume name 'a'" in mydocker.fails("create", "-v", "a:/data", "busybox")

    def test_as_docker(self, docker, mydocker):
        mydocker.ok("tag", "busybox", "a")
        for words in (
            ["create", "--name", "a", "busybox"],
            ["create", "--name", "//ab", "busybox"],
            ["volume", "create", "a"],
            ["create", "--mount", "type=volume,src=a,dst=/data", "busybox"],
            ["network", "create", "a"],
            ["network", "rm", "a"],
            ["tag", "busybox", "a"],
            ["rmi", "a"],
        ):
            assert (docker(*words).rc == 0) == (mydocker(*words).rc == 0), words
