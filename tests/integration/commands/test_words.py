"""Words that others type: docker's names, options and commands. What mydocker takes, it takes as docker does; what it
refuses, it refuses with a line that helps: what that line says to type works as it stands there.

Where docker is installed it is asked; its answers also stand here.
"""

from __future__ import annotations

import json
import re

import pytest
from machine import CHECKOUT

from mydocker.cli import dockerwords
from mydocker.generated.fasttable import ALIASES, COMMANDS

QUICK = ("--rm", "--net", "none")


class TestABusyboxCommand:
    @pytest.mark.parametrize("verb", ["run", "create"])
    def test_that_could_have_been_meant_as_an_image(self, mydocker, keeps_containers, verb):
        result = mydocker(verb, "--net", "none", "printf", "hi")
        assert (result.rc, result.stderr) == (
            0,
            "mydocker: there is no image 'printf' here: the command 'printf' runs in busybox:latest\n",
        )

    def test_that_is_said_to_be_one(self, mydocker):
        for words in (("/bin/printf", "hi"), ("busybox", "printf", "hi"), ("busybox:latest", "printf", "hi")):
            result = mydocker("run", *QUICK, *words)
            assert (result.rc, result.stdout, result.stderr) == (0, "hi", "")

    def test_once_there_is_an_image_it_is_the_image(self, mydocker, make):
        mydocker.ok("tag", make([]), "printf")
        try:
            result = mydocker("run", *QUICK, "printf", "echo", "the image")
            assert (result.rc, result.stdout, result.stderr) == (0, "the image\n", "")
        finally:
            mydocker.ok("rmi", "printf")


class TestNames:
    HUB = ("busybox", "library/busybox", "docker.io/busybox", "docker.io/library/busybox:latest",
           "index.docker.io/busybox", "index.docker.io/library/busybox")  # fmt: skip
    OTHERS = ("quay.io/library/busybox", "registry-1.docker.io/library/busybox", "localhost/busybox", "user/busybox")

    def test_of_docker_hub_are_one_wherever_an_image_is_named(self, mydocker, name):
        (image_id,) = {mydocker.ok("inspect", "-f", "{{.Id}}", spelling) for spelling in self.HUB}
        for spelling in self.HUB:
            assert mydocker.ok("run", *QUICK, spelling, "echo", "ok") == "ok"
            mydocker.ok("tag", spelling, f"index.docker.io/library/{name}:1")
            assert mydocker.ok("images", "--format", "{{.Repository}}:{{.Tag}}", f"docker.io/{name}") == f"{name}:1"
            assert mydocker.ok("images", "-q", "--no-trunc", "--filter", f"reference=library/{name}") == image_id
            assert mydocker.ok("rmi", f"docker.io/library/{name}:1") == f"Untagged: {name}:1"
        for spelling in self.OTHERS:
            assert "neither an image here" in mydocker.fails("run", *QUICK, "--pull", "never", spelling)
            missing = mydocker("rmi", spelling)
            assert missing.stderr == f"mydocker: no such image: {spelling} (see 'mydocker images')\n"

    def test_of_what_is_made(self, mydocker, machine, name, directory):
        mydocker.ok("create", "--net", "none", "--name", name, "docker.io/library/busybox")
        assert mydocker.ok("ps", "-a", "--filter", f"name={name}", "--format", "{{.Image}}") == "busybox"
        assert mydocker.inspect(name, "Config", "Image") == "docker.io/library/busybox"
        mydocker.ok("export", "-o", f"{directory}/tar", name)
        made = [f"{name}-1:latest", f"{name}-2:x", f"user/{name}:latest", f"quay.io/library/{name}:latest"]
        mydocker.ok("commit", name, f"docker.io/library/{name}-1")
        mydocker.ok("import", f"{directory}/tar", f"library/{name}-2:x")
        mydocker.ok("commit", name, f"index.docker.io/user/{name}")
        mydocker.ok("commit", name, f"quay.io/library/{name}")
        try:
            for wanted in made:
                assert mydocker.ok("inspect", "-f", "{{json .RepoTags}}", wanted) == json.dumps([wanted])
            assert mydocker.ok("images", "--format", "{{.Repository}}", f"*{name}*").split() == [
                f"{name}-2",
                f"{name}-1",
            ]
            assert mydocker.ok("images", "--format", "{{.Repository}}", f"*/*/{name}") == f"quay.io/library/{name}"
        finally:
            mydocker.ok("rmi", *made)

    def test_are_dockers(self, docker):
        """The source of the right values above."""
        for spelling in self.HUB:
            assert docker.ok("inspect", "-f", "{{json .RepoTags}}", spelling) == '["busybox:latest"]'
        for spelling in self.OTHERS:
            assert docker("inspect", spelling).rc == 1
        script = """
            docker create --name named docker.io/library/busybox true >/dev/null
            docker ps -a --format '{{.Image}}'; docker inspect -f '{{.Config.Image}}' named; docker rm named >/dev/null
            for name in docker.io/library/n1 library/n2:x index.docker.io/user/n3 quay.io/library/n4
            do
                docker tag busybox $name; docker images --format '{{.Repository}}:{{.Tag}}' | grep n; docker rmi $name
            done
            docker tag busybox user/n5; docker images --format '{{.Repository}}' '*'; docker rmi user/n5 >/dev/null"""
        assert docker.shell(script).stdout.split() == [
            "busybox", "docker.io/library/busybox",
            *("n1:latest", "Untagged:", "n1:latest", "n2:x", "Untagged:", "n2:x"),
            *("user/n3:latest", "Untagged:", "user/n3:latest"),
            *("quay.io/library/n4:latest", "Untagged:", "quay.io/library/n4:latest"),
            "busybox",
        ]  # fmt: skip


