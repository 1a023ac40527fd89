"""The contract in the middle: runc starts the config.json that model/oci/spec.py writes, and does what it says."""

from __future__ import annotations

import os
import shutil

import pytest

from mydocker import jsontext
from mydocker.engine import host
from mydocker.model.oci import spec
from mydocker.model.options import request

pytestmark = pytest.mark.local

FACTS = """
cat /proc/self/status | grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups|Uid|Gid)'
echo hostname=$(hostname) cwd=$(pwd) path=$PATH a=$A arg="$1"
echo nofile=$(ulimit -Sn):$(ulimit -Hn) oom=$(cat /proc/self/oom_score_adj)
echo netns=$(ls /sys/class/net | tr '\\n' ' ')
cat /proc/mounts
(echo 4096 > /proc/sys/kernel/shmmni) 2>/dev/null && echo 'wrote to /proc/sys'
echo interrupts=$(head -c 1 /proc/interrupts | wc -c) zero=$(head -c 1 /dev/zero | wc -c)
"""


@pytest.fixture
def bundle(machine, directory):
    """A bundle with a root file system of busybox alone, and what runs it: run(**options) -> Result."""
    if not machine.local:
        pytest.skip("needs the machine under test to be this one: the bundle is made in this process")
    if not shutil.which("runc"):
        pytest.skip("needs runc (apt-get install runc)")
    if not shutil.which("busybox"):
        pytest.skip("needs busybox (apt-get install busybox-static)")
    machine.shell(f"cd {directory} && mkdir -p rootfs/bin rootfs/etc && cp $(command -v busybox) rootfs/bin/")
    machine.shell(f"cd {directory}/rootfs/bin && for tool in $(./busybox --list); do ln -sf busybox $tool; done")
    machine.shell(f"cd {directory} && for name in hostname hosts resolv.conf; do echo $name of ours > $name; done")
    container = os.path.basename(directory)

    def run(*command: str, config: dict | None = None, **params):
        facts = host.look()
        asked = request.from_params({"image_and_command": ["busybox"], **params}, {}, facts)
        wanted = request.complete(asked, "busybox:latest", list(command), config or {})
        made = spec.build(wanted, container, directory, facts, nodes=host.nodes(wanted.devices, wanted.privileged))
        made["linux"]["cgroupsPath"] = f"/{container}"
        with open(f"{directory}/config.json", "w") as file:
            file.write(jsontext.dumps(made))
        return machine.run("runc", "--root", f"{directory}/state", "run", "--bundle", directory, container)

    yield run
    machine.run("runc", "--root", f"{directory}/state", "delete", "--force", container)


def test_the_defaults(bundle):
    result = bundle("sh", "-c", FACTS, "sh", "one  'word'\n", workdir="/tmp/new", env=["A=b c"], hostname="hh")
    assert (result.rc, result.stderr) == (0, ""), result
    seen = result.stdout
    assert "CapEff:\t00000000a80425fb" in seen
    assert "CapBnd:\t00000000a80425fb" in seen
    assert "CapInh:\t0000000000000000" in seen
    assert "CapAmb:\t0000000000000000" in seen
    assert "Seccomp:\t2" in seen
    assert "NoNewPrivs:\t0" in seen
    assert f"hostname=hh cwd=/tmp/new path={spec.PATH} a=b c arg=one  'word'" in seen
    assert "nofile=1024:" in seen
    assert "oom=0" in seen
    assert "netns=lo\n" in seen
    assert "shm /dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size=65536k" in seen
    assert "wrote to /proc/sys" not in seen
    assert seen.endswith("interrupts=0 zero=1\n")  # masked, and open


def test_what_was_asked_for(machine, bundle, directory):
    machine.shell(f"mkdir -m 777 {directory}/shared && echo from the host > {directory}/shared/file")
    result = bundle(
        "sh",
        "-c",
        f"{FACTS}cat /b/file; touch /b/x /root.txt; stat -c %F,%t,%T /dev/x; cat /etc/hosts",
        user="5:6",
        volume=[f"{directory}/shared:/b:ro"],
        tmpfs=["/t:size=1m"],
        memory="50m",
        cpus="0.5",
        pids_limit="50",
        ulimit=["nofile=100:200"],
        cap_drop=["ALL"],
        cap_add=["KILL"],
        device=["/dev/null:/dev/x:r"],
        security_opt=["no-new-privileges"],
        sysctl=["net.ipv4.ip_forward=1"],
        oom_score_adj="7",
        read_only=True,
        shm_size="1m",
        mount=["type=tmpfs,dst=/var/cache,tmpfs-mode=700"],
    )
    seen = result.stdout
    assert result.rc == 0, result
    assert "CapEff:\t0000000000000000" in seen
    assert "CapBnd:\t0000000000000020" in seen
    assert "NoNewPrivs:\t1" in seen
    assert "Uid:\t5\t5\t5\t5" in seen
    assert "Gid:\t6\t6\t6\t6" in seen
    assert "nofile=100:200 oom=7" in seen
    assert "tmpfs /t tmpfs rw,nosuid,nodev,noexec,relatime,size=1024k" in seen
    assert "tmpfs /var/cache tmpfs rw,nosuid,nodev,noexec,relatime,mode=700" in seen
    assert seen.endswith("from the host\ncharacter special file,1,3\nhosts of ours\n")
    assert result.stderr.splitlines() == [
        "touch: /b/x: Read-only file system",
        "touch: /root.txt: Read-only file system",
    ]


def test_a_user_by_name_is_nobody_to_runc(bundle):
    assert bundle("id", "-u", user="www").stdout == "65534\n"


def test_the_hosts_namespaces(bundle):
    result = bundle(
        "sh",
        "-c",
        "for n in /proc/self/ns/*; do readlink $n; done",
        network=["host"],
        pid="host",
        ipc="host",
        uts="host",
    )
    ours = {name: os.readlink(f"/proc/self/ns/{name}") for name in ("net", "pid", "ipc", "uts", "mnt", "cgroup")}
    seen = set(result.stdout.split())
    assert {ours[name] for name in ("net", "pid", "ipc", "uts")} <= seen, result
    assert not {ours["mnt"], ours["cgroup"]} & seen


def test_privileged(bundle):
    result = bundle("sh", "-c", FACTS, privileged=True)
    assert (result.rc, result.stderr) == (0, ""), result
    assert "Seccomp:\t0" in result.stdout
    assert f"CapEff:\t{host.look().capabilities:016x}" in result.stdout
    assert "sysfs /sys sysfs rw," in result.stdout
    assert result.stdout.endswith("interrupts=1 zero=1\n")
