"""docker's --filter on containers, images, volumes and networks: what it lets through, and what it refuses."""

from __future__ import annotations

import pytest

# Of what set_up() has made: filters of `ps -a` -> the containers' names. N: the names' beginning.
CONTAINERS = {
    "ancestor=N-app": "app child grand moved",
    "ancestor=N-app:latest": "app child grand moved",
    "ancestor=N-app:1": "",
    "ancestor=N-child": "child grand",
    "ancestor=N-grand:2": "grand",
    "ancestor=N-grand": "",
    "ancestor=N-nosuch": "",
    "ancestor=": "",
    "volume=N-volume": "volumes",
    "volume=N-vol": "",
    "volume=/data": "volumes",
    "volume=/data/": "",
    "volume=/dat": "",
    "volume=/host": "volumes",
    "volume=/etc": "volumes",
    "volume=/scratch": "",
    "volume=/small": "volumes",
    "volume=/anonymous": "volumes",
    "publish=18080": "ports",
    "publish=18080/udp": "",
    "publish=80": "",
    "publish=18000-19000": "ports",
    "expose=80": "ports",
    "expose=77/tcp": "ports",
    "expose=70-79": "ports",
    "expose=53": "",
    "expose=53/udp": "ports",
    "status=dead": "",
    "status=paused": "",
    "status=removing": "",
    "status=running": "ports",
    "health=none": "app child grand moved ports volumes",
    "health=healthy": "",
    "is-task=false": "app child grand moved ports volumes",
    "is-task=true": "",
    "exited=999": "",
    "network=none": "app child grand moved volumes",
    "network=": "app child grand moved ports volumes",
    "network=non": "",
    " NAME = N-app ": "app",
    "name=^/N-app$": "app",
}
VOLUMES = {
    "name=N-a": "alpha",
    "name=N.*ta$": "b.ta",
    "name=^N-b": "b.ta beta1",
    "name=N-b.ta": "b.ta beta1",
    r"name=N-b\.ta": "b.ta",
    "name=N-al|N-be": "alpha beta1",
    "driver=local": "alpha b.ta beta1 used",
    "driver=loc": "",
    "label=k": "beta1",
    "label=k=v": "beta1",
    "label=k=w": "",
    "dangling=true": "alpha b.ta beta1",
    "dangling=1": "alpha b.ta beta1",
    "dangling=false": "used",
    "dangling=0": "used",
}
REFUSED = [
    ["ps", "-f", "foo=bar"],
    ["ps", "-f", "status=foo"],
    ["ps", "-f", "status="],
    ["ps", "-f", "health=fine"],
    ["ps", "-f", "is-task=1"],
    ["ps", "-f", "exited=abc"],
    ["ps", "-f", "publish=abc"],
    ["ps", "-f", "publish=99999"],
    ["ps", "-f", "expose=90-80"],
    ["ps", "-f", "before=nosuch"],
    ["ps", "-f", "name"],
    ["volume", "ls", "-f", "foo=bar"],
    ["volume", "ls", "-f", "scope=local"],
    ["volume", "ls", "-f", "dangling=maybe"],
    ["volume", "ls", "-f", "dangling=True"],
    ["network", "ls", "-f", "foo=bar"],
    ["network", "ls", "-f", "dangling=t"],
    ["network", "ls", "-f", "type=foo"],
    ["images", "-f", "foo=bar"],
    ["images", "-f", "dangling=maybe"],
    ["images", "-f", "before=nosuch"],
]


@pytest.fixture
def tidy(request, mydocker, name):
    """Takes away again what set_up() makes of images and volumes."""
    yield
    mydocker.remove_all()
    for image in ("grand:2", "child", "app"):
        mydocker("rmi", "-f", f"{name}-{image}")
    for image in mydocker.ok("images", "-q", "-f", "dangling=true").split():
        mydocker("rmi", image)
    mydocker("volume", "prune", "-f")
    mydocker("volume", "rm", *[f"{name}-{each}" for each in ("alpha", "b.ta", "beta1", "used", "volume")])


