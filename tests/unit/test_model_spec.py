"""spec.py: config.json, held against what docker 20.10 and 28 write for the same options."""

from __future__ import annotations

import pytest

from mydocker import jsontext
from mydocker.engine import host
from mydocker.errors import InvalidArgument
from mydocker.model.host import HostFacts
from mydocker.model.oci import capabilities, spec
from mydocker.model.options import request

ID = "0123456789ab" + "c" * 52
DIR = f"/var/lib/mydocker/containers/{ID}"
HOST = HostFacts(cpus="0-3", nodes="0", hostname="vm", cwd="/here")
UNLIMITED = 2**64 - 1


def build(facts=HOST, volumes=None, nodes=(), command=("top",), config=None, **given):
    asked = request.from_params({"image_and_command": ["busybox"], **given}, {}, facts, lambda path: path)
    wanted = request.complete(asked, "busybox:latest", list(command), config or {})
    return spec.build(wanted, ID, DIR, facts, volumes, nodes)


def mounts(made):
    return {mount["destination"]: mount for mount in made["mounts"]}


def by_path(made):
    """{path: value} of every scalar, lists as a whole."""

    def walk(value, path):
        if isinstance(value, dict) and value:
            for key, item in value.items():
                yield from walk(item, f"{path}.{key}" if path else key)
        else:
            yield path, value

    return dict(walk(made, ""))


def test_it_is_json():
    made = build()
    assert jsontext.loads(jsontext.dumps(made)) == made


def test_the_frame():
    made = build()
    assert (made["ociVersion"], made["root"], made["hostname"]) == (
        "1.0.2",
        {"path": "rootfs", "readonly": False},
        "0123456789ab",
    )
    assert made["linux"]["cgroupsPath"] == f"/mydocker/{ID}"
    assert made["annotations"] == {}
    assert build(read_only=True)["root"]["readonly"] is True
    assert build(init=True)["annotations"] == {"io.mydocker.init": "true"}


@pytest.mark.parametrize(
    ("systemd", "wanted", "parent"),
    [
        (False, "", "/mydocker"),
        (True, "", "/mydocker.slice/containers"),
        (True, "lab.slice", "/lab.slice/containers"),
        (False, "/lab/x/", "/lab/x"),
        (True, "lab", "/lab"),
    ],
)
def test_where_its_cgroup_is(systemd, wanted, parent):
    assert spec.cgroup_parent(systemd, wanted) == parent
    facts = HostFacts(systemd=systemd)
    asked = request.from_params({"image_and_command": [], "network": ["none"]}, {}, facts)
    made = spec.build(request.complete(asked, "busybox", ["true"], {}), ID, DIR, facts, parent=wanted)
    assert made["linux"]["cgroupsPath"] == f"{parent}/{ID}"


