"""`--format` on the documents of inspect: each field of docker's, there or not, with its Go type and empty value."""

from __future__ import annotations

import json
import re

import pytest

from mydocker.cli import documents
from mydocker.gotemplate import values
from mydocker.model import docker_types

NOTHING = ["create", "--name", "NAME", "busybox"]
EVERYTHING = [
    "run", "-d", "-ti", "--name", "NAME", "--hostname", "host", "-u", "1:2", "-w", "/tmp", "-e", "A=1", "-l", "k=v",
    "-p", "127.0.0.1::80", "--expose", "90", "-m", "64m", "--memory-swap", "128m", "--cpus", "0.5",
    "--cpu-shares", "512", "--cpuset-cpus", "0", "--cpuset-mems", "0", "--pids-limit", "50", "--ulimit",
    "nofile=100:200", "-v", "NAME:/volume:ro", "--tmpfs", "/scratch:size=1m",
    "--mount", "type=tmpfs,dst=/small,tmpfs-size=65536,tmpfs-mode=1770",
    "--cap-add", "CAP_NET_ADMIN", "--cap-drop", "CAP_CHOWN", "--security-opt", "no-new-privileges", "--read-only",
    "--init", "--dns", "192.0.2.1", "--dns-search", "example.org", "--dns-option", "ndots:2",
    "--add-host", "other:192.0.2.2", "--device", "/dev/null:/dev/nothing",
    "--sysctl", "net.ipv4.ip_unprivileged_port_start=0", "--shm-size", "1m", "--oom-score-adj", "100",
    "--restart", "on-failure:3", "--stop-signal", "USR1", "--stop-timeout", "1", "--entrypoint", "sh",
    "busybox", "-c", "sleep 1000",
]  # fmt: skip
NETWORK = ["--internal", "--label", "a=b", "--opt", "com.docker.network.driver.mtu=1400"]
IMAGE = [
    "--change", "ENV A=1", "--change", "LABEL a=b", "--change", "USER 1", "--change", "WORKDIR /tmp", "--change",
    "EXPOSE 80", "--change", "VOLUME /v", "--change", 'ENTRYPOINT ["sh"]', "--change", 'CMD ["-c"]',
    "-m", "said", "-a", "somebody",
]  # fmt: skip

# What is another thing on each side: IDs, times, places, drivers, addresses, what the two images of busybox say; and
# where mydocker has docker 28's value: NetworkMode, CgroupnsMode, MaskedPaths. Mode: Go prints one as -rwxrwx---.
# docker's `volume create` makes empty Labels and Options, `-v` none.
DIFFERENT = {
    "container": """
        ID Created Image ResolvConfPath HostnamePath HostsPath LogPath Driver Pid StartedAt FinishedAt Type NetworkMode
        CgroupnsMode Runtime MaskedPaths ReadonlyPaths Data Name Hostname Env WorkingDir SandboxID SandboxKey EndpointID
        Gateway IPAddress IPPrefixLen MacAddress NetworkID Source Binds Mode
    """,
    "image": """
        ID RepoTags Created Parent Container DockerVersion Comment Size VirtualSize Env Cmd Image Hostname Data Name
        Layers LastTagTime AttachStdout AttachStderr Labels ExposedPorts Volumes User WorkingDir Entrypoint StopSignal
    """,
    "network": "Name ID Created Subnet Gateway Options EndpointID MacAddress IPv4Address",
    "volume": "CreatedAt Mountpoint Labels Options",
}


def fields(struct: str) -> list[tuple[str, str]]:
    """The fields that docker declares: (name, type)."""
    lines = [line.split() for line in docker_types.STRUCTS[struct].partition("+")[0].split(",") if line.split()]
    return [(words[0].partition(":")[0].rpartition(".")[2], words[min(1, len(words) - 1)]) for words in lines]


def walk(kind: str, value, path: str = ""):
    """(path, its Go type, the value) of all that there is in a typed value; lists and maps by their first entry."""
    base = docker_types.NAMED.get(kind, kind)
    if path:
        yield path, kind, value
    if isinstance(value, values.Struct):
        for name, inner in fields(value.base):
            yield from walk(inner, value.field(name), f"{path}.{name}")
    elif isinstance(value, values.Map) and value and not kind.startswith("nat."):  # Go wants a nat.Port as its key
        key = sorted(value)[0]
        yield from walk(value.inner, value[key], f'(index {path} "{key}")')
    elif isinstance(value, values.Slice) and value:
        yield from walk(base.partition("]")[2], value[0], f"(index {path} 0)")


