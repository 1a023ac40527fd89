"""request.py: from a command line's words to a request, and what an image's config adds to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker import jsontext
from mydocker.errors import CorruptRecord, HostError, InvalidArgument, MydockerError, NotFound
from mydocker.generated.fasttable import COMMANDS
from mydocker.model.host import HostFacts
from mydocker.model.network import Endpoint
from mydocker.model.oci.capabilities import ALL, SYS_RESOURCE
from mydocker.model.options import isolation, mounts, request

MIB = 1 << 20
HOST = HostFacts(cpus="0-3", nodes="0", hostname="vm", cwd="/here")
LISTS = (
    "add_host annotation attach blkio_weight_device cap_add cap_drop device device_cgroup_rule device_read_bps "
    "device_read_iops device_write_bps device_write_iops dns dns_option dns_search env env_file expose group_add "
    "label label_file log_opt mount network network_alias publish security_opt sysctl tmpfs ulimit volume "
    "volumes_from"
).split()
FLAGS = (
    "detach disable_content_trust dry_run explain init interactive no_healthcheck oom_kill_disable privileged "
    "publish_all quiet read_only rm sig_proxy tty"
).split()
TEXTS = (
    "blkio_weight cgroup_parent cgroupns cidfile cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus "
    "cpuset_cpus cpuset_mems detach_keys domainname entrypoint format hostname ip ipc isolation log_driver mac_address "
    "memory memory_reservation memory_swap memory_swappiness name oom_score_adj pid pids_limit platform pull restart "
    "runtime shm_size stop_signal stop_timeout umask user userns uts volume_driver workdir"
).split()


def params(**given):
    """The params of the command line: every option, most of them absent."""
    absent = {**{key: [] for key in LISTS}, **dict.fromkeys(FLAGS, False), **dict.fromkeys(TEXTS)}
    assert set(given) <= {*absent, "image_and_command"}
    return {"image_and_command": ["busybox"], **absent, **given}


def test_the_options_are_those_of_run():
    _, _, absent, _ = COMMANDS["run",]
    assert {*LISTS, *FLAGS, *TEXTS} == {*absent} - {"image_and_command"}


def parse(host=HOST, environ=None, read=None, **given):
    return request.from_params(params(**given), environ or {}, host, read)


def test_nothing_given():
    made = parse()
    assert made == request.CreateRequest(["busybox"], "", network="bridge", networks=[Endpoint("bridge").to_json()])


def test_create_has_fewer_options_than_run():
    few = {"image_and_command": ["busybox", "true"]}
    assert request.from_params(few, {}, HOST).words == ["busybox", "true"]


@pytest.mark.parametrize(
    ("option", "value", "field", "expected"),
    [
        ("name", "web", "name", "web"),
        ("detach", True, "detach", True),
        ("interactive", True, "interactive", True),
        ("tty", True, "tty", True),
        ("rm", True, "auto_remove", True),
        ("restart", "always", "restart", "always"),
        ("restart", "on-failure:07", "restart", "on-failure:7"),
        ("init", True, "init", True),
        ("read_only", True, "read_only", True),
        ("privileged", True, "privileged", True),
        ("explain", True, "explain", True),
        ("dry_run", True, "dry_run", True),
        ("cidfile", "/tmp/id", "cidfile", "/tmp/id"),
        ("entrypoint", "a b", "entrypoint", ["a b"]),
        ("entrypoint", "", "entrypoint", []),
        ("user", "5:staff", "user", "5:staff"),
        ("workdir", "/a/../b/", "workdir", "/b"),
        ("workdir", "", "workdir", ""),
        ("hostname", "h", "hostname", "h"),
        ("label", ["a=b", "c"], "labels", {"a": "b", "c": ""}),
        ("stop_signal", "sigusr1", "stop_signal", "sigusr1"),
        ("stop_timeout", "0", "stop_timeout", 0),
        ("stop_timeout", "-1", "stop_timeout", -1),
        ("stop_timeout", "1000000000", "stop_timeout", 10**9),
        ("log_opt", ["max-size=1m", "max-file=5"], "log_size", MIB),
        ("log_opt", ["max-size=4k", "max-file=1000"], "log_files", 1000),
        ("log_opt", ["max-file=1"], "log_size", 0),
        ("oom_score_adj", "-1000", "oom_score_adj", -1000),
        ("oom_score_adj", "1000", "oom_score_adj", 1000),
        ("ulimit", ["nofile=5", "core=1", "nofile=7:8"], "ulimits", [
            {"name": "nofile", "soft": 7, "hard": 8}, {"name": "core", "soft": 1, "hard": 1},
        ]),
        ("network", ["host"], "network", "host"),
        ("network", ["none"], "networks", []),
        ("network", ["container:web"], "network", "container:web"),
        ("network", ["default"], "network", "bridge"),
        ("network", ["lab", "web"], "network", "lab"),
        ("network", ["lab", "web"], "networks", [Endpoint("lab").to_json(), Endpoint("web").to_json()]),
        ("ip", "10.0.0.7", "networks", [Endpoint("bridge", "10.0.0.7").to_json()]),
        ("mac_address", "02-42-0A-00-00-07", "networks", [Endpoint("bridge", "", "02:42:0a:00:00:07").to_json()]),
        ("publish", ["8080:80", "127.0.0.1::53/UDP"], "published", ["8080:80/tcp", "127.0.0.1::53/udp"]),
        ("publish", ["8000-8001:80-81"], "published", ["8000:80/tcp", "8001:81/tcp"]),
        ("publish_all", True, "publish_all", True),
        ("expose", ["80", "53/udp", "80/tcp", "7-8"], "exposed_ports", ["80/tcp", "53/udp", "7/tcp", "8/tcp"]),
        ("dns", ["10.0.0.1", "[FD00::1]"], "dns", ["10.0.0.1", "fd00::1"]),
        ("dns_search", ["lab.example.com", "."], "dns_search", ["lab.example.com", "."]),
        ("dns_option", ["ndots:2"], "dns_options", ["ndots:2"]),
        ("add_host", ["db=10.0.0.5", "six:fd00::5", "me:host-gateway"], "extra_hosts",
         ["db:10.0.0.5", "six:fd00::5", "me:host-gateway"]),
        ("pid", "host", "pid", "host"),
        ("ipc", "host", "ipc", "host"),
        ("ipc", "private", "ipc", ""),
        ("uts", "host", "uts", "host"),
        ("device", ["/dev/fuse:r"], "devices", [{"source": "/dev/fuse", "target": "/dev/fuse", "access": "r"}]),
        ("shm_size", "1m", "shm_size", MIB),
        ("shm_size", "0", "shm_size", 64 * MIB),
        ("sysctl", ["net.x=1"], "sysctls", {"net.x": "1"}),
        ("memory", "100m", "memory", 100 * MIB),
        ("memory", "6m", "memory", 6 * MIB),
        ("memory", "0", "memory", 0),
        ("memory_swap", "-1", "memory_swap", -1),
        ("cpus", "1.5", "nano_cpus", 1_500_000_000),
        ("cpu_shares", "512", "cpu_shares", 512),
        ("cpu_shares", "0", "cpu_shares", 0),
        ("cpuset_cpus", "0,2-3", "cpuset_cpus", "0,2-3"),
        ("cpuset_mems", "0", "cpuset_mems", "0"),
        ("pids_limit", "50", "pids_limit", 50),
        ("pids_limit", "4194304", "pids_limit", 4194304),
        ("pids_limit", "-1", "pids_limit", 0),
        ("pids_limit", "-7", "pids_limit", 0),
        ("cpu_period", "1000", "cpu_period", 1000),
        ("cpu_quota", "-1", "cpu_quota", -1),
        ("cpu_rt_runtime", "50000", "cpu_rt_runtime", 50000),
        ("memory_reservation", "6m", "memory_reservation", 6 * MIB),
        ("memory_swappiness", "0", "memory_swappiness", 0),
        ("memory_swappiness", "-1", "memory_swappiness", -1),
        ("oom_kill_disable", True, "oom_kill_disable", True),
        ("blkio_weight", "0", "blkio_weight", 0),
        ("blkio_weight_device", ["/dev/sda:10", "/dev/sdb:0"], "block_limits", [
            {"kind": "weight", "path": "/dev/sda", "value": 10}, {"kind": "weight", "path": "/dev/sdb", "value": 0},
        ]),
        ("device_write_bps", ["/dev/sda:1kb"], "block_limits",
         [{"kind": "write_bps", "path": "/dev/sda", "value": 1024}]),
        ("device_read_iops", ["/dev/sda:7"], "block_limits", [{"kind": "read_iops", "path": "/dev/sda", "value": 7}]),
        ("device_cgroup_rule", ["c 42:* rmw", "a *:* r"], "device_rules", ["c 42:* rmw", "a *:* r"]),
        ("cgroup_parent", "/jobs/night", "cgroup_parent", "/jobs/night"),
        ("ipc", "shareable", "ipc", "shareable"),
        ("ipc", "none", "ipc", "none"),
        ("ipc", "container:web", "ipc", "container:web"),
        ("pid", "container:web", "pid", "container:web"),
        ("cgroupns", "host", "cgroupns", "host"),
        ("cgroupns", "private", "cgroupns", ""),
        ("domainname", "lab.example", "domainname", "lab.example"),
        ("group_add", ["video", "7"], "group_add", ["video", "7"]),
        ("umask", "27", "umask", 0o27),
        ("umask", "0", "umask", 0),
        ("annotation", ["a=b=c", "d"], "annotations", {"a": "b=c", "d": ""}),
        ("volumes_from", ["web:ro", "db"], "volumes_from", ["web:ro", "db"]),
        ("security_opt", ["systempaths=unconfined", "label=disable"], "unmasked", True),
        ("security_opt", ["systempaths=unconfined", "label=disable"], "security_opt", ["label=disable"]),
        ("cap_add", ["sys_time", "all"], "cap_add", ["CAP_SYS_TIME", "ALL"]),
        ("cap_drop", ["CAP_KILL"], "cap_drop", ["CAP_KILL"]),
        ("security_opt", ["no-new-privileges"], "no_new_privileges", True),
        ("security_opt", ["no-new-privileges:true"], "no_new_privileges", True),
        ("security_opt", ["no-new-privileges=false"], "no_new_privileges", False),
        ("security_opt", ["seccomp=unconfined"], "seccomp", "unconfined"),
        ("security_opt", ["seccomp:unconfined", "seccomp=builtin"], "seccomp", ""),
        ("security_opt", ["apparmor=unconfined", "label:disable"], "seccomp", ""),
    ],
)  # fmt: skip
def test_option(option, value, field, expected):
    assert getattr(parse(**{option: value}), field) == expected


def test_mounts_come_from_three_options():
    made = parse(volume=["./x:/1"], mount=["dst=/2"], tmpfs=["/3"])
    assert [(mount["type"], mount["target"]) for mount in made.mounts] == [
        ("bind", "/1"),
        ("volume", "/2"),
        ("tmpfs", "/3"),
    ]
    assert made.mounts[0]["source"] == "/here/x"


def test_files_are_read_when_the_request_is_made():
    texts = {"e": "A=1\nHOME\n", "l": "x=y\n", "p": "{profile}"}
    made = parse(
        env_file=["e"],
        env=["B", "C=3"],
        label_file=["l"],
        security_opt=["seccomp=p"],
        environ={"HOME": "/h", "SECRET": "s"},
        read=texts.__getitem__,
    )
    assert (made.env, made.labels, made.seccomp) == (["A=1", "HOME=/h", "B", "C=3"], {"x": "y"}, "{profile}")
    assert made.security_opt == ["seccomp=p"]


def test_read_text(tmp_path):
    (tmp_path / "good").write_bytes("Ä=1\r\n".encode())
    (tmp_path / "bad").write_bytes(b"A=\xff")
    assert request.read_text(str(tmp_path / "good")) == "Ä=1\r\n"
    for name in ("bad", "missing", "nul\0", "."):
        with pytest.raises(InvalidArgument, match="cannot read"):
            request.read_text(str(tmp_path / name))
    with pytest.raises(InvalidArgument, match="'/dev/zero' is too large"):
        request.read_text("/dev/zero")


@pytest.mark.parametrize("text", ["", "unconfined", "[]"])
def test_a_profile_that_is_none_does_not_open_the_door(text):
    with pytest.raises(InvalidArgument, match="'p' is not a seccomp profile"):
        parse(security_opt=["seccomp=p"], read=lambda _: text)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"memory": ""}, "invalid memory size ''"),
        ({"memory": "5m"}, "is too small"),
        ({"memory_swap": "10m"}, "--memory-swap without --memory"),
        ({"memory": "100m", "memory_swap": "50m"}, "--memory-swap is less than --memory"),
        ({"cpus": "5"}, "number of CPUs '5' is out of range"),
        ({"cpuset_cpus": "7"}, "CPUs '7' are not available"),
        ({"cpuset_mems": "1"}, "memory nodes '1' are not available"),
        ({"cpu_shares": "1"}, "CPU shares '1' are too few"),
        ({"cpu_shares": "-3"}, "invalid CPU shares '-3'"),
        ({"cpu_shares": "262145"}, "invalid CPU shares '262145'"),
        ({"pids_limit": "x"}, "invalid PIDs limit 'x'"),
        ({"pids_limit": "4194305"}, "invalid PIDs limit '4194305'"),
        ({"cpu_period": "999"}, "CPU period '999' is out of range"),
        ({"cpu_period": "1000001"}, "CPU period '1000001' is out of range"),
        ({"cpu_quota": "999"}, "CPU quota '999' is too small"),
        ({"cpu_quota": "1.5"}, "invalid CPU quota '1.5'"),
        ({"cpus": "1", "cpu_period": "1000"}, "conflicting options: --cpus and --cpu-period"),
        ({"cpus": "1", "cpu_quota": "1000"}, "conflicting options: --cpus and --cpu-quota"),
        ({"cpu_rt_runtime": "-1"}, "are not negative"),
        ({"cpu_rt_period": "5", "cpu_rt_runtime": "6"}, "runtime is longer than the real-time period"),
        ({"memory_reservation": "5m"}, "the memory reservation is too small"),
        ({"memory": "10m", "memory_reservation": "11m"}, "--memory is less than --memory-reservation"),
        ({"memory_swappiness": "101"}, "invalid memory swappiness '101'"),
        ({"blkio_weight": "9"}, "block I/O weight '9' is too small"),
        ({"blkio_weight": "1001"}, "invalid block I/O weight '1001'"),
        ({"blkio_weight_device": ["/dev/sda:9"]}, "invalid weight of a device '9'"),
        ({"device_read_bps": ["sda:1m"]}, "invalid --device-read-bps 'sda:1m'"),
        ({"device_read_bps": ["/dev/sda"]}, "invalid --device-read-bps '/dev/sda'"),
        ({"device_read_bps": ["/dev/sda:x"]}, "invalid bytes a second 'x'"),
        ({"device_write_iops": ["/dev/sda:1k"]}, "invalid operations a second '1k'"),
        ({"device_cgroup_rule": ["c 42 r"]}, "invalid device cgroup rule 'c 42 r'"),
        ({"device_cgroup_rule": ["x 1:1 r"]}, "invalid device cgroup rule 'x 1:1 r'"),
        ({"device_cgroup_rule": ["c 1:1 "]}, "invalid device cgroup rule 'c 1:1 '"),
        ({"device_cgroup_rule": ["c 1:-1 r"]}, "invalid device cgroup rule 'c 1:-1 r'"),
        ({"cgroup_parent": "../x"}, "invalid cgroup parent '../x'"),
        ({"cgroup_parent": "a//b"}, "invalid cgroup parent 'a//b'"),
        ({"oom_score_adj": "-1001"}, "invalid OOM score adjustment '-1001'"),
        ({"stop_timeout": "1000000001"}, "invalid stop timeout '1000000001'"),
        ({"stop_timeout": "-2"}, "invalid stop timeout '-2'"),
        ({"log_opt": ["mode=non-blocking"]}, "log option 'mode=non-blocking' is not supported"),
        ({"log_opt": ["labels="]}, "log option 'labels=' is not supported"),
        ({"log_opt": ["max-size=0"]}, "invalid log size '0'"),
        ({"log_opt": ["compress=true"]}, "log option 'compress=true' is not supported"),
        ({"log_driver": "none"}, "--log-driver none is not supported"),
        ({"log_driver": "syslog"}, "--log-driver syslog is not supported"),
        ({"pull": "sometimes"}, "invalid pull option: 'sometimes'"),
        ({"runtime": "crun"}, "--runtime crun is not supported"),
        ({"cgroupns": "x"}, "unknown cgroupns mode 'x'"),
        ({"domainname": "a b"}, "invalid domain name 'a b'"),
        ({"domainname": "a" * 65}, "invalid domain name 'aaa"),
        ({"domainname": "a", "uts": "host"}, "conflicting options: --domainname and --uts host"),
        ({"group_add": ["a,b"]}, "invalid group 'a,b'"),
        ({"group_add": [""]}, "invalid group ''"),
        ({"group_add": ["99999999999"]}, "invalid group '99999999999'"),
        ({"umask": "8"}, "invalid umask '8'"),
        ({"umask": "1000"}, "invalid umask '1000'"),
        ({"annotation": ["io.mydocker.user=root"]}, "invalid annotation 'io.mydocker.user=root'"),
        ({"annotation": ["=a"]}, "invalid annotation '=a'"),
        ({"volumes_from": ["web:x"]}, "invalid --volumes-from 'web:x'"),
        ({"security_opt": ["systempaths=x"]}, "security option 'systempaths=x' is not supported"),
        ({"userns": "private"}, "--userns private is not supported"),
        ({"isolation": "process"}, "--isolation process is not supported"),
        ({"volume_driver": "nfs"}, "--volume-driver nfs is not supported"),
        ({"log_opt": ["max-size"]}, "invalid log size ''"),
        ({"log_opt": ["max-file=0"]}, "invalid number of log files '0'"),
        ({"log_opt": ["max-file=1001"]}, "invalid number of log files '1001'"),
        ({"oom_score_adj": "1001"}, "invalid OOM score adjustment '1001'"),
        ({"stop_timeout": "x"}, "invalid stop timeout 'x'"),
        ({"stop_signal": "FOO"}, "invalid signal 'FOO'"),
        ({"name": "a/b"}, "invalid container name 'a/b'"),
        ({"hostname": "a b"}, "invalid hostname 'a b'"),
        ({"hostname": "h", "uts": "host"}, "conflicting options: --hostname and --uts host"),
        ({"restart": "maybe"}, "unknown restart policy 'maybe'"),
        ({"restart": "always", "rm": True}, "conflicting options: --restart and --rm"),
        ({"workdir": "foo"}, "invalid working directory 'foo'"),
        ({"user": "1:2:3"}, "invalid user '1:2:3'"),
        ({"network": ["none", "lab"]}, "--net none can't be combined"),
        ({"network": ["host"], "ip": "10.0.0.7"}, "--net host takes no --ip"),
        (
            {"network": ["container:web"], "publish": ["80:80"]},
            "conflicting options: port publishing and --net contain",
        ),
        ({"network": ["container:web"], "publish_all": True}, "conflicting options: port publishing and --net contain"),
        ({"network": ["container:web"], "expose": ["80"]}, "conflicting options: port publishing and --net container:"),
        (
            {"network": ["container:web"], "hostname": "h"},
            "conflicting options: --hostname, --dns or --add-host",
        ),
        ({"network": ["container:web"], "dns": ["10.0.0.1"]}, "conflicting options: --hostname, --dns or --add-host"),
        ({"network": ["container:web"], "dns_search": ["."]}, "conflicting options: --hostname, --dns or --add-host"),
        (
            {"network": ["container:web"], "dns_option": ["ndots:1"]},
            "conflicting options: --hostname, --dns or --add-host",
        ),
        (
            {"network": ["container:web"], "add_host": ["db:10.0.0.5"]},
            "conflicting options: --hostname, --dns or --add-host",
        ),
        ({"ip": "10.0.0"}, "invalid IP address '10.0.0'"),
        ({"mac_address": "01:00:00:00:00:00"}, "is not usable"),
        ({"network_alias": ["db"]}, "work only on user-defined networks"),
        ({"publish": ["80:80", "80:81"]}, "is given twice"),
        ({"publish": ["0-1:80"]}, "invalid port '0-1:80'"),
        ({"expose": ["80/sctp"]}, "invalid protocol 'sctp'"),
        ({"dns": ["resolver"]}, "invalid DNS server 'resolver'"),
        ({"dns_search": ["a..b"]}, "invalid search domain 'a..b'"),
        ({"dns_option": ["a b"]}, "invalid DNS option 'a b'"),
        ({"add_host": ["db"]}, "invalid host 'db' to add"),
        ({"pid": "container:"}, "unknown pid mode 'container:'"),
        ({"uts": "container:x"}, "unknown uts mode 'container:x'"),
        ({"sysctl": ["kernel.sem=1"], "ipc": "container:x"}, "would change the host"),
        ({"ipc": "x"}, "unknown ipc mode 'x'"),
        ({"uts": "private"}, "unknown uts mode 'private'"),
        ({"sysctl": ["net.x=1"], "network": ["host"]}, "would change the host"),
        ({"sysctl": ["net.x=1"], "network": ["container:web"]}, "would change the host"),
        ({"sysctl": ["kernel.sem=1"], "ipc": "host"}, "would change the host"),
        ({"security_opt": ["foo"]}, "security option 'foo' is not supported"),
        ({"security_opt": ["apparmor=mine"]}, "security option 'apparmor=mine' is not supported"),
        ({"security_opt": ["label=type:x"]}, "security option 'label=type:x' is not supported"),
        ({"security_opt": ["no-new-privileges=maybe"]}, "security option 'no-new-privileges=maybe' is not supported"),
        ({"security_opt": ["seccomp="]}, "security option 'seccomp=' is not supported"),
        ({"volume": ["a"]}, "invalid volume 'a'"),
        ({"volume": ["/a:/x"], "tmpfs": ["/x"]}, "duplicate mount point: /x"),
        ({"shm_size": "-1"}, "invalid size of /dev/shm '-1'"),
        ({"cap_add": ["FOO"]}, "unknown capability 'FOO'"),
    ],
)
def test_what_cannot_be_meant(given, says):
    with pytest.raises(InvalidArgument) as caught:
        parse(**given)
    assert says in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 125


@pytest.mark.parametrize(
    "given",
    [
        {"log_driver": "json-file"},
        {"log_driver": "local"},
        {"runtime": "runc"},
        {"runtime": "io.containerd.runc.v2"},
        {"cgroupns": "private"},
        {"userns": "host"},
        {"isolation": "default"},
        {"volume_driver": "local"},
        {"log_opt": ["compress=false", "mode=blocking"]},
        dict.fromkeys(("log_driver", "platform", "runtime", "cgroupns", "userns", "isolation"), ""),
    ],
)
def test_what_happens_anyway_may_be_asked_for(given):
    assert {**parse(**given).to_json(), "anyway": {}, "log_options": {}} == parse().to_json()


def test_a_log_may_be_as_small_as_dockers():
    assert parse(log_opt=["max-size=1k", "max-file=1"]).log_size == 1024
    assert parse(log_opt=["max-size=1"]).log_size == 1


def test_published_ports_stay_on_record_where_no_network_publishes_them():
    """docker's .HostConfig.PortBindings has them; those of -P are another matter."""
    for mode in ("host", "none"):
        made = parse(network=[mode], publish=["8080:80"], publish_all=True, expose=["90"])
        assert request.complete(made, "busybox", ["true"], {}).published == ["8080:80/tcp"]


