"""An option of run is not forgotten on its way: from the command line to the request, and on to the container."""

from __future__ import annotations

import pytest

from mydocker import jsontext
from mydocker.cli import dockerwords
from mydocker.engine import bundle
from mydocker.engine.create import Draft
from mydocker.generated.fasttable import ALIASES, COMMANDS
from mydocker.image.drivers import overlay
from mydocker.image.store import Image
from mydocker.model import docker
from mydocker.model.host import HostFacts
from mydocker.model.network import Endpoint
from mydocker.model.oci import spec
from mydocker.model.options import mounts, ports, request

ID = "0123456789ab" + "c" * 52
FACTS = HostFacts(cpus="0-3", nodes="0-1", hostname="vm", cwd="/here")
# What the command line itself acts on, or what asks for what happens anyway and has no trace.
CLIENT_OPTIONS = {"detach_keys", "sig_proxy", "format", "disable_content_trust"}
# field -> a value that is not the default
CHANGED = {
    "name": "web",
    "interactive": True,
    "tty": True,
    "attach": ["stdout"],
    "auto_remove": True,
    "restart": "always",
    "cidfile": "/tmp/id",
    "image": "alpine:3",
    "entrypoint": ["/bin/sh"],
    "command": ["-c", "true"],
    "env": ["A=1"],
    "user": "1000:1000",
    "workdir": "/srv",
    "group_add": ["video", "7"],
    "umask": 0o27,
    "annotations": {"a": "b"},
    "domainname": "lab.example",
    "cgroupns": "host",
    "volumes_from": ["web:ro"],
    "unmasked": True,
    "labels": {"a": "b"},
    "exposed_ports": ["80/tcp"],
    "published": [port.text for port in ports.parse_published(["8080:80"])],
    "publish_all": True,
    "stop_signal": "INT",
    "stop_timeout": 3,
    "log_options": {"max-size": "1m"},
    "anyway": {"isolation": "default"},
    "no_healthcheck": True,
    "init": True,
    "oom_score_adj": 100,
    "ulimits": [{"name": "nofile", "soft": 100, "hard": 200}],
    "hostname": "lab",
    "network": "host",
    "networks": [Endpoint("lab").to_json()],
    "dns": ["1.1.1.1"],
    "dns_search": ["lab.example"],
    "dns_options": ["ndots:2"],
    "extra_hosts": ["db:10.0.0.9"],
    "pid": "host",
    "ipc": "host",
    "uts": "host",
    "read_only": True,
    "mounts": mounts.parse(["/srv:/srv"], [], [], "/here"),
    "devices": [mounts.device("/dev/null:/dev/nothing")],
    "shm_size": 1 << 20,
    "sysctls": {"net.ipv4.ip_forward": "1"},
    "memory": 100 << 20,
    "memory_swap": 300 << 20,
    "nano_cpus": 500_000_000,
    "cpu_shares": 512,
    "cpuset_cpus": "0-1",
    "cpuset_mems": "0",
    "pids_limit": 100,
    "cpu_period": 50_000,
    "cpu_quota": 25_000,
    "cpu_rt_period": 50_000,
    "cpu_rt_runtime": 5_000,
    "memory_reservation": 50 << 20,
    "memory_swappiness": 0,
    "oom_kill_disable": True,
    "blkio_weight": 300,
    "block_limits": [{"kind": "read_bps", "path": "/dev/sda", "value": 1 << 20}],
    "device_rules": ["c 42:* rwm"],
    "cgroup_parent": "jobs",
    "privileged": True,
    "cap_add": ["CAP_SYS_TIME"],
    "cap_drop": ["CAP_CHOWN"],
    "security_opt": ["label=disable"],
    "no_new_privileges": True,
    "seccomp": "unconfined",
}
# Fields that change neither -> why.
NOWHERE = {
    "words": "as typed: image, entrypoint and command come from them",
    "detach": "whether the caller waits",
    "explain": "what the caller prints",
    "dry_run": "then there is no container",
    "pull": "the image is there before the bundle",
    "quiet": "likewise",
    "platform": "checked against the image, which is not changed by it",
    "log_size": "in the record, for the monitor; inspect shows log_options",
    "log_files": "likewise",
}
# Fields that leave the bundle alone: the record or the container's files hold them, and inspect shows them -> why.
ONLY_SHOWN = {
    "name": "the record's",
    "interactive": "the monitor keeps stdin open",
    "attach": "the command line attaches",
    "auto_remove": "the monitor removes the container",
    "restart": "the monitor restarts the container",
    "cidfile": "the command line writes it",
    "image": "the root is mounted from its layers",
    "labels": "the record's",
    "exposed_ports": "for publish_all",
    "published": "endpoints are the record's, and change while the container runs",
    "publish_all": "likewise",
    "stop_signal": "for stop",
    "stop_timeout": "for stop",
    "log_options": "the monitor writes the log",
    "anyway": "what happens anyway",
    "no_healthcheck": "there are no health checks",
    "networks": "endpoints are the record's, and change while the container runs",
    "volumes_from": "as typed: mounts has them",
    "dns": "in the container's resolv.conf",
    "dns_search": "likewise",
    "dns_options": "likewise",
    "extra_hosts": "in the container's hosts",
    "devices": "the host's nodes, which build() is given",
    "block_limits": "the host's disks, likewise",
    "security_opt": "as typed: no_new_privileges and seccomp come from it",
}
# What else a field needs to have an effect.
WITH = {"memory_swap": {"memory": 100 << 20}}


