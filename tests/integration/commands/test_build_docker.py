"""The same Dockerfiles built by mydocker and by docker, and the same images under docker.

The builders are BuildKit of docker 28.5, and BuildKit and the classic builder of 20.10. A Dockerfile of which one makes
something else than mydocker is in its DIFFERENT, with the reason. Each is named in a row of docs/dockerfile.md.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from archives import busybox
from builds import DOCKERFILES, OPTIONS, Built, read
from copies import make_context

pytestmark = [pytest.mark.local, pytest.mark.peer]

# What both builders of 20.10 do not know: they refuse it.
NEWER = (
    "healthcheck start",
    "run heredoc",
    "run script",
    "run network",
    "mount secret env",
    "copy heredoc",
    "expansion",
)
NEWER += ("copy link", "copy exclude", "copy parents", "add link", "add exclude", "add unpack")
MOUNTS = ("mount bind", "mount cache", "mount tmpfs", "mount secret")
OF_BUILDKIT = "needs BuildKit there"
# For each builder, what it makes otherwise or refuses, or builds where mydocker does not; with the reason.
DIFFERENT = {
    "28.5": {"copy parents": "its front end does not know it, newer ones do"},
    "20.10 BuildKit": {
        **dict.fromkeys(NEWER, "newer than this docker"),
        "check": "a comment, as it is newer",
        "copy": "it loses the times of directories",
        "copy chown": "likewise",
        "copy chmod": "new directories on the way do not get the mode",
        "add chmod": "likewise",
        "add chown": "members of an archive keep their owners",
    },
    "20.10 classic": {
        **dict.fromkeys(NEWER, "newer than this docker"),
        **dict.fromkeys(MOUNTS, OF_BUILDKIT),
        **dict.fromkeys(("copy chmod", "copy chmod symbolic", "add chmod"), OF_BUILDKIT),
        "check": "a comment, as it is newer",
        "from": "it runs stages that nothing needs",
        "from scratch": "it sets no working directory",
        "arg over env": "ENV goes before ARG",
        "arg of a parent": "a stage inherits no ARG",
        "workdir owner": "it is root's",
        "volume written": "it drops what is written to a volume",
        "copy": "a directory's own time is that of the build",
        "copy chown": "likewise; and directories made on the way are root's",
        "add chown": "members of an archive keep their owners",
    },
}


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    top = tmp_path_factory.mktemp("docker") / "context"
    top.mkdir()
    make_context(top)
    (top / "SECRET").write_text("sesame")
    return top


@pytest.fixture(scope="module")
def base(machine, context):
    """An archive of the image bb, which all have: busybox with two users."""
    files = (
        ("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nbob:x:1234:1235:bob:/home/bob:/bin/sh\n"),
        ("etc/group", b"root:x:0:\nstaff:x:50:\nbob:x:1235:\n"),
        ("root/x", b""),
    )
    archive = context.parent / "bb.tar"
    make = (("import", "-c", "ENV PATH=/bin", "-", "bb"), ("save", "-o", str(archive), "bb"))
    for words in make:
        result = machine.run(machine.program, *words, input=busybox(*files))
        assert result.rc == 0, result.stderr
    yield archive
    machine.run(machine.program, "rmi", "-f", "bb")


def options(name: str, context: str) -> list[str]:
    return [word.replace("SECRET", f"{context}/SECRET") for word in OPTIONS.get(name, ())]


@pytest.fixture(scope="module")
def ours(machine, base, context):
    """What mydocker makes of each Dockerfile: None if it is refused."""
    made: dict[str, Built | None] = {}
    for name, text in DOCKERFILES.items():
        (context / "Dockerfile").write_text(text.removeprefix("?"))
        words = ["build", "-q", "--network=none", "-t", "case", *options(name, str(context)), str(context)]
        result = machine.run(machine.program, *words)
        made[name] = None
        if result.rc == 0:
            archive = context.parent / "case.tar"
            assert machine.run(machine.program, "save", "-o", str(archive), "case").rc == 0
            made[name] = read(archive, base)
    for words in (("rmi", "-f", "case"), ("image", "prune", "-f"), ("builder", "prune", "-a", "-f")):
        machine.run(machine.program, *words)
    return made


def test_what_is_refused(ours):
    assert [name for name, built in ours.items() if not built] == [
        name for name, text in DOCKERFILES.items() if text.startswith("?")
    ]


def theirs(run, name: str, context: Path, base: Path, place: Path, seen: str = "") -> Built | None:
    """Build with a docker. run: runs its words. place: a directory for the archive. seen: the place's name there."""
    there = seen or str(place)
    (context / "Dockerfile").write_text(DOCKERFILES[name].removeprefix("?"))
    where = f"{there}/context" if seen else str(context)
    if run("build", "-q", "--network=none", "-t", "case", *options(name, where), where).rc:
        return None
    assert run("save", "-o", f"{there}/theirs.tar", "case").rc == 0
    return read(place / "theirs.tar", base)