class TestWhatThisMachineCannotGive:
    POOR = HostFacts(cpus="0", capabilities=ALL & ~SYS_RESOURCE, hard_limits={"nofile": 100, "core": -1}, swap=False)

    @pytest.mark.parametrize(
        "given",
        [
            {"memory": "10m", "memory_swap": "20m"},
            {"memory": "10m", "memory_swap": "10m"},
            {"oom_score_adj": "-1"},
            {"ulimit": ["nofile=50:101"]},
            {"ulimit": ["nofile=50:-1"]},
        ],
    )
    def test_is_an_error_before_the_start(self, given):
        with pytest.raises(HostError) as caught:
            parse(self.POOR, **given)
        assert caught.value.hint

    @pytest.mark.parametrize(
        "given",
        [
            {"memory": "10m"},
            {"memory": "10m", "memory_swap": "-1"},
            {"oom_score_adj": "1"},
            {"ulimit": ["nofile=0:0", "core=-1"]},
            {"ulimit": ["nofile=50:100", "core=-1"]},
        ],
    )
    def test_what_it_can_give(self, given):
        assert parse(self.POOR, **given).words == ["busybox"]


class TestJson:
    def test_a_full_request_comes_back(self):
        made = parse(
            volume=["/a:/b:ro", "/anon"], tmpfs=["/t"], ulimit=["core=1"], device=["/dev/x"], label=["a=b"],
            entrypoint="", sysctl=["net.x=1"], stop_timeout="5", cap_add=["KILL"], env=["A=\udcff"], memory="10m",
        )  # fmt: skip
        text = jsontext.dumps(made.to_json())
        assert request.from_json(jsontext.loads(text)) == made

    @pytest.mark.parametrize(
        "damage",
        [
            {"schema": 2},
            {"schema": None},
            {"env": None},
            {"env": "A=1"},
            {"memory": "1"},
            {"tty": 0},
            {"name": 5},
        ],
    )
    def test_a_damaged_one_is_named(self, damage):
        with pytest.raises(CorruptRecord, match=r"that\.json") as caught:
            request.from_json({**parse().to_json(), **damage}, "that.json")
        assert caught.value.hint

    def test_a_field_of_a_newer_version_is_ignored(self):
        made = parse()
        assert request.from_json({**made.to_json(), "new": 1}) == made

    def test_one_with_a_field_missing(self):
        data = parse().to_json()
        del data["words"]
        with pytest.raises(CorruptRecord, match="words"):
            request.from_json(data)

    def test_no_field_of_an_older_one_is_needed_but_the_name(self):
        assert request.from_json({"schema": 1, "words": [], "name": "x"}) == request.CreateRequest([], "x")