class Params(dict):
    """The params of the command line, which note the keys that were read."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.read: set[str] = set()

    def get(self, key, default=None):
        self.read.add(key)
        return super().get(key, default)


def params() -> Params:
    _, _, absent, _ = COMMANDS["run",]
    return Params({**absent, "image_and_command": ["busybox"]})


def test_the_request_reads_every_option():
    given = params()
    request.from_params(given, {}, FACTS)
    assert set(given) - given.read - {"image_and_command"} == CLIENT_OPTIONS


def documents(**fields: object) -> list[object]:
    made = request.CreateRequest(
        **{"words": ["busybox", "top"], "image": "busybox:latest", "command": ["top"], **fields}
    )
    config = spec.build(made, ID, f"/c/{ID}", FACTS)
    image = Image("sha256:" + "e" * 64, "sha256:" + "d" * 64, [], {}, ["sha256:" + "f" * 64], 1, "")
    container = Draft(ID, made, image, overlay, config, b"", {}).container(made.name or "made_up")
    container.created = "2026-01-01T00:00:00Z"
    return [config, docker.container(container, made, config, {})]


def test_every_field_is_in_one_of_the_tables():
    assert {*CHANGED, *NOWHERE} == {*request.CreateRequest.__annotations__}
    assert not {*CHANGED} & {*NOWHERE}


@pytest.mark.parametrize("field", CHANGED)
def test_a_field_changes_the_bundle_or_only_what_inspect_shows(field):
    base = WITH.get(field, {})
    config, shown = documents(**base)
    changed_config, changed_shown = documents(**base, **{field: CHANGED[field]})
    assert (changed_config == config) == (field in ONLY_SHOWN), "see model/oci/spec.py"
    assert field not in ONLY_SHOWN or changed_shown != shown, "see model/docker.py"


@pytest.mark.parametrize("field", CHANGED)
def test_a_request_with_it_is_read_back(field):
    made = request.CreateRequest(**{"words": ["busybox"], field: CHANGED[field]})
    assert request.from_json(jsontext.loads(jsontext.dumps(made.to_json()))) == made


def unknown(value: object, shape: object, where: str = "") -> list[str]:
    """List the keys of a value for which its shape in engine/bundle.py has no type."""
    if isinstance(value, list) and isinstance(shape, list):
        return [key for each in value for key in unknown(each, shape[0], where)]
    if not isinstance(value, dict) or not isinstance(shape, dict) or "" in shape:
        return []
    shapes = {key.rstrip("?"): of for key, of in shape.items()}
    lacks = [f"{where}.{key}" for key in value if key not in shapes]
    return lacks + [
        found for key in {*value} & {*shapes} for found in unknown(value[key], shapes[key], f"{where}.{key}")
    ]


@pytest.mark.parametrize("field", CHANGED)
def test_the_bundles_check_knows_every_key(field):
    config, _ = documents(**WITH.get(field, {}), **{field: CHANGED[field]})
    assert set(unknown(config, bundle._SPEC)) == {".ociVersion"}, "see engine/bundle.py"


def test_the_bundles_check_knows_every_field_that_is_no_plain_value():
    """request.from_json() compares every other field with the type of its default."""
    fields = request.CreateRequest.__annotations__.items()
    plain = {name for name, kind in fields if kind in ("str", "int", "bool")}
    assert {key.rstrip("?") for key in bundle._REQUEST} == {*request.CreateRequest.__annotations__} - plain


def test_a_command_has_dockers_second_spelling():
    """docker 20.10 has these under `container` and `image`, too. See _SPELLINGS in cli/declare/root.py."""
    container = (
        "attach commit cp create diff exec export kill logs pause port rename restart rm run start stats stop top"
        " unpause update wait"
    )
    groups = {"container": container, "image": "build history import load pull push save tag"}
    spellings = {(group, word) for group, words in groups.items() for word in words.split()}
    missing = {path for path in dockerwords.COMMANDS if path[0] in groups and path[1:] in dockerwords.COMMANDS}
    assert {path for path in spellings if path in ALIASES} == {path for path in spellings if path[1:] in COMMANDS}
    assert missing == {path for path in spellings if path[1:] not in COMMANDS}


def test_what_mydocker_has_is_not_what_only_docker_has():
    assert not set(dockerwords.COMMANDS) & {*COMMANDS, *ALIASES}
    for path, names in dockerwords.OPTIONS.items():
        assert not set(names) & set(COMMANDS[path][3] if path in COMMANDS else ()), path