def answers(typed, what: list[str], form: str, paths: list[str]) -> list[str]:
    """The value of each path in that form. One template has them all, so none may fail."""
    template = "\x01".join(form.replace("PATH", path) for path in paths)
    return typed.ok(*what, "-f", template).split("\x01")


def is_leaf(value) -> bool:
    return not isinstance(value, (values.Struct, values.Map, values.Slice)) or not value


def kinds(his: str, own: str) -> bool:
    """True if two values are of different kinds; a map or list may be missing."""
    one, other = json.loads(his), json.loads(own)
    return type(one) is not type(other) and (one or other or {}) not in ({}, []) and one is not None


def differences(docker, mydocker, kind: str, name: str) -> list[tuple[str, str, str, str]]:
    """(what is asked, the path, docker's answer, mydocker's), of every field of docker's document."""
    what = [kind, "inspect", name] if kind != "container" else ["inspect", name]
    ours = [*what[1:]] if kind == "image" else what
    found, mine = (
        list(walk(docker_types.DOCUMENTS[kind], documents.typed(kind, json.loads(program.ok(*words))[0])))
        for program, words in ((docker, what), (mydocker, ours))
    )
    # An entry of a list that is empty on mydocker's side can't be asked for; the list itself is.
    found = [each for each in found if "(index" not in each[0] or each[0] in [path for path, _, _ in mine]]
    paths = [path for path, _, _ in found]
    leaves = [path for path, _, value in found if is_leaf(value)]
    wrong = []

    types = answers(docker, what, '{{printf "%T" PATH}}', paths)
    for (path, declared, _), actual in zip(found, types):
        if actual.replace("struct {}", "struct{}").replace("interface {}", "interface{}") not in (
            declared,
            docker_types.NAMED.get(declared),
        ):
            wrong.append(("the table's type", path, actual, declared))

    for form, asked in (("{{if PATH}}y{{end}}", paths), ("{{PATH}}", leaves), ("{{json PATH}}", leaves)):
        for path, his, own in zip(asked, answers(docker, what, form, asked), answers(mydocker, ours, form, asked)):
            tail = re.findall(r"\.(\w+)", re.sub('".*?"', "", path))[-1]
            # docker lists mounts in any order.
            differ = tail in DIFFERENT[kind].split() or path.startswith("(index .Mounts 0)")
            if his != own and (not differ or (form == "{{json PATH}}" and kinds(his, own))):
                wrong.append((form, path, his, own))
    return wrong


class TestEveryField:
    """As docker 20.10 has it: its own words are asked for, of things with nothing and with everything."""

    @pytest.mark.parametrize("words", [NOTHING, EVERYTHING])
    def test_of_a_container(self, docker, mydocker, name, keeps_containers, words):
        for typed in (docker, mydocker):
            typed.ok(*[word.replace("NAME", name) for word in words])
        assert differences(docker, mydocker, "container", name) == []
        for typed in (docker, mydocker):
            typed.ok("rm", "-f", name)
            typed("volume", "rm", name)

    def test_of_an_image(self, docker, mydocker, name):
        for typed in (docker, mydocker):
            typed.ok("create", "--name", name, "busybox")
            typed.ok("commit", *IMAGE, name, f"{name}-image")
            typed.ok("rm", name)
        try:
            assert differences(docker, mydocker, "image", "busybox") == []
            wrong = differences(docker, mydocker, "image", f"{name}-image")
            # docker has kept the config of the container that it was made of, mydocker does not.
            assert [each for each in wrong if not each[1].startswith(".ContainerConfig")] == []
        finally:
            mydocker.ok("rmi", f"{name}-image")

    def test_of_a_network(self, docker, mydocker, name):
        for typed in (docker, mydocker):
            typed.ok("network", "create", *NETWORK, name)
        assert differences(docker, mydocker, "network", "bridge") == []
        assert differences(docker, mydocker, "network", name) == []
        mydocker.ok("network", "rm", name)

    def test_of_a_volume(self, docker, mydocker, name):
        for typed in (docker, mydocker):
            typed.ok("volume", "create", name)
            typed.ok("volume", "create", "--label", "a=b", f"{name}-2")
        assert differences(docker, mydocker, "volume", name) == []
        assert differences(docker, mydocker, "volume", f"{name}-2") == []
        mydocker.ok("volume", "rm", name, f"{name}-2")