class TestWords:
    """articles.md, Decisions: the first positional is an image if the store has it, otherwise a command."""

    IMAGES, COMMANDS = {"busybox", "ls", "nginx:1"}, {"ls", "top", "sh"}

    def resolve(self, *words):
        return request.resolve_words(list(words), self.IMAGES.__contains__, self.COMMANDS.__contains__, "get {}".format)

    @pytest.mark.parametrize(
        ("words", "image", "command"),
        [
            (["busybox"], "busybox", []),
            (["busybox", "top", "-b"], "busybox", ["top", "-b"]),
            (["nginx:1", "nginx:1"], "nginx:1", ["nginx:1"]),
            (["ls", "-l"], "ls", ["-l"]),
            (["top", "-b"], "busybox:latest", ["top", "-b"]),
            (["/bin/sh"], "busybox:latest", ["/bin/sh"]),
            (["/no/such"], "busybox:latest", ["/no/such"]),
        ],
    )
    def test_words(self, words, image, command):
        assert self.resolve(*words) == (image, command)

    def test_an_absolute_path_never_reaches_the_store(self):
        assert request.resolve_words(["/x"], lambda _: True, lambda _: False, str) == ("busybox:latest", ["/x"])

    @pytest.mark.parametrize("word", ["nope", "", "a b", "bin/sh"])
    def test_neither(self, word):
        with pytest.raises(NotFound, match="neither an image here nor a command") as caught:
            self.resolve(word, "x")
        assert f"'{word}'" in caught.value.message
        assert caught.value.hint == f"get {word}"
        assert caught.value.exit_code == 1

    def test_nothing(self):
        with pytest.raises(InvalidArgument, match="no command or image given") as caught:
            self.resolve()
        assert "usage" in caught.value.hint