class TestProcess:
    def test_defaults(self):
        made = build()["process"]
        assert {key: made[key] for key in ("terminal", "args", "cwd", "noNewPrivileges", "oomScoreAdj")} == {
            "terminal": False,
            "args": ["top"],
            "cwd": "/",
            "noNewPrivileges": False,
            "oomScoreAdj": 0,
        }

    def test_what_was_asked_for(self):
        given = {"tty": True, "workdir": "/w", "oom_score_adj": "5", "security_opt": ["no-new-privileges"]}
        made = build(entrypoint="/bin/sh", command=["-c", "a b", ""], **given)["process"]
        assert (made["terminal"], made["cwd"], made["oomScoreAdj"], made["noNewPrivileges"]) == (True, "/w", 5, True)
        assert made["args"] == ["/bin/sh", "-c", "a b", ""]

    def test_environment(self):
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        assert build()["process"]["env"] == [path, "HOSTNAME=0123456789ab"]
        made = build(tty=True, hostname="hh", env=["A=b=c", "E="], config={"Env": ["PATH=/bin", "A=x"]})["process"][
            "env"
        ]
        assert made == ["PATH=/bin", "HOSTNAME=hh", "TERM=xterm", "A=b=c", "E="]
        assert "TERM=vt100" in build(tty=True, env=["TERM=vt100"])["process"]["env"]
        assert "HOSTNAME=vm" in build(uts="host")["process"]["env"]

    @pytest.mark.parametrize(
        ("text", "uid", "gid"),
        [
            ("", 0, 0),
            ("5", 5, 0),
            ("5:6", 5, 6),
            (":6", 0, 6),
            ("5:", 5, 0),
            ("www", 65534, 65534),
            ("www:6", 65534, 6),
            ("5:staff", 5, 65534),
        ],
    )
    def test_a_name_stays_nobody_until_the_container_knows_it(self, text, uid, gid):
        made = build(user=text)
        assert made["process"]["user"] == {"uid": uid, "gid": gid, "additionalGids": [gid]}
        assert made["annotations"].get("io.mydocker.user", "") == text

    def test_capabilities_are_the_14(self):
        made = build()["process"]["capabilities"]
        assert capabilities.mask(made["bounding"]) == 0xA80425FB
        assert made["permitted"] == made["effective"] == made["bounding"]
        assert made["inheritable"] == made["ambient"] == []

    def test_another_user_holds_none(self):
        made = build(user="5", cap_add=["SYS_TIME"])["process"]["capabilities"]
        assert made["permitted"] == made["effective"] == []
        assert "CAP_SYS_TIME" in made["bounding"]

    def test_a_name_may_be_roots(self):
        made = build(user="root")["process"]["capabilities"]
        assert made["permitted"] == made["effective"] == made["bounding"]

    def test_limits_do_not_depend_on_the_caller(self):
        made = {
            limit["type"]: (limit["soft"], limit["hard"]) for limit in build(ulimit=["core=5:-1"])["process"]["rlimits"]
        }
        free = (UNLIMITED, UNLIMITED)
        unlimited = [f"RLIMIT_{name}" for name in ("AS", "CPU", "DATA", "FSIZE", "LOCKS", "NPROC", "RSS", "RTTIME")]
        assert {name: made.pop(name) for name in unlimited} == dict.fromkeys(unlimited, free)
        assert made == {
            "RLIMIT_CORE": (5, UNLIMITED),
            "RLIMIT_MEMLOCK": (8 << 20, 8 << 20),
            "RLIMIT_MSGQUEUE": (819200, 819200),
            "RLIMIT_NICE": (0, 0),
            "RLIMIT_NOFILE": (1024, 524288),
            "RLIMIT_RTPRIO": (0, 0),
            "RLIMIT_SIGPENDING": (32768, 32768),
            "RLIMIT_STACK": (8 << 20, UNLIMITED),
        }
        assert build()["process"]["rlimits"][0] == {"type": "RLIMIT_CORE", "soft": 0, "hard": UNLIMITED}

    def test_limits_that_cannot_be_raised_here(self):
        facts = HostFacts(hard_limits={"nofile": 1000, "nproc": 50, "cpu": -1})
        made = {limit["type"]: (limit["soft"], limit["hard"]) for limit in build(facts)["process"]["rlimits"]}
        assert made["RLIMIT_NOFILE"] == (1000, 1000)
        assert made["RLIMIT_NPROC"] == (50, 50)
        assert made["RLIMIT_CPU"] == (UNLIMITED, UNLIMITED)