class TestTheLineSaysWhatToType:
    def quoted(self, line: str) -> list[str]:
        return re.findall("'((?:mydocker|skopeo|tar|du) [^']*)'", line)

    def typed(self, machine, line: str, directory: str, *changes: tuple[str, str]) -> str:
        for before, after in changes:
            assert before in line
            line = line.replace(before, after)
        result = machine.shell(f"cd {directory}; PATH={directory}:$PATH; {line}")
        assert result.rc == 0, f"{line}\n{result.stdout}{result.stderr}"
        return result.stdout

    @pytest.fixture
    def path(self, machine, directory):
        """A directory with a `mydocker` as typed."""
        machine.shell(f"ln -s {machine.program} {directory}/mydocker")
        return directory

    def test_to_get_an_image(self, machine, mydocker, name, path):
        """The pull is in test_registry.py; here is the way without a registry."""
        image = f"library/{name}"
        line = mydocker.fails("run", *QUICK, "--pull", "never", image)
        pulling, loading = self.quoted(line)
        assert pulling == f"mydocker pull {image}"
        mydocker.ok("tag", "busybox", image)
        mydocker.ok("save", "-o", f"{path}/FILE", image)
        mydocker.ok("rmi", image)
        self.typed(machine, loading, path)
        assert mydocker.ok("run", *QUICK, image, "echo", "loaded") == "loaded"
        mydocker.ok("rmi", image)