class TestComplete:
    CONFIG = {
        "Env": ["PATH=/bin", "A=image", "broken", "=x", "=", ""],
        "Cmd": ["sh", "-l"],
        "Entrypoint": ["/entry"],
        "WorkingDir": "/srv/../w",
        "User": "www",
        "Labels": {"a": "image", "b": "image"},
        "Volumes": {"/data": {}, "/mine": {}},
        "ExposedPorts": {"80/tcp": {}, "443/tcp": {}},
        "StopSignal": "SIGQUIT",
    }

    def complete(self, command=(), config=None, **given):
        return request.complete(parse(**given), "img:1", list(command), self.CONFIG if config is None else config)

    @pytest.mark.parametrize(
        ("given", "command", "entrypoint", "cmd"),
        [
            ({}, [], ["/entry"], ["sh", "-l"]),
            ({}, ["x"], ["/entry"], ["x"]),
            ({"entrypoint": "e"}, [], ["e"], []),
            ({"entrypoint": "e"}, ["x"], ["e"], ["x"]),
            ({"entrypoint": ""}, ["x"], [], ["x"]),
        ],
    )
    def test_entrypoint_and_cmd_as_docker_merges_them(self, given, command, entrypoint, cmd):
        made = self.complete(command, **given)
        assert (made.entrypoint, made.command, made.image) == (entrypoint, cmd, "img:1")

    @pytest.mark.parametrize(
        ("given", "config"), [({"entrypoint": ""}, None), ({}, {}), ({}, {"Cmd": None, "Entrypoint": []})]
    )
    def test_no_command_at_all(self, given, config):
        with pytest.raises(InvalidArgument, match="no command specified"):
            self.complete(config=config, **given)

    def test_the_user_goes_before_the_image(self):
        made = self.complete(
            env=["A=mine", "B=2"], label=["a=mine"], workdir="/x", user="0", stop_signal="INT", volume=["/srv:/mine"]
        )
        assert made.env == ["A=mine", "B=2", "PATH=/bin"]
        assert made.labels == {"a": "mine", "b": "image"}
        assert (made.workdir, made.user, made.stop_signal) == ("/x", "0", "INT")
        assert [(mount["type"], mount["target"]) for mount in made.mounts] == [("bind", "/mine"), ("volume", "/data")]

    def test_the_image_goes_before_nothing(self):
        made = self.complete()
        assert (made.workdir, made.user, made.stop_signal) == ("/w", "www", "SIGQUIT")
        assert made.exposed_ports == ["443/tcp", "80/tcp"]
        assert made.published == []
        assert {mount["target"] for mount in made.mounts} == {"/data", "/mine"}

    @pytest.mark.parametrize(
        ("given", "exposed", "published"),
        [
            ({}, ["443/tcp", "80/tcp"], ["443/tcp", "80/tcp"]),
            ({"expose": ["53/udp"]}, ["53/udp", "443/tcp", "80/tcp"], ["53/udp", "443/tcp", "80/tcp"]),
            ({"expose": ["80"]}, ["80/tcp", "443/tcp"], ["80/tcp", "443/tcp"]),
            ({"publish": ["8080:80"]}, ["443/tcp", "80/tcp"], ["8080:80/tcp", "443/tcp"]),
            ({"publish": ["8080:80/udp"]}, ["443/tcp", "80/tcp"], ["8080:80/udp", "443/tcp", "80/tcp"]),
        ],
    )
    def test_every_exposed_port_is_published_on_demand_but_for_those_that_are(self, given, exposed, published):
        made = self.complete(publish_all=True, **given)
        assert (made.exposed_ports, made.published) == (exposed, published)

    def test_an_image_that_says_nothing(self):
        made = self.complete(["x"], config={})
        assert (made.workdir, made.user, made.stop_signal, made.env) == ("/", "", "", [])

    def test_the_request_itself_does_not_change(self):
        asked = parse(env=["B=1"], label=["b=c"], volume=["/srv:/mine"])
        before = jsontext.dumps(asked.to_json())
        request.complete(asked, "i", ["x"], self.CONFIG)
        assert jsontext.dumps(asked.to_json()) == before

    def test_a_complete_request_is_json_and_comes_back(self):
        made = self.complete()
        assert request.from_json(jsontext.loads(jsontext.dumps(made.to_json()))) == made

    @pytest.mark.parametrize(
        "config",
        [
            {"Cmd": "sh"}, {"Cmd": [1]}, {"Cmd": ["a\0"]}, {"Env": {"A": "1"}}, {"User": 5}, {"User": "a\nb"},
            {"WorkingDir": ["/"]}, {"Labels": ["a"]}, {"Labels": {"a": 1}}, {"Volumes": ["/x"]}, {"Volumes": {"/": {}}},
            {"Volumes": {"/x": []}}, {"StopSignal": "FOO"}, {"ExposedPorts": "80"},
        ],
    )  # fmt: skip
    def test_a_malformed_config_is_an_error_of_ours(self, config):
        assert self.complete(config={"Entrypoint": ["/e"]}).entrypoint == ["/e"]
        with pytest.raises(InvalidArgument):
            self.complete(config={"Entrypoint": ["/e"], **config})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
