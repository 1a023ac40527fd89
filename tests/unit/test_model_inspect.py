"""inspect.py: the paths and values that docker 28's client shows of a container with the same options."""

from __future__ import annotations

import pytest

from mydocker import jsontext, paths
from mydocker.cli.documents import typed
from mydocker.gotemplate import formats
from mydocker.model import docker
from mydocker.model.container import Container
from mydocker.model.host import HostFacts
from mydocker.model.network import Endpoint
from mydocker.model.oci import spec
from mydocker.model.options import names, references, request

ID = "0123456789ab" + "c" * 52
CHAIN = [f"sha256:{digit * 64}" for digit in "12"]

DOCKERS_KEYS = {
    "": """
        Id Created Path Args State Image ResolvConfPath HostnamePath HostsPath LogPath Name RestartCount Driver
        Platform MountLabel ProcessLabel AppArmorProfile ExecIDs HostConfig GraphDriver Mounts Config NetworkSettings
    """,
    "State": "Status Running Paused Restarting OOMKilled Dead Pid ExitCode Error StartedAt FinishedAt",
    "HostConfig": """
        Binds ContainerIDFile LogConfig NetworkMode PortBindings RestartPolicy AutoRemove VolumeDriver VolumesFrom
        CapAdd CapDrop CgroupnsMode Dns DnsOptions DnsSearch ExtraHosts GroupAdd IpcMode Cgroup Links OomScoreAdj
        PidMode Privileged PublishAllPorts ReadonlyRootfs SecurityOpt UTSMode UsernsMode ShmSize Runtime ConsoleSize
        Isolation CpuShares Memory NanoCpus CgroupParent BlkioWeight BlkioWeightDevice BlkioDeviceReadBps
        BlkioDeviceWriteBps BlkioDeviceReadIOps BlkioDeviceWriteIOps CpuPeriod CpuQuota CpuRealtimePeriod
        CpuRealtimeRuntime CpusetCpus CpusetMems Devices DeviceCgroupRules DeviceRequests KernelMemory KernelMemoryTCP
        MemoryReservation MemorySwap
        MemorySwappiness OomKillDisable PidsLimit Ulimits CpuCount CpuPercent IOMaximumIOps IOMaximumBandwidth
        MaskedPaths ReadonlyPaths
    """,
    "HostConfig.LogConfig": "Type Config",
    "HostConfig.RestartPolicy": "Name MaximumRetryCount",
    "GraphDriver": "Data Name",
    "GraphDriver.Data": "LowerDir MergedDir UpperDir WorkDir",
    "Config": """
        Hostname Domainname User AttachStdin AttachStdout AttachStderr Tty OpenStdin StdinOnce Env Cmd Image Volumes
        WorkingDir Entrypoint OnBuild Labels
    """,
    "NetworkSettings": """
        Bridge SandboxID HairpinMode LinkLocalIPv6Address LinkLocalIPv6PrefixLen Ports SandboxKey SecondaryIPAddresses
        SecondaryIPv6Addresses EndpointID Gateway GlobalIPv6Address GlobalIPv6PrefixLen IPAddress IPPrefixLen
        IPv6Gateway MacAddress Networks
    """,
    "NetworkSettings.Networks": "bridge",
    "NetworkSettings.Networks.bridge": """
        IPAMConfig Links Aliases NetworkID EndpointID Gateway IPAddress IPPrefixLen IPv6Gateway GlobalIPv6Address
        GlobalIPv6PrefixLen MacAddress DriverOpts DNSNames
    """,
}