def test_no_word_of_dockers_is_unknown(docker):
    """Each command and option of docker is one here, or the error knows it. What mydocker has learnt is not listed. The
    table docs/docker.md is made of this docker's words."""
    taken = {*COMMANDS, *ALIASES}
    groups = {path[:1] for path in taken if len(path) == 2}

    def help_of(*path: str) -> tuple[list[str], set[str]]:
        text = docker.ok(*path, "--help")
        listed = re.findall(r"^  ([a-z][a-z-]*)\*? +[A-Z*]", text.partition("ommands:")[2], re.MULTILINE)
        return listed, set(re.findall(r"(?:^ +|, )(--?[a-z0-9-]+)", text, re.MULTILINE | re.IGNORECASE)) - {"--help"}

    listed: dict[str, list[str]] = {}
    todo, unknown, learnt = [()], [], [path for path in dockerwords.COMMANDS if path in taken | groups]
    while todo:
        path = todo.pop()
        commands, options = help_of(*path)
        if path[-1:] != ("build",):  # the daemon decides which options it has
            listed[" ".join(path)] = sorted(name[2:] for name in options if name.startswith("--"))
        own = COMMANDS[ALIASES.get(path, path)][3] if path in taken else {"-v": "", "--version": ""}
        unknown += [(*path, name) for name in options if name not in own and dockerwords.option(path, name) is None]
        learnt += [(*path, name) for name in dockerwords.OPTIONS.get(path, ()) if name in own]
        for inner in ((*path, word) for word in commands):
            if inner in taken or inner in groups:
                todo.append(ALIASES.get(inner, inner))
            elif dockerwords.command(inner) is None:
                unknown.append(inner)
    assert (unknown, learnt) == ([], [])
    recorded = json.loads((CHECKOUT / "docs/docker.json").read_text())
    version = ".".join(docker.ok("--version").split()[2].split(".")[:2])
    assert version not in recorded or listed.items() <= recorded[version].items()