CONFIG_KEYS = st.sampled_from(
    ["Env", "Cmd", "Entrypoint", "WorkingDir", "User", "Labels", "Volumes", "ExposedPorts", "StopSignal"]
)


@given(st.dictionaries(CONFIG_KEYS, JSON))
def test_no_config_whatever_makes_another_error(config):
    try:
        made = request.complete(request.CreateRequest(["i"], "n"), "i", ["x"], config)
    except InvalidArgument:
        return
    assert request.from_json(jsontext.loads(jsontext.dumps(made.to_json()))) == made


@given(st.sampled_from(TEXTS), st.text())
def test_no_option_whatever_makes_another_error(option, text):
    try:
        made = parse(**{option: text})
    except MydockerError as error:
        assert error.hint  # noqa: PT017
    else:
        assert request.from_json(jsontext.loads(jsontext.dumps(made.to_json()))) == made


def test_volumes_of_another_container_come_after_its_own_and_before_the_images():
    def of(*volumes, image=()):
        made = mounts.parse(list(volumes), [], ["/tm"], "/")
        return request.CreateRequest([], mounts=made + mounts.image_volumes(list(image), made))

    first, second = of("data:/a", "/srv:/b:ro", "/c", image=["/d"]), of("/other:/b")
    got = isolation.with_mounts_of(of("/mine:/a", image=["/d", "/e"]), [(first, False), (second, True)])
    shown = {mount["target"]: (mount["source"][:6], mount["read_only"], mount["anonymous"]) for mount in got}
    assert shown["/a"] == ("/mine", False, False)
    assert shown["/b"] == ("/other", True, False)
    theirs = {mount["target"]: mount["source"] for mount in first.mounts}
    assert [shown[at] for at in ("/c", "/d")] == [(theirs[at][:6], False, False) for at in ("/c", "/d")]
    assert (shown["/e"][2], list(shown)) == (True, ["/a", "/tm", "/e", "/b", "/c", "/d"])