def show(state=None, config=None, command=("top", "-b"), **given):
    facts = HostFacts(cpus="0-1", nodes="0", hostname="vm", cwd="/here")
    asked = request.from_params({"image_and_command": [], **given}, {}, facts)
    wanted = request.complete(asked, "busybox:latest", list(command), config or {"Env": ["PATH=/bin"]})
    sources = {mount["source"]: f"/v/{mount['source']}/_data" for mount in wanted.mounts if mount["type"] == "volume"}
    found = Container(
        id=ID,
        name="web",
        created="2026-11-23T18:47:57.861033571Z",
        image=references.BUSYBOX,
        image_id="sha256:" + "e" * 64,
        command=["top", "-b"],
        driver="overlay",
        layers=CHAIN,
        network=wanted.network,
        networks=wanted.networks,
        requested_ports=wanted.published,
        exposed=wanted.exposed_ports,
    )
    for key, value in (state or {}).items():
        setattr(found, key, value)
    made = docker.container(found, wanted, spec.build(wanted, ID, "/c", facts, sources), {"lab": "f" * 64})
    assert jsontext.loads(jsontext.dumps(made)) == made
    return made


def at(value, path):
    for key in path.split(".") if path else []:
        value = value[key]
    return value


@pytest.mark.parametrize("path", DOCKERS_KEYS)
def test_dockers_paths_are_all_there_and_no_others(path):
    assert set(at(show(), path)) == set(DOCKERS_KEYS[path].split())


def test_templates_know_every_field_of_it():
    """`{{json .}}` would lose a field that the table of Go's types lacks."""
    made = show()
    rendered = jsontext.loads(formats.json(typed("container", made)))
    assert rendered == {**made, "HostConfig": {key: made["HostConfig"][key] for key in rendered["HostConfig"]}}
    assert set(made["HostConfig"]) == set(rendered["HostConfig"])


class TestState:
    def test_created(self):
        state = show()["State"]
        assert (state["Status"], state["Running"], state["Pid"]) == ("created", False, 0)
        assert state["StartedAt"] == state["FinishedAt"] == "0001-01-01T00:00:00Z"

    def test_running(self):
        state = show({"status": "running", "pid": 7, "started_at": "2026-11-23T18:47:58Z"})["State"]
        assert (state["Status"], state["Running"], state["Pid"]) == ("running", True, 7)
        assert state["StartedAt"] == "2026-11-23T18:47:58Z"

    def test_exited(self):
        state = show({"status": "exited", "pid": 7, "exit_code": 137, "oom_killed": True, "error": "e"})["State"]
        assert (state["Status"], state["Running"], state["Pid"]) == ("exited", False, 0)
        assert (state["ExitCode"], state["OOMKilled"], state["Error"]) == (137, True, "e")


def test_the_container():
    made = show()
    assert (made["Id"], made["Name"], made["Path"], made["Args"]) == (ID, "/web", "top", ["-b"])
    assert made["LogPath"] == f"{paths.container(ID)}/container.log"
    assert made["GraphDriver"]["Data"]["LowerDir"] == f"{paths.layer(CHAIN[1])}:{paths.layer(CHAIN[0])}"
    assert made["GraphDriver"]["Data"]["UpperDir"] == f"{paths.container(ID)}/upper"
    assert "UpperDir" not in show({"driver": "copy"})["GraphDriver"]["Data"]