def set_up(typed, name: str) -> None:
    quiet = ["create", "--net", "none"]
    for image, container in (("app", "app"), ("app", "moved"), ("child", "child"), ("grand:2", "grand")):
        if container == "app":
            typed.ok(*quiet, "--name", f"{name}-first", "busybox")
            typed.ok("commit", "-m", name, f"{name}-first", f"{name}-app")
            typed.ok("rm", f"{name}-first")
        typed.ok(*quiet, "--name", f"{name}-{container}", f"{name}-{image}")
        if container == "moved":
            typed.ok("commit", f"{name}-app", f"{name}-child")
        if container == "child":
            typed.ok("commit", "--change", "LABEL a=b", f"{name}-child", f"{name}-grand:2")
    typed.ok(
        *quiet, "--name", f"{name}-volumes", "-v", f"{name}-volume:/data", "-v", "/etc:/host", "--tmpfs", "/scratch",
        "--mount", "type=tmpfs,dst=/small", "-v", "/anonymous", "busybox",
    )  # fmt: skip
    ports = ["-p", "127.0.0.1:18080:80", "--expose", "77", "--expose", "53/udp"]
    typed.ok("run", "-d", "--name", f"{name}-ports", *ports, "busybox", "sleep", "1000")


def make_volumes(typed, name: str) -> None:
    typed.ok("volume", "create", f"{name}-alpha")
    typed.ok("volume", "create", f"{name}-b.ta")
    typed.ok("volume", "create", "--label", "k=v", f"{name}-beta1")
    typed.ok("create", "--net", "none", "--name", f"{name}-using", "-v", f"{name}-used:/data", "busybox")


def shown(typed, words: list[str], filters: dict[str, str], name: str) -> dict[str, str]:
    """The containers that each filter lets through, without the common start of their names."""
    found = {}
    for text in filters:
        lines = typed.ok(*words, "-f", text.replace("N", name) if text != " NAME = N-app " else f" NAME = {name}-app ")
        ours = [line for line in lines.splitlines() if line.startswith(f"{name}-")]
        found[text] = " ".join(sorted(line[len(name) + 1 :] for line in ours))
    return found


PS = ["ps", "-a", "--format", "{{.Names}}"]
VOLUME_LS = ["volume", "ls", "-q"]


class TestContainers:
    def test_each_filter(self, mydocker, name, tidy):
        set_up(mydocker, name)
        assert shown(mydocker, PS, CONTAINERS, name) == CONTAINERS

    def test_as_docker(self, docker, name):
        set_up(docker, name)
        assert shown(docker, PS, CONTAINERS, name) == CONTAINERS
        docker.ok("rm", "-f", f"{name}-ports")

    def test_an_ancestor_by_its_id(self, mydocker, name, tidy):
        set_up(mydocker, name)
        whole = mydocker.ok("inspect", "-f", "{{.Image}}", f"{name}-child")
        for text in (whole, whole[7:], whole[7:19]):
            assert shown(mydocker, PS, {f"ancestor={text}": ""}, name) == {f"ancestor={text}": "child grand"}

    def test_an_image_whose_name_is_anothers_now_is_shown_by_its_id(self, mydocker, name, tidy):
        set_up(mydocker, name)
        whole = mydocker.ok("inspect", "-f", "{{.Image}}", f"{name}-app")
        assert mydocker.ok("ps", "-a", "-f", f"name={name}-app", "--format", "{{.Image}}") == f"{name}-app"
        mydocker.ok("tag", f"{name}-child", f"{name}-app")
        assert mydocker.ok("ps", "-a", "-f", f"name={name}-app", "--format", "{{.Image}}") == whole[7:19]
        assert mydocker.ok("ps", "-a", "-f", f"name={name}-app", "--format", "{{.Image}}", "--no-trunc") == whole
        assert mydocker.ok("ps", "-a", "-f", f"name={name}-child", "--format", "{{.Image}}") == f"{name}-child"
        assert mydocker.ok("inspect", "-f", "{{.Config.Image}}", f"{name}-app") == f"{name}-app"


class TestVolumes:
    def test_each_filter(self, mydocker, name, tidy):
        make_volumes(mydocker, name)
        assert shown(mydocker, VOLUME_LS, VOLUMES, name) == VOLUMES

    def test_as_docker(self, docker, name):
        make_volumes(docker, name)
        assert shown(docker, VOLUME_LS, VOLUMES, name) == VOLUMES


class TestRefused:
    @pytest.mark.parametrize("words", REFUSED)
    def test_what_is_no_filter(self, mydocker, words):
        assert words[-1].partition("=")[2] in mydocker.fails(*words, rc=1 if "=" in words[-1] else 125)

    def test_as_docker(self, docker):
        codes = [docker(*words).rc for words in REFUSED]
        assert codes == [1 if "=" in words[-1] else 125 for words in REFUSED]


def test_dangling_images_by_number(mydocker):
    """As docker 28 and, for volumes, docker 20.10 take it."""
    for yes, no in (("true", "false"), ("1", "0")):
        assert mydocker.ok("images", "-q", "-f", f"dangling={no}")
        assert mydocker.ok("images", "-f", f"dangling={yes}").count("\n") == 0