def differences(builder: str, made: dict[str, Built | None], ours: dict[str, Built | None]) -> dict[str, object]:
    """The Dockerfiles whose results differ without a reason, and those that have a reason and do not differ."""
    wrong: dict[str, object] = {}
    for name, image in made.items():
        own = ours[name]
        found: dict | str = image.differences(own) if image and own else ""
        if bool(image) != bool(own):
            found = "built" if image else "refused"
        if builder != "28.5" and isinstance(found, dict):
            found.pop("history", None)  # of another form: without flags, or `/bin/sh -c #(nop) …`
        if bool(found) != (name in DIFFERENT[builder]):
            wrong[name] = found or "does not differ"
    return wrong


@pytest.mark.parametrize("newer_host", ["sid"], indirect=True)
def test_images_are_those_of_docker(newer_host, ours, base, context):
    share = newer_host.share
    subprocess.run(["cp", "-a", context, share / "context"], check=True)
    shutil.copy(base, share / "bb.tar")
    newer_host.ok("docker", "load", "-i", "/mnt/bb.tar")
    made = {
        name: theirs(lambda *words: newer_host("docker", *words), name, share / "context", base, share, "/mnt")
        for name in DOCKERFILES
    }
    newer_host("sh", "-c", "docker rmi -f $(docker images -q)")
    shutil.rmtree(share / "context")
    assert differences("28.5", made, ours) == {}


@pytest.mark.parametrize("builder", ["20.10 BuildKit", "20.10 classic"])
def test_images_are_those_of_docker_20(builder, docker, ours, base, context):
    env = {"DOCKER_BUILDKIT": "1" if builder.endswith("BuildKit") else "0"}
    docker.ok("load", "-i", str(base))
    made = {
        name: theirs(lambda *words: docker(*words, env=env), name, context, base, context.parent)
        for name in DOCKERFILES
    }
    assert differences(builder, made, ours) == {}


# Every field of a config that docker has and mydocker does not act on is in it.
CARRIED = """FROM bb
RUN mkdir -m 2755 /o && echo a >/o/a && chown 7:8 /o/a && chmod 4711 /o/a && ln /o/a /o/b && ln -s a /o/c
ENV A="b c"
USER bob
WORKDIR /o/w
VOLUME /v
EXPOSE 80 53/udp
LABEL a="b c"
STOPSIGNAL SIGQUIT
SHELL ["/bin/sh", "-ec"]
HEALTHCHECK --interval=5s --timeout=3s --start-period=1m --retries=2 CMD test -e /o
ONBUILD RUN echo "child $0 $-" >/o/w/a
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["id -u; pwd; echo $A; stat -c '%n %a %u %g %h' /o /o/*"]
"""


@pytest.fixture(scope="module")
def carried(machine, base, context):
    """An archive of the image of CARRIED, and its ID, config and output as mydocker says them."""

    def mydocker(*words: str, **keywords) -> str:
        result = machine.run(machine.program, *words, **keywords)
        assert result.rc == 0, result.stderr
        return result.stdout

    mydocker("build", "-q", "--network=none", "-t", "carried", "-", input=CARRIED.encode())
    mydocker("save", "-o", str(context.parent / "carried.tar"), "carried")
    (image,) = json.loads(mydocker("inspect", "carried"))
    output = mydocker("run", "--rm", "--net", "none", "carried")
    for words in (("rmi", "-f", "carried"), ("image", "prune", "-f"), ("builder", "prune", "-a", "-f")):
        mydocker(*words)
    return context.parent / "carried.tar", image, output


@pytest.mark.parametrize("newer_host", ["sid"], indirect=True)
def test_an_image_is_the_same_under_docker(newer_host, carried):
    shutil.copy(carried[0], newer_host.share / "carried.tar")
    same_under(lambda *words, **keywords: newer_host.ok("docker", *words, **keywords), "/mnt", carried)
    newer_host("sh", "-c", "docker rmi -f $(docker images -q)")


def test_an_image_is_the_same_under_docker_20(docker, carried):
    same_under(docker.ok, str(carried[0].parent), carried)


def same_under(docker, place: str, carried) -> None:
    """docker: runs its words, which must succeed. place: the directory of the archive, as docker sees it."""
    _, ours, output = carried
    assert "carried:latest" in docker("load", "-i", f"{place}/carried.tar")
    (theirs,) = json.loads(docker("image", "inspect", "carried"))
    assert (theirs["Id"], theirs["RootFS"]["Layers"]) == (ours["Id"], ours["RootFS"]["Layers"])
    for field in ("Healthcheck", "OnBuild", "Shell", "StopSignal", "Env", "Cmd", "Entrypoint", "User", "WorkingDir"):
        assert theirs["Config"][field] == ours["Config"][field], field
        assert theirs["Config"][field], field
    for field in ("Labels", "ExposedPorts", "Volumes"):
        assert theirs["Config"][field] == ours["Config"][field], field
    assert docker("run", "--rm", "--net", "none", "carried").rstrip() == output.rstrip()
    child = b"FROM carried\nENTRYPOINT []\nRUN cat /o/w/a\nCMD cat /o/w/a\n"
    docker("build", "-q", "--network=none", "-t", "child", "-", input=child)
    assert docker("run", "--rm", "--net", "none", "child").rstrip() == "child /bin/sh ce"