class TestWhatHappensAnyway:
    TAKEN = (
        "--log-driver json-file", "--log-driver local", "--log-opt max-size=1k", "--pull missing", "--pull never",
        "--platform linux", "--platform linux/{arch}", "--runtime runc", "--cgroupns private", "--userns host",
        "--sig-proxy=true", "--isolation default", "--no-healthcheck", "--disable-content-trust",
        "--volume-driver local -v /a", "-i -t=false", "-it=false", "-v /tmp:/a -v /tmp:/a", "--tmpfs /a --tmpfs /a",
        "-v /a --tmpfs /a", "-v /a -v /a/", "-p 8:80 -P --expose 8",
    )  # fmt: skip
    REFUSED = (
        "--log-opt max-size=0", "--log-opt max-file=0", "--platform nosuch", "--runtime crun",
        "--cgroupns nosuch", "--userns private", "--isolation process", "--sig-proxy=x", "-v /tmp:/a -v /etc:/a",
        "-v /tmp:/a -v /tmp:/a:ro", "-v /tmp:/a --tmpfs /a",
    )  # fmt: skip
    # What docker can and mydocker can't: never taken for what it is not. (docker looks 15 s for a plugin nosuch.)
    BEYOND = (
        "--log-driver nosuch",
        "--log-driver none", "--log-driver syslog", "--pull always", "--platform linux/nosuch",
        "--disable-content-trust=false", "--volume-driver nosuch",
    )  # fmt: skip

    def words(self, machine, options: str) -> list[str]:
        arch = {"x86_64": "amd64", "aarch64": "arm64"}
        own = machine.run("uname", "-m").stdout.strip()
        return options.format(arch=arch.get(own, own)).split()

    def test_is_taken(self, machine, mydocker):
        for options in self.TAKEN:
            words = self.words(machine, options)
            assert mydocker.ok("run", *QUICK, *words, "busybox", "echo", "ok") == "ok", options

    def test_is_taken_by_create(self, machine, mydocker, keeps_containers):
        words = self.words(machine, " ".join(each for each in self.TAKEN if "sig" not in each and ":/a" not in each))
        assert len(mydocker.ok("create", "--net", "none", *words, "busybox", "true")) == 64

    def test_of_any_other_value_is_refused(self, machine, mydocker):
        for options in self.REFUSED + self.BEYOND:
            line = mydocker.fails("run", *QUICK, *self.words(machine, options), "busybox", "true")
            assert re.fullmatch(r"mydocker: .* \(.+\)", line), options

    def test_is_what_docker_takes_and_refuses(self, machine, docker):
        def script(options: str) -> str:
            at_start = "sig" in options or "max-" in options  # the others are looked at by create, which is quicker
            verb = "run --rm" if at_start else "create"
            words = " ".join(self.words(machine, options))
            return f"docker {verb} --net none {words} busybox true >/dev/null 2>&1; echo $?\n"

        together = [" ".join(options for options in self.TAKEN if "/a" not in options)]
        taken = together + [options for options in self.TAKEN if "/a" in options]
        answers = docker.shell("".join(map(script, [*taken, *self.REFUSED]))).stdout.split()
        docker.shell("docker rm -v $(docker ps -aq)")
        assert [options for options, code in zip(taken, answers) if code != "0"] == []
        refused = answers[len(taken) :]
        assert [options for options, code in zip(self.REFUSED, refused) if code not in ("1", "125")] == []
        assert len(refused) == len(self.REFUSED)

    def test_the_last_tmpfs_counts(self, mydocker):
        script = "grep ' /a ' /proc/mounts"
        for options, size in (
            ("--tmpfs /a:size=1m --tmpfs /a:size=2m", "2048k"),
            ("--tmpfs /a:size=1m --tmpfs /a", ""),
        ):
            (line,) = mydocker.sh(script, *options.split()).splitlines()
            assert re.findall("size=([0-9]+k)", line) == ([size] if size else [])

    def test_for_an_image_of_another_machine(self, mydocker, machine, name):
        if not machine.local:
            pytest.skip("writes an image as another tool would")
        mydocker.ok("tag", "busybox", name)
        path = f"{machine.env['MYDOCKER_ROOT']}/images"
        script = """
import hashlib, json, sys
def put(data):
    data = json.dumps(data).encode()
    digest = hashlib.sha256(data).hexdigest()
    open(f"{root}/blobs/sha256/{digest}", "wb").write(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}
root, name = sys.argv[1:]
index = json.load(open(f"{root}/index.json"))
(row,) = [row for row in index["manifests"] if row["annotations"]["org.opencontainers.image.ref.name"] == name]
manifest = json.load(open(f"{root}/blobs/sha256/{row['digest'][7:]}"))
config = json.load(open(f"{root}/blobs/sha256/{manifest['config']['digest'][7:]}"))
manifest["config"].update(put({**config, "architecture": "s390x"}))
row.update(put(manifest))
json.dump(index, open(f"{root}/index.json", "w"))
"""
        assert machine.python(script, path, f"{name}:latest").rc == 0
        assert mydocker.ok("run", *QUICK, name, "echo", "ok") == "ok"
        line = mydocker.fails("run", *QUICK, "--platform", "linux", name, "true")
        assert line == f"mydocker: image {name} is not for platform 'linux' (it is for linux/s390x)"
        mydocker.ok("rmi", name)

    def test_with_other_commands(self, machine, mydocker, name, directory):
        mydocker.ok("volume", "create", "-d", "local", name)
        assert "nfs" in mydocker.fails("volume", "create", "-d", "nfs", f"{name}-2", rc=125)
        assert mydocker.ok("volume", "rm", name) == name
        mydocker.ok("network", "create", "--ipam-driver", "default", "--scope", "local", f"n{name}")
        mydocker.ok("network", "rm", f"n{name}")
        for options in (("--ipam-driver", "dhcp"), ("--scope", "swarm")):
            assert options[1] in mydocker.fails("network", "create", *options, f"n{name}", rc=125)
        mydocker.ok("create", "--net", "none", "--name", name, "busybox", "sleep", "1000")
        mydocker.ok("export", "-o", f"{directory}/tar", name)
        assert "s390" in mydocker.fails("import", "--platform", "linux/s390", f"{directory}/tar", name, rc=125)
        mydocker.ok("import", "--platform", "linux", f"{directory}/tar", name)
        for option in ("-p", "--pause=false"):  # what does not run needs no pause
            assert mydocker("commit", option, name, name).stderr == ""
        mydocker.ok("start", name)
        assert mydocker.ok("rmi", "--no-prune", name).startswith(f"Untagged: {name}:latest")
        mydocker.ok("rmi", "-f", *mydocker.ok("images", "-q", "--filter", "dangling=true").split())