class TestWithoutDocker:
    """The same values, as measured."""

    def test_the_empty_ones(self, mydocker, name):
        mydocker.ok("create", "--name", name, "busybox")
        asked = (
            "{{.ID}}|{{.Id}}|{{if .State.Health}}y{{else}}n{{end}}|{{json .State.Health}}|{{.State.Health}}|"
            "{{join .Config.Entrypoint ` `}}|{{len .HostConfig.Binds}}|{{.HostConfig.Binds}}|{{.Config.Labels.none}}|"
            "{{.HostConfig.MemorySwappiness}}|{{.HostConfig.OomKillDisable}}|{{.Config.ExposedPorts}}"
        )
        made = mydocker.ok("inspect", "-f", "{{.Id}}", name)
        values = mydocker.ok("inspect", "-f", asked, name).split("|")
        assert values == [made, made, "n", "null", "<nil>", "", "0", "[]", "<no value>", "<nil>", "false", "map[]"]

    def test_an_unknown_field_is_an_error_with_dockers_words(self, mydocker, name):
        mydocker.ok("create", "--name", name, "busybox")
        assert 'at <.Nope>: map has no entry for key "Nope"' in mydocker.fails("inspect", "-f", "{{.Nope}}", name)
        for path in (".State.Nope", ".State.Health.Status"):
            key = path.split(".")[2]
            assert f'map has no entry for key "{key}"' in mydocker.fails("inspect", "-f", f"{{{{{path}}}}}", name)

    def test_the_exit_codes(self, docker, mydocker):
        mydocker.ok("tag", "busybox", "busybox")
        for words, rc in (
            (["inspect", "-f", "{{.Nope}}", "busybox"], 1),
            (["inspect", "-f", "{{.Nope", "busybox"], 64),
            (["version", "--format", "{{.Nope"], 64),
            (["info", "--format", "{{.Nope}}"], 1),
            (["ps", "--format", "{{.Nope"], 1),
            (["images", "--format", "{{.Nope}}"], 1),
        ):
            assert (mydocker(*words).rc, docker(*words).rc) == (rc, rc), words

    def test_of_a_network_and_a_volume(self, mydocker, name):
        mydocker.ok("network", "create", name)
        mydocker.ok("volume", "create", name)
        assert mydocker.ok("network", "inspect", "-f", "{{len .ID}} {{.Peers}} {{.Labels}}", name) == "64 [] map[]"
        assert (
            mydocker.ok("volume", "inspect", "-f", "{{.UsageData}} {{.Options}} {{.Status}}", name)
            == "<nil> map[] map[]"
        )
        mydocker.ok("network", "rm", name)
        mydocker.ok("volume", "rm", name)

    def test_of_version_and_info(self, mydocker):
        said = mydocker.ok("version", "--format", "{{.Server.Version}} {{.Client.Version}} {{.Version}}").split()
        assert len(said) == 3
        assert len(set(said)) == 1
        assert mydocker.ok("version", "--format", "{{.Server.Os}} {{.Server.Experimental}}") == "linux false"
        asked = (
            "{{.Swarm.LocalNodeState}} {{.ContainersPaused}} {{.PidsLimit}} {{.Plugins.Network}} {{.RegistryConfig}}"
        )
        assert mydocker.ok("info", "--format", asked) == "inactive 0 true [bridge host null] <nil>"
        assert mydocker.ok("info", "--format", "{{.DriverReason}}")


class TestSize:
    def test_of_what_a_container_has_written(self, mydocker, name, keeps_containers):
        mydocker.ok("run", "--name", name, "busybox", "dd", "if=/dev/zero", "of=/file", "bs=1k", "count=100")
        image = mydocker.ok("images", "--format", "{{.Size}}", "busybox")
        assert re.fullmatch(r"102kB \(virtual 2\.\d+MB\)", mydocker.ok("ps", "-a", "--format", "{{.Size}}"))
        assert mydocker.ok("ps", "-as").splitlines()[0].endswith("NAMES".ljust(max(10, len(name) + 3)) + "SIZE")
        mydocker.ok("create", "--name", f"{name}-new", "busybox")
        assert f"0B (virtual {image})" in mydocker.ok("ps", "-as", "-f", f"name={name}-new")
        mydocker.ok("start", f"{name}-new")
        mydocker.ok("wait", f"{name}-new")
        assert f"0B (virtual {image})" in mydocker.ok("ps", "-as", "-f", f"name={name}-new")  # /etc/mtab is not its own

    def test_as_docker(self, docker, mydocker, name, keeps_containers):
        for typed in (docker, mydocker):
            typed.ok(
                "run", "--name", name, "busybox", "sh", "-c", "seq 5000 >/file; ln /file /again; ln -s x /y; mkdir /z"
            )
        sizes = [typed.ok("ps", "-a", "-f", f"name={name}", "--format", "{{.Size}}") for typed in (docker, mydocker)]
        assert sizes[0].split()[0] == sizes[1].split()[0] == "23.9kB"
        docker.ok("rm", name)