@pytest.mark.parametrize(
    ("given", "path", "expected"),
    [
        ({}, "Config.Hostname", "0123456789ab"),
        ({"hostname": "hh", "env": ["HOSTNAME=x"]}, "Config.Hostname", "hh"),
        ({"uts": "host"}, "Config.Hostname", "vm"),
        ({"env": ["A=b=c=d"]}, "Config.Env", ["A=b=c=d", "PATH=/bin"]),
        ({"user": "5:6"}, "Config.User", "5:6"),
        ({}, "Config.Cmd", ["top", "-b"]),
        ({"entrypoint": "top", "command": []}, "Config.Cmd", None),
        ({"entrypoint": "top"}, "Config.Entrypoint", ["top"]),
        ({}, "Config.Entrypoint", None),
        ({}, "Config.Image", "busybox:latest"),
        ({}, "Config.WorkingDir", "/"),
        ({"label": ["a=b"]}, "Config.Labels", {"a": "b"}),
        ({"tty": True}, "Config.Tty", True),
        ({"interactive": True}, "Config.AttachStdin", True),
        ({"interactive": True}, "Config.StdinOnce", True),
        ({}, "Config.StdinOnce", False),
        ({"interactive": True, "detach": True}, "Config.AttachStdin", False),
        ({"interactive": True, "detach": True}, "Config.StdinOnce", False),
        ({"interactive": True, "detach": True}, "Config.OpenStdin", True),
        ({"detach": True}, "Config.AttachStdout", False),
        ({"stop_signal": "TERM"}, "Config.StopSignal", "TERM"),
        ({"stop_timeout": "0"}, "Config.StopTimeout", 0),
        ({"mac_address": "02:42:0a:08:00:09"}, "Config.MacAddress", "02:42:0a:08:00:09"),
        ({"config": {"ExposedPorts": {"80/tcp": {}}}}, "Config.ExposedPorts", {"80/tcp": {}}),
        ({"volume": ["/anon"]}, "Config.Volumes", {"/anon": {}}),
        ({"mount": ["dst=/anon"], "volume": ["data:/v"]}, "Config.Volumes", None),
        ({"config": {"Volumes": {"/image": {}}}}, "Config.Volumes", {"/image": {}}),
        ({"volume": ["/a:/b:ro", "data:/v", "/anon"]}, "HostConfig.Binds", ["/a:/b:ro", "data:/v"]),
        ({"tmpfs": ["/t:size=2m,exec"]}, "HostConfig.Tmpfs", {"/t": "size=2m,exec"}),
        ({"tmpfs": ["/t"]}, "Mounts", []),
        ({"mount": ["type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770"]}, "HostConfig.Mounts", [
            {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 1016}},
        ]),
        ({"mount": ["type=bind,src=/a,dst=/b,ro,bind-propagation=rslave"]}, "HostConfig.Mounts", [
            {
                "Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True,
                "BindOptions": {"Propagation": "rslave"},
            },
        ]),
        ({"mount": ["type=bind,src=/a,dst=/b,bind-nonrecursive"]}, "HostConfig.Mounts", [
            {"Type": "bind", "Source": "/a", "Target": "/b", "BindOptions": {"NonRecursive": True}},
        ]),
        ({"mount": ["dst=/b,volume-nocopy"]}, "HostConfig.Mounts", [
            {"Type": "volume", "Target": "/b", "VolumeOptions": {"NoCopy": True}},
        ]),
        ({"volume": ["/a:/b:ro"]}, "Mounts", [{
            "Type": "bind", "Source": "/a", "Destination": "/b", "Mode": "ro", "RW": False, "Propagation": "rprivate",
        }]),
        ({"volume": ["data:/b"]}, "Mounts", [{
            "Type": "volume", "Name": "data", "Source": "/v/data/_data", "Destination": "/b", "Driver": "local",
            "Mode": "", "RW": True, "Propagation": "",
        }]),
        ({"mount": ["type=tmpfs,dst=/t"]}, "Mounts", [{
            "Type": "tmpfs", "Source": "", "Destination": "/t", "Mode": "", "RW": True, "Propagation": "",
        }]),
        ({"memory": "100m"}, "HostConfig.Memory", 100 << 20),
        ({"memory": "100m"}, "HostConfig.MemorySwap", 200 << 20),
        ({"memory": "100m", "memory_swap": "-1"}, "HostConfig.MemorySwap", -1),
        ({}, "HostConfig.MemorySwap", 0),
        ({"cpus": "1.5"}, "HostConfig.NanoCpus", 1_500_000_000),
        ({"cpu_shares": "512"}, "HostConfig.CpuShares", 512),
        ({"cpuset_cpus": "0-1"}, "HostConfig.CpusetCpus", "0-1"),
        ({"cpuset_mems": "0"}, "HostConfig.CpusetMems", "0"),
        ({"pids_limit": "50"}, "HostConfig.PidsLimit", 50),
        ({"pids_limit": "-1"}, "HostConfig.PidsLimit", None),
        ({"rm": True}, "HostConfig.AutoRemove", True),
        ({"privileged": True}, "HostConfig.Privileged", True),
        ({"privileged": True}, "HostConfig.MaskedPaths", None),
        ({"privileged": True}, "HostConfig.ReadonlyPaths", None),
        ({}, "HostConfig.ReadonlyPaths", ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]),
        ({"read_only": True}, "HostConfig.ReadonlyRootfs", True),
        ({"cap_add": ["sys_admin"]}, "HostConfig.CapAdd", ["CAP_SYS_ADMIN"]),
        ({"cap_drop": ["KILL"]}, "HostConfig.CapDrop", ["CAP_KILL"]),
        ({"security_opt": ["no-new-privileges"]}, "HostConfig.SecurityOpt", ["no-new-privileges"]),
        ({"shm_size": "10m"}, "HostConfig.ShmSize", 10 << 20),
        ({"sysctl": ["net.x=1"]}, "HostConfig.Sysctls", {"net.x": "1"}),
        ({"ulimit": ["nofile=100:200"]}, "HostConfig.Ulimits", [{"Name": "nofile", "Hard": 200, "Soft": 100}]),
        ({"device": ["/dev/fuse:/dev/x:rw"]}, "HostConfig.Devices", [
            {"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/x", "CgroupPermissions": "rw"},
        ]),
        ({"log_driver": "json-file"}, "HostConfig.LogConfig", {"Type": "json-file", "Config": {}}),
        ({"log_driver": "local", "log_opt": ["max-size=1m", "max-file=2", "max-size=2m"]}, "HostConfig.LogConfig", {
            "Type": "local", "Config": {"max-size": "2m", "max-file": "2"},
        }),
        ({}, "HostConfig.LogConfig", {"Type": "cri", "Config": {}}),
        ({"runtime": "runc"}, "HostConfig.Runtime", "runc"),
        ({}, "HostConfig.Runtime", "mydocker"),
        ({"cgroupns": "private"}, "HostConfig.CgroupnsMode", "private"),
        ({"userns": "host"}, "HostConfig.UsernsMode", "host"),
        ({}, "HostConfig.UsernsMode", ""),
        ({"isolation": "default"}, "HostConfig.Isolation", "default"),
        ({"volume_driver": "local"}, "HostConfig.VolumeDriver", "local"),
        ({"no_healthcheck": True}, "Config.Healthcheck", {"Test": ["NONE"]}),
        ({"init": True}, "HostConfig.Init", True),
        ({}, "HostConfig.IpcMode", "private"),
        ({"ipc": "host"}, "HostConfig.IpcMode", "host"),
        ({"pid": "host"}, "HostConfig.PidMode", "host"),
        ({"uts": "host"}, "HostConfig.UTSMode", "host"),
        ({"network": ["host"]}, "HostConfig.NetworkMode", "host"),
        ({}, "HostConfig.NetworkMode", "bridge"),
        ({"publish": ["8080:80", "127.0.0.1:8000-8001:80", "53/udp"]}, "HostConfig.PortBindings", {
            "80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": "8000-8001"}],
            "53/udp": [{"HostIp": "", "HostPort": ""}],
        }),
        ({}, "HostConfig.PortBindings", {}),
        ({"publish_all": True}, "HostConfig.PublishAllPorts", True),
        ({"expose": ["80", "53/udp"]}, "Config.ExposedPorts", {"80/tcp": {}, "53/udp": {}}),
        ({"dns": ["10.0.0.1"]}, "HostConfig.Dns", ["10.0.0.1"]),
        ({"dns_search": ["lab"]}, "HostConfig.DnsSearch", ["lab"]),
        ({"dns_option": ["ndots:2"]}, "HostConfig.DnsOptions", ["ndots:2"]),
        ({"add_host": ["db=10.0.0.5"]}, "HostConfig.ExtraHosts", ["db:10.0.0.5"]),
        ({"oom_score_adj": "100"}, "HostConfig.OomScoreAdj", 100),
        ({"cidfile": "/tmp/id"}, "HostConfig.ContainerIDFile", "/tmp/id"),
    ],
)  # fmt: skip
def test_an_option_is_seen_where_docker_shows_it(given, path, expected):
    assert at(show(**given), path) == expected