class TestPortsThatNoNetworkPublishes:
    """docker's words on it, and what its inspect says, are in docker_says."""

    HOST = "WARNING: Published ports are discarded when using host network mode"

    def docker_says(self, docker, *options: str) -> tuple[str, list[str]]:
        made = docker("create", "--name", "ports", *options, "busybox", "sleep", "100")
        try:
            docker.ok("start", "ports")
            return made.stderr.strip(), [
                docker.ok("inspect", "-f", "{{json .HostConfig.PortBindings}}", "ports"),
                docker.ok("inspect", "-f", "{{json .NetworkSettings.Ports}}", "ports"),
                docker.ok("port", "ports"),
                docker.ok("ps", "--format", "{{.Ports}}"),
            ]
        finally:
            docker.ok("rm", "-f", "ports")

    BINDINGS = '{"80/tcp":[{"HostIp":"","HostPort":"18080"}]}'

    @pytest.mark.parametrize("net", ["host", "none", "internal"])
    def test_are_discarded(self, mydocker, name, net):
        network = net
        if net == "internal":
            network = f"n{name}"
            mydocker.ok("network", "create", "--internal", network)
        options = ("--net", network, "-p", "18080:80", "--expose", "90")
        try:
            made = mydocker("run", "-d", "--name", name, *options, "busybox", "sleep", "1000")
            assert made.rc == 0
            warning = self.HOST if net == "host" else "WARNING: Published ports are discarded "
            assert made.stderr.startswith(f"mydocker: {warning}")
            assert len(made.stderr.splitlines()) == 1
            assert mydocker.inspect(name, "HostConfig", "PortBindings") == json.loads(self.BINDINGS)
            assert mydocker.ok("port", name) == ""
            if net != "internal":
                assert mydocker.inspect(name, "NetworkSettings", "Ports") == {}
                assert mydocker.ok("ps", "--format", "{{.Ports}}") == ""
            mydocker.ok("rm", "-f", name)
        finally:
            if net == "internal":
                mydocker.remove_all()
                mydocker.ok("network", "rm", network)

    def test_come_with_a_network_that_does(self, mydocker, name):
        mydocker.ok("network", "create", "--internal", f"n{name}")
        try:
            mydocker.ok("run", "-d", "--name", name, "--net", f"n{name}", "-p", "18080:80", "busybox", "sleep", "1000")
            mydocker.ok("network", "connect", "bridge", name)
            assert mydocker.ok("port", name) == "80/tcp -> 0.0.0.0:18080"
            mydocker.ok("rm", "-f", name)
        finally:
            mydocker.remove_all()
            mydocker.ok("network", "rm", f"n{name}")

    @pytest.mark.parametrize("options", [("-p", "80:80"), ("-P",), ("--expose", "80")])
    def test_are_refused_for_one_that_is_another_containers(self, mydocker, name, options):
        mydocker.detached("--name", name, "busybox", "sleep", "1000")
        line = mydocker.fails("run", "--rm", "--net", f"container:{name}", *options, "busybox", "true")
        assert "conflicting options: port publishing and --net" in line

    def test_are_dockers(self, docker):
        docker.ok("network", "create", "--internal", "inner")
        for net in ("host", "none", "inner"):
            said, found = self.docker_says(docker, "--net", net, "-p", "18080:80", "--expose", "90")
            assert (said, found) == (self.HOST if net == "host" else "", [self.BINDINGS, "{}", "", ""])
        docker.ok("network", "rm", "inner")
        docker.ok("create", "--net", "none", "--name", "other", "busybox")
        for options in (("-p", "80:80"), ("-P",), ("--expose", "80")):
            assert docker("create", "--net", "container:other", *options, "busybox").rc == 1
        docker.ok("rm", "other")