class TestMounts:
    DOCKERS = {
        "/proc": ("proc", {"nosuid", "noexec", "nodev"}),
        "/dev": ("tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
        "/dev/pts": ("devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
        "/sys": ("sysfs", {"nosuid", "noexec", "nodev", "ro"}),
        "/sys/fs/cgroup": ("cgroup", {"nosuid", "noexec", "nodev", "ro"}),
        "/dev/mqueue": ("mqueue", {"nosuid", "noexec", "nodev"}),
        "/dev/shm": ("tmpfs", {"nosuid", "noexec", "nodev", "mode=1777", "size=67108864"}),
        "/etc/resolv.conf": ("bind", {"rbind", "rprivate"}),
        "/etc/hostname": ("bind", {"rbind", "rprivate"}),
        "/etc/hosts": ("bind", {"rbind", "rprivate"}),
    }

    def test_defaults_are_dockers(self):
        made = mounts(build())
        assert {path: (mount["type"], set(mount["options"])) for path, mount in made.items()} == self.DOCKERS
        assert made["/etc/hosts"]["source"] == f"{DIR}/hosts"

    def test_what_was_asked_for(self):
        made = mounts(
            build(
                volumes={"data": "/vol/data/_data"},
                volume=["/s:/bind:ro,rslave", "data:/vol"],
                mount=["type=bind,src=/s,dst=/flat,bind-nonrecursive"],
                tmpfs=["/t:size=1m"],
                shm_size="1m",
            )
        )
        assert made["/bind"] == {
            "destination": "/bind",
            "type": "bind",
            "source": "/s",
            "options": ["rbind", "ro", "rslave"],
        }
        assert made["/vol"]["source"] == "/vol/data/_data"
        assert made["/vol"]["options"] == ["rbind", "rprivate"]
        assert made["/flat"]["options"] == ["bind", "rprivate"]
        assert (made["/t"]["type"], made["/t"]["source"]) == ("tmpfs", "tmpfs")
        assert made["/t"]["options"] == ["noexec", "nosuid", "nodev", "size=1m"]
        assert "size=1048576" in made["/dev/shm"]["options"]

    def test_what_is_below_is_mounted_after_what_is_above(self):
        made = [mount["destination"] for mount in build(volume=["/1:/a/b/c", "/2:/a", "/3:/etc", "/4:/a/b"])["mounts"]]
        assert made.index("/a") < made.index("/a/b") < made.index("/a/b/c")
        assert made.index("/etc") < made.index("/etc/hosts")

    @pytest.mark.parametrize("path", ["/dev/shm", "/sys", "/etc/hosts", "/sys/fs/cgroup", "/dev/mqueue"])
    def test_the_users_mount_takes_ours_place(self, path):
        made = build(volume=[f"/mine:{path}"])
        assert [mount["source"] for mount in made["mounts"] if mount["destination"] == path] == ["/mine"]

    def test_nothing_of_ours_is_below_the_users_dev(self):
        assert [path for path in mounts(build(volume=["/d:/dev", "/e:/dev/x"])) if path.startswith("/dev")] == [
            "/dev",
            "/dev/x",
        ]

    def test_read_only_is_for_the_files_of_etc_too(self):
        made = mounts(build(read_only=True, volume=["/s:/rw"]))
        changed = {path for path, mount in made.items() if "ro" in mount["options"]}
        assert changed == {"/sys", "/sys/fs/cgroup", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}

    def test_the_hosts_ipc_brings_its_shm(self):
        assert mounts(build(ipc="host"))["/dev/shm"]["source"] == "/dev/shm"

    def test_a_volume_that_nobody_made(self):
        with pytest.raises(InvalidArgument, match="no such volume: data"):
            build(volume=["data:/d"])

    @pytest.mark.parametrize(
        ("mode", "expected"), [("", "rprivate"), (":ro", "rprivate"), (":rslave", "rslave"), (":slave", "rslave")]
    )
    def test_the_root_hears_of_the_hosts_mounts_only_if_a_mount_does(self, mode, expected):
        assert build(volume=[f"/a:/b{mode}"])["linux"]["rootfsPropagation"] == expected


class TestLinux:
    @pytest.mark.parametrize(
        ("given", "missing"),
        [
            ({}, set()),
            ({"network": ["host"]}, {"network"}),
            ({"pid": "host", "ipc": "host"}, {"pid", "ipc"}),
            ({"uts": "host"}, {"uts"}),
        ],
    )
    def test_namespaces(self, given, missing):
        made = build(**given)
        everything = {"mount", "network", "uts", "pid", "ipc", "cgroup"}
        assert {namespace["type"] for namespace in made["linux"]["namespaces"]} == everything - missing
        assert ("hostname" in made) == ("uts" not in missing)
        assert ("net.ipv4.ping_group_range" in made["linux"]["sysctl"]) == ("network" not in missing)

    def test_sysctls(self):
        assert build(sysctl=["net.ipv4.ip_forward=1", "net.ipv4.ip_unprivileged_port_start=1024"])["linux"][
            "sysctl"
        ] == {
            "net.ipv4.ip_unprivileged_port_start": "1024",
            "net.ipv4.ping_group_range": "0 2147483647",
            "net.ipv4.ip_forward": "1",
        }

    def test_no_limit_unless_asked_for(self):
        assert list(build()["linux"]["resources"]) == ["devices"]

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({"memory": "100m"}, {"memory.limit": 100 << 20, "memory.swap": 200 << 20}),
            ({"memory": "100m", "memory_swap": "100m"}, {"memory.limit": 100 << 20, "memory.swap": 100 << 20}),
            ({"memory": "100m", "memory_swap": "-1"}, {"memory.limit": 100 << 20, "memory.swap": -1}),
            ({"cpus": "1.5"}, {"cpu.quota": 150000, "cpu.period": 100000}),
            ({"cpus": "0.01"}, {"cpu.quota": 1000, "cpu.period": 100000}),
            ({"cpu_shares": "512"}, {"cpu.shares": 512}),
            ({"cpuset_cpus": "0-1", "cpuset_mems": "0"}, {"cpu.cpus": "0-1", "cpu.mems": "0"}),
            ({"pids_limit": "50"}, {"pids.limit": 50}),
            ({"pids_limit": "-1", "memory": "0", "cpu_shares": "0", "cpus": "0"}, {}),
        ],
    )
    def test_limits(self, given, expected):
        made = by_path(build(**given)["linux"]["resources"])
        del made["devices"]
        assert made == expected

    def test_a_kernel_that_counts_no_swap(self):
        made = build(HostFacts(swap=False), memory="100m")["linux"]["resources"]["memory"]
        assert made == {"limit": 100 << 20}

    def test_devices_are_dockers_and_those_asked_for(self):
        node = {
            "path": "/dev/x",
            "type": "c",
            "major": 10,
            "minor": 229,
            "fileMode": 0o600,
            "uid": 1,
            "gid": 2,
            "access": "rw",
        }
        linux = build(nodes=[node])["linux"]
        assert linux["devices"] == [{key: node[key] for key in node if key != "access"}]
        first, *rules, last = linux["resources"]["devices"]
        assert first == {"allow": False, "access": "rwm"}
        assert last == {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}
        assert {(rule["type"], rule.get("major"), rule.get("minor")) for rule in rules if rule["access"] == "rwm"} == {
            *(("c", 1, minor) for minor in (3, 5, 7, 8, 9)),
            *(("c", 5, minor) for minor in (0, 1, 2)),
            ("c", 136, None),
        }
        assert {(rule["type"], rule["access"]) for rule in rules if "major" not in rule} == {("c", "m"), ("b", "m")}

    def test_masked_and_read_only_paths(self):
        linux = build(HostFacts(masked=["/sys/x"]))["linux"]
        assert {"/proc/kcore", "/proc/keys", "/sys/firmware", "/proc/interrupts", "/sys/x"} <= set(linux["maskedPaths"])
        assert linux["readonlyPaths"] == ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        assert "/sys/x" not in spec.MASKED

    def test_privileged(self):
        made = build(privileged=True, memory="10m")
        linux = made["linux"]
        assert (linux["maskedPaths"], linux["readonlyPaths"]) == ([], [])
        assert linux["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
        assert "seccomp" not in linux
        assert capabilities.mask(made["process"]["capabilities"]["effective"]) == capabilities.ALL
        assert not any("ro" in mount["options"] for mount in made["mounts"])
        assert linux["resources"]["memory"]["limit"] == 10 << 20

    def test_seccomp(self):
        default = build()["linux"]["seccomp"]
        assert default["defaultAction"] == "SCMP_ACT_ERRNO"
        assert build(cap_add=["SYS_ADMIN"])["linux"]["seccomp"] != default  # it knows the capabilities
        assert "seccomp" not in build(security_opt=["seccomp=unconfined"])["linux"]

    @pytest.mark.parametrize("privileged", [False, True])
    def test_a_profile_of_the_users(self, privileged):
        profile = '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}'  # the tests' reader gives the path as the text
        made = build(security_opt=[f"seccomp={profile}"], privileged=privileged)
        assert made["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ALLOW"

    def test_a_broken_profile_of_the_users(self):
        with pytest.raises(InvalidArgument):
            build(security_opt=["seccomp={"])


class TestHost:
    @pytest.mark.parametrize(
        ("release", "expected"),
        [("6.1.0-13-amd64", (6, 1)), ("6.18.44-fc", (6, 18)), ("5.4-custom", (5, 4)), ("7.0", (7, 0))],
    )
    def test_version(self, release, expected):
        assert host._version(release) == expected

    @pytest.mark.parametrize(
        ("there", "swap", "masked"),
        [
            (set(), True, []),
            ({"/sys/fs/cgroup/memory"}, False, []),
            ({"/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"}, True, []),
            (
                {"/sys/devices/system/cpu/cpu0/thermal_throttle"},
                True,
                [f"/sys/devices/system/cpu/cpu{number}/thermal_throttle" for number in (0, 2)],
            ),
        ],
    )
    def test_what_a_machine_has(self, monkeypatch, there, swap, masked):
        texts = {
            "/proc/self/status": "Name:\tpython3\nCapPrm:\t0000000001000021\nCapBnd:\t0000000001000020\nSeccomp:\t0",
            "/sys/devices/system/cpu/online": "0,2",
        }
        monkeypatch.setattr(host, "_read", lambda path: texts.get(path, ""))
        monkeypatch.setattr(host.os.path, "exists", there.__contains__)
        monkeypatch.setattr(host.os.path, "isdir", there.__contains__)
        facts = host.look()
        assert (facts.cpus, facts.nodes, facts.capabilities, facts.hard_limits) == ("0,2", "0", 0x1000020, {})
        assert (facts.swap, facts.masked) == (swap, masked)

    def test_a_working_directory_that_is_gone(self, monkeypatch):
        def gone() -> str:
            raise FileNotFoundError

        monkeypatch.setattr(host.os, "getcwd", gone)
        with pytest.raises(InvalidArgument, match=r"invalid mount source '\./x'"):
            build(host.look(), volume=["./x:/y"])

    def test_a_directory_of_nodes(self, monkeypatch):
        null = host.os.lstat("/dev/null")
        monkeypatch.setattr(
            host.os, "walk", lambda _: iter([("/dev/snd", ["b", "a"], ["y", "gone"]), ("/dev/snd/a", [], ["x"])])
        )
        monkeypatch.setattr(host.os, "stat", lambda _: host.os.stat_result([0o040755, *[0] * 9]))

        def lstat(path: str) -> object:
            if path.endswith("gone"):
                raise FileNotFoundError
            return null

        monkeypatch.setattr(host.os, "lstat", lstat)
        made = host.nodes([{"source": "/dev/snd", "target": "/dev/mine", "access": "r"}])
        assert [(node["path"], node["access"]) for node in made] == [("/dev/mine/y", "r"), ("/dev/mine/a/x", "r")]

    def test_hard_limits_of_a_poor_process(self):
        rows = [
            "Limit                     Soft Limit           Hard Limit           Units     ",
            "Max cpu time              unlimited            unlimited            seconds   ",
            "Max file size             1                    2                    bytes     ",
            "Max data size             unlimited            unlimited            bytes     ",
            "Max stack size            8388608              unlimited            bytes     ",
            "Max core file size        0                    unlimited            bytes     ",
            "Max resident set          unlimited            unlimited            bytes     ",
            "Max processes             96365                96366                processes ",
            "Max open files            1024                 20000                files     ",
            "Max locked memory         8388608              8388608              bytes     ",
            "Max address space         unlimited            unlimited            bytes     ",
            "Max file locks            unlimited            unlimited            locks     ",
            "Max pending signals       96365                96367                signals   ",
            "Max msgqueue size         819200               819200               bytes     ",
            "Max nice priority         0                    0                    ",
            "Max realtime priority     0                    1                    ",
            "Max realtime timeout      unlimited            unlimited            us        ",
        ]
        made = host._hard_limits("\n".join(rows).strip())
        assert made["cpu"] == made["rttime"] == made["as"] == -1
        assert {name: made[name] for name in ("fsize", "nproc", "nofile", "sigpending", "nice", "rtprio")} == {
            "fsize": 2,
            "nproc": 96366,
            "nofile": 20000,
            "sigpending": 96367,
            "nice": 0,
            "rtprio": 1,
        }

    def test_look_fits_this_machine(self):
        import os
        import resource

        facts = host.look()
        assert facts.hostname == os.uname().nodename
        assert facts.kernel[0] >= 3
        assert facts.cwd == os.getcwd()
        assert (
            facts.hard_limits.get("nofile", resource.getrlimit(resource.RLIMIT_NOFILE)[1])
            == (resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        )

    def test_nodes(self):
        (node,) = host.nodes([{"source": "/dev/null", "target": "/dev/x", "access": "r"}])
        assert (node["path"], node["type"], node["major"], node["minor"], node["access"]) == ("/dev/x", "c", 1, 3, "r")

    def test_no_node(self, tmp_path):
        (tmp_path / "file").write_text("")
        for path, says in (("missing", "No such file"), ("file", "is not a device"), ("", "is not a device")):
            with pytest.raises(host.HostError, match=says):
                host.nodes([{"source": f"{tmp_path}/{path}".rstrip("/"), "target": "/dev/x", "access": "rwm"}])

    def test_privileged_sees_the_hosts_devices_but_not_those_that_every_container_has(self):
        paths = {node["path"] for node in host.nodes([], privileged=True)}
        assert not {"/dev/null", "/dev/tty", "/dev/ptmx", "/dev/console"} & paths
        assert not any(path.startswith(("/dev/pts/", "/dev/shm/")) for path in paths)


class TestBlockLimits:
    BLOCKS = [
        {"kind": "weight", "major": 8, "minor": 0, "value": 10},
        {"kind": "read_bps", "major": 8, "minor": 16, "value": 1024},
        {"kind": "read_bps", "major": 8, "minor": 0, "value": 0},
        {"kind": "write_iops", "major": 8, "minor": 0, "value": 7},
    ]

    def test_are_in_the_lists_of_the_spec(self):
        made = spec.resources(request.CreateRequest([], blkio_weight=300), HostFacts(), [], self.BLOCKS)
        assert made["blockIO"] == {
            "weight": 300,
            "weightDevice": [{"major": 8, "minor": 0, "weight": 10}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 16, "rate": 1024}, {"major": 8, "minor": 0, "rate": 0}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 7}],
        }


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("c 42:* rmw", [{"allow": True, "type": "c", "access": "rmw", "major": 42}]),
        ("b 8:1 r", [{"allow": True, "type": "b", "access": "r", "major": 8, "minor": 1}]),
        ("a *:* rwm", [{"allow": True, "access": "rwm"}]),
        # The kernel's own `a` would allow everything.
        ("a 1:* rwm", [{"allow": True, "type": kind, "access": "rwm", "major": 1} for kind in "bc"]),
        ("a *:* r", [{"allow": True, "type": kind, "access": "r"} for kind in "bc"]),
    ],
)
def test_a_device_rule(text, rules):
    made = spec.resources(request.CreateRequest([], device_rules=[text]), HostFacts(), [])
    assert made["devices"][-len(rules) :] == rules