def test_what_is_never_used_is_as_docker_shows_it_unused():
    made = show()
    assert [made["State"][key] for key in ("Paused", "Restarting", "Dead")] == [False] * 3
    assert [made["HostConfig"][key] for key in ("PublishAllPorts", "OomKillDisable")] == [False] * 2
    assert made["HostConfig"]["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}
    assert made["NetworkSettings"]["HairpinMode"] is False
    assert made["NetworkSettings"]["IPAddress"] == made["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] == ""


@pytest.mark.parametrize(
    ("policy", "name", "most"),
    [("always", "always", 0), ("on-failure", "on-failure", 0), ("on-failure:3", "on-failure", 3)],
)
def test_the_restart_policy_is_that_of_the_record(policy, name, most):
    """`update` changes that, and not what was asked for at first."""
    made = show({"restart": policy, "restart_count": 7}, restart="unless-stopped")
    assert made["HostConfig"]["RestartPolicy"] == {"Name": name, "MaximumRetryCount": most}
    assert made["RestartCount"] == 7


def test_while_restarting():
    """As docker has it: it counts as running."""
    made = show({"status": "restarting", "exit_code": 3, "finished_at": "2026-11-23T18:47:57Z"})["State"]
    assert (made["Status"], made["Running"], made["Restarting"], made["Pid"], made["ExitCode"]) == (
        "restarting",
        True,
        True,
        0,
        3,
    )


def test_the_exit_code_of_the_last_run_is_not_that_of_this_one():
    assert show({"status": "running", "pid": 5, "exit_code": 3})["State"]["ExitCode"] == 0


class TestNetworks:
    LAB = Endpoint(
        "lab", "10.7.0.9", "", ["db"], "eth0", "veth0", "10.7.0.9/24", "10.7.0.1", "02:42:0a:07:00:09", "fd07::9/64",
        "fd07::1",
    )  # fmt: skip
    BRIDGE = Endpoint("bridge", "", "", [], "eth1", "veth1", "10.8.0.2/20", "10.8.0.1", "02:42:0a:08:00:02")

    def settings(self, ends, **state):
        return show({"status": "running", "pid": 7, "networks": [end.to_json() for end in ends], **state})[
            "NetworkSettings"
        ]

    @pytest.mark.parametrize("mode", ["host", "none", "container:" + "b" * 64])
    def test_a_mode_is_listed_as_a_network(self, mode):
        made = show(network=[mode])["NetworkSettings"]
        assert list(made["Networks"]) == [mode]
        assert (made["SandboxKey"], made["IPAddress"]) == ("", "")

    def test_each_with_its_addresses(self):
        made = self.settings([self.LAB, self.BRIDGE])
        assert list(made["Networks"]) == ["lab", "bridge"]
        lab = made["Networks"]["lab"]
        assert lab["IPAMConfig"] == {"IPv4Address": "10.7.0.9"}
        assert (lab["IPAddress"], lab["IPPrefixLen"], lab["Gateway"]) == ("10.7.0.9", 24, "10.7.0.1")
        assert (lab["GlobalIPv6Address"], lab["GlobalIPv6PrefixLen"], lab["IPv6Gateway"]) == ("fd07::9", 64, "fd07::1")
        assert (lab["MacAddress"], lab["Aliases"]) == ("02:42:0a:07:00:09", ["db", ID[:12]])
        assert lab["DNSNames"] == ["web", "db", ID[:12]]
        assert (lab["NetworkID"], lab["EndpointID"]) == ("f" * 64, "f" * 32 + ID[:32])

    def test_the_default_network_is_shown_twice_as_docker_does(self):
        made = self.settings([self.LAB, self.BRIDGE])
        assert made["IPAddress"] == made["Networks"]["bridge"]["IPAddress"] == "10.8.0.2"
        assert (made["Networks"]["bridge"]["DNSNames"], made["Networks"]["bridge"]["Aliases"]) == (None, None)
        assert self.settings([self.LAB])["IPAddress"] == ""

    def test_what_does_not_run_has_no_address(self):
        made = self.settings([self.LAB.as_requested()], status="exited")
        assert made["Networks"]["lab"]["IPAddress"] == ""
        assert made["Networks"]["lab"]["IPAMConfig"] == {"IPv4Address": "10.7.0.9"}

    def test_ports_are_those_in_effect(self):
        state = {"requested_ports": ["80/tcp"], "bound_ports": ["32768:80/tcp"], "exposed": ["80/tcp", "53/udp"]}
        assert self.settings([self.BRIDGE], **state)["Ports"] == {
            "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "32768"}],
            "53/udp": None,
        }
        assert self.settings([self.BRIDGE], **{**state, "status": "exited", "bound_ports": []})["Ports"] == {}


@pytest.mark.parametrize(
    "path", ["HostConfig.Init", "HostConfig.Tmpfs", "HostConfig.Mounts", "HostConfig.Sysctls", "Config.StopSignal"]
)
def test_what_docker_leaves_out_if_it_was_not_asked_for(path):
    with pytest.raises(KeyError):
        at(show(), path)


class TestImage:
    CONFIG = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-11-23T18:46:53.252019775Z",
        "author": "me",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"], "Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}}},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:1"]},
        "history": [{"comment": "first"}, {"comment": "hello"}],
    }

    def test_image(self):
        made = docker.image("sha256:5", self.CONFIG, CHAIN, ["bb:latest", "bb@sha256:7"], 1982270)
        assert {key: made[key] for key in ("Id", "Comment", "Created", "Author", "Architecture", "Os", "Size")} == {
            "Id": "sha256:5",
            "Comment": "hello",
            "Created": "2026-11-23T18:46:53.252019775Z",
            "Author": "me",
            "Architecture": "amd64",
            "Os": "linux",
            "Size": 1982270,
        }
        assert (made["RepoTags"], made["RepoDigests"]) == (["bb:latest"], ["bb@sha256:7"])
        assert made["RootFS"] == {"Type": "layers", "Layers": ["sha256:1"]}
        assert made["Metadata"] == {"LastTagTime": "0001-01-01T00:00:00Z"}
        assert made["Config"]["Cmd"] == ["sh"]
        assert made["Config"]["ExposedPorts"] == {"80/tcp": {}}
        assert made["GraphDriver"]["Data"] == {"LowerDir": paths.layer(CHAIN[0]), "UpperDir": paths.layer(CHAIN[1])}
        assert not any(
            made["Config"][key] for key in made["Config"] if key.startswith(("Attach", "Tty", "OpenS", "StdinO"))
        )

    def test_the_images_user_and_directory(self):
        made = docker.image("sha256:5", {"config": {"User": "www", "WorkingDir": "/w"}}, [], [], 0)["Config"]
        assert (made["User"], made["WorkingDir"]) == ("www", "/w")

    def test_an_image_that_says_nothing(self):
        made = docker.image("sha256:5", {}, [], [], 0)
        assert (made["Created"], made["Comment"], made["Config"]["Env"], made["RootFS"]["Layers"]) == (
            "0001-01-01T00:00:00Z",
            "",
            None,
            [],
        )
        assert "StopSignal" not in made["Config"]


def test_volume():
    assert docker.volume("data", "2026-11-23T18:47:58.5Z") == {
        "CreatedAt": "2026-11-23T18:47:58Z",
        "Driver": "local",
        "Labels": None,
        "Mountpoint": f"{paths.VOLUMES}/data/_data",
        "Name": "data",
        "Options": None,
        "Scope": "local",
    }
    assert docker.volume(names.volume_name("v2"), "2026-11-23T18:47:58Z", {"x": "y"})["Labels"] == {"x": "y"}