class TestLogs:
    ALL, NONE = "1\n2\n3", ""
    CASES = (
        ("--tail=-1", ALL), ("--tail=-5", ALL), ("--tail=all", ALL), ("--tail=", ALL), ("--tail=0", NONE),
        ("--tail=2", "2\n3"), ("--since=-1s", NONE), ("--since=-1h30m", NONE), ("--since=1h", ALL),
        ("--since=+1h", ALL), ("--until=-1s", ALL), ("--until=1h", NONE), ("--since=-5", None), ("--since=abc", None),
        ("--since=", ALL),
    )  # fmt: skip

    def test_from_where_to_where(self, mydocker, name):
        mydocker.detached("--name", name, "busybox", "seq", "3")
        mydocker.ok("wait", name)
        for option, expected in self.CASES:
            if expected is None:
                assert "invalid time" in mydocker("logs", option, name).stderr
            else:
                assert mydocker.ok("logs", option, name) == expected, option

    def test_is_dockers(self, docker):
        docker.ok("run", "--name", "seq", "busybox", "seq", "3")
        for option, expected in self.CASES:
            result = docker("logs", option, "seq")
            assert (result.stdout.rstrip() if result.rc == 0 else None) == expected, option
        docker.ok("rm", "seq")

    def test_of_the_smallest_files(self, mydocker, name):
        mydocker.detached("--name", name, "--log-opt", "max-size=1k", "busybox", "seq", "1000")
        mydocker.ok("wait", name)
        lines = mydocker.ok("logs", name).split()
        assert lines == [str(number) for number in range(1001 - len(lines), 1001)]
        assert 20 < len(lines) < 3 * 1024 // 40


class TestPrune:
    @pytest.fixture
    def volumes(self, mydocker, name):
        """Two volumes, one with 3 MiB that two names lead to, and a hole."""
        names = [f"{name}-1", f"{name}-2"]
        mydocker.ok("volume", "create", names[0])
        script = "dd if=/dev/zero of=/a/x bs=1M count=3; ln /a/x /a/y; dd if=/dev/zero of=/a/z bs=1M count=1 seek=9"
        mydocker.sh(script, "-v", f"{names[1]}:/a")
        yield names
        mydocker("volume", "rm", "-f", *names)

    def said(self, names: list[str]) -> str:
        return "\n".join(["Deleted Volumes:", *names, "", "Total reclaimed space: 13.63MB"])

    def test_says_what_it_did(self, mydocker, volumes):
        assert mydocker.ok("volume", "prune", "-af") == self.said(volumes)
        assert mydocker.ok("volume", "prune", "-af") == "Total reclaimed space: 0B"

    def test_reads_its_answer_from_a_pipe(self, mydocker, volumes):
        question = "Remove 2 volumes and all data in them? [y/N] "
        for answer in (b"", b"\n", b"n\n", b"no\n"):
            assert mydocker.ok("volume", "prune", "-a", input=answer) == f"{question}\nTotal reclaimed space: 0B"
        assert mydocker.ok("volume", "ls", "-q").split() == volumes
        assert mydocker.ok("volume", "prune", "-a", input=b"y\n") == f"{question}\n{self.said(volumes)}"

    def test_is_dockers(self, docker):
        script = """
            docker volume create one >/dev/null
            docker run --rm -v one:/a busybox sh -c '
                dd if=/dev/zero of=/a/x bs=1M count=3; ln /a/x /a/y; dd if=/dev/zero of=/a/z bs=1M count=1 seek=9
            ' 2>/dev/null
            docker volume prune </dev/null; echo n | docker volume prune; docker volume ls -q | wc -l
            echo y | docker volume prune; docker volume prune -f; docker network create two >/dev/null
            docker network prune -f; docker network prune -f"""
        asked = "WARNING! This will remove all local volumes not used by at least one container."
        asked += "\nAre you sure you want to continue? [y/N] "
        none = "Total reclaimed space: 0B\n"
        assert docker.shell(script).stdout == (
            f"{asked}{none}{asked}{none}1\n{asked}{self.said(['one'])}\n{none}Deleted Networks:\ntwo\n\n"
        )


@pytest.mark.parametrize("number", ["abc", "0", "-1", "1.5", "07", "²"])
def test_a_fault_that_no_step_can_have_is_an_error(mydocker, number):
    for command in (("run", *QUICK, "busybox", "true"), ("network", "ls")):
        line = mydocker.fails(*command, rc=125, env={"MYDOCKER_FAULT": number})
        assert line == f"mydocker: invalid MYDOCKER_FAULT '{number}' (the number of the step that must fail, from 1)"
