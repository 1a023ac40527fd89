"""What a container's process is and sees: groups, umask, names, namespaces, paths of the kernel, another's volumes."""

from __future__ import annotations

import pytest
from machine import until


def test_groups_and_umask_hold_for_exec_too(mydocker, name):
    options = ["--group-add", "99", "--umask", "027"]
    mydocker.detached("--name", name, *options, "busybox", "sh", "-c", "id -G; umask; exec top -b")
    assert mydocker.wait_log(name, "0027").split()[:3] == ["0", "99", "0027"]
    assert mydocker.ok("exec", "-u", "1000", name, "sh", "-c", "id -G; umask").split() == ["0", "99", "0027"]
    assert mydocker.inspect(name, "HostConfig", "GroupAdd") == ["99"]


def test_a_group_that_the_image_does_not_have(mydocker):
    line = mydocker.fails("run", "--rm", "--net", "none", "--group-add", "no-such", "busybox", "true")
    assert "unable to find group no-such" in line


def test_a_domain_name(mydocker):
    script = "hostname; cat /proc/sys/kernel/domainname; hostname -f; tail -n 1 /etc/hosts | cut -f 2"
    said = mydocker.sh(script, "-h", "host", "--domainname", "lab.example")
    assert said.split("\n") == ["host", "lab.example", "host.lab.example", "host.lab.example host"]


def test_the_kernels_paths_are_open_on_demand(mydocker, name):
    assert mydocker.sh("mount | grep -c /proc/ || true", "--security-opt", "systempaths=unconfined") == "0"
    mydocker.ok("create", "--name", name, "--security-opt", "systempaths=unconfined", "busybox")
    shown = mydocker.inspect(name, "HostConfig")
    assert [shown[key] for key in ("SecurityOpt", "MaskedPaths", "ReadonlyPaths")] == [[], [], []]


@pytest.mark.parametrize("options", [[], ["--privileged"]])
def test_the_hosts_cgroup_namespace(mydocker, name, options):
    script = "cat /proc/self/cgroup; cat $(ls -d /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs 2>/dev/null)"
    made = mydocker.detached(
        "--name", name, "--cgroupns", "host", *options, "busybox", "sh", "-c", f"{script}; exec top -b"
    )
    log = mydocker.wait_log(name, made)
    assert "1" in log.split("\n")  # itself: in the namespace its cgroup would be /
    assert made in mydocker.ok("exec", name, "cat", "/proc/self/cgroup")


def test_no_shared_memory(mydocker):
    assert mydocker.sh("ls -d /dev/shm || mount | grep -c shm || true", "--ipc", "none").split("\n")[-1] == "0"


def test_annotations_are_in_the_bundle(machine, mydocker, name):
    made = mydocker.ok("create", "--name", name, "--annotation", "org.example=1", "busybox")
    assert '"org.example": "1"' in machine.read(f"{machine.store}/lib/containers/{made}/config.json").replace(
        '":"', '": "'
    )
    assert mydocker.inspect(name, "HostConfig", "Annotations") == {"org.example": "1"}


def test_volumes_of_another_container(mydocker, name):
    mydocker.ok("volume", "create", name)
    other = f"{name}-2"
    mydocker.ok(
        "run", "--net", "none", "--name", name, "-v", f"{name}:/a", "-v", "/anonymous", "busybox", "touch", "/a/x"
    )
    assert mydocker.sh("ls /a; touch /a/y /anonymous/z", "--volumes-from", name) == "x"
    assert "Read-only" in mydocker.sh("touch /a/y || true", "--volumes-from", f"{name}:ro")
    mydocker.ok("create", "--name", other, "--volumes-from", name, "busybox")
    assert mydocker.inspect(other, "HostConfig", "VolumesFrom") == [name]
    mydocker.ok("rm", "-v", name)  # another container uses the anonymous volume still
    assert mydocker.ok("start", "-a", other) == ""
    assert len(mydocker.inspect(other, "Mounts")) == 2
    assert len(mydocker.ok("volume", "ls", "-q").split()) == 2
    mydocker.ok("rm", other)
    mydocker.ok("volume", "prune", "-f", "-a")


@pytest.fixture
def other(mydocker, name):
    """A running container whose namespaces others join."""
    mydocker.detached(
        "--name", name, "--ipc", "shareable", "busybox", "sh", "-c", "echo x >/dev/shm/x; exec sleep 1000"
    )
    until(lambda: mydocker.ok("exec", name, "ls", "/dev/shm") == "x", "its file")
    return name


def test_processes_of_another_container(mydocker, other):
    options = ["--pid", f"container:{other}"]
    assert mydocker.sh("ps -o args | grep 1000", *options).startswith("sleep 1000")
    inside = "readlink /proc/self/ns/pid"
    assert mydocker.sh(inside, *options) == mydocker.ok("exec", other, *inside.split())
    second = f"{other}-2"
    made = mydocker.detached("--name", second, *options, "busybox", "sh", "-c", "sleep 999 & exec sleep 998")
    assert mydocker.inspect(second, "HostConfig", "PidMode") == f"container:{mydocker.inspect(other, 'Id')}"
    assert mydocker.ok("exec", second, *inside.split()) == mydocker.ok("exec", other, *inside.split())
    mydocker.ok("restart", "-t", "0", second)  # what it left is killed, though it has no PID 1 of its own
    assert mydocker.ok("exec", other, "ps", "-o", "args").count("sleep 999") == 1
    mydocker.ok("kill", other)
    until(lambda: not mydocker.state(second)["Running"], "the end of all in the namespace")
    assert "is not running" in mydocker.fails("start", second)
    assert mydocker.ok("ps", "-aq", "--no-trunc", "--filter", f"name={second}") == made


def test_ipc_of_another_container(mydocker, other, name):
    options = ["--ipc", f"container:{other}"]
    inside = "readlink /proc/self/ns/ipc"
    said = mydocker.sh(f"cat /dev/shm/x; echo y >/dev/shm/y; {inside}; mount | grep -c ' /dev/shm '", *options)
    assert said.split() == ["x", mydocker.ok("exec", other, *inside.split()), "1"]
    assert mydocker.ok("exec", other, "cat", "/dev/shm/y") == "y"


def test_what_cannot_be_joined(mydocker, name):
    mydocker.detached("--name", name, "--cap-add", "SYS_PTRACE", "busybox", "sleep", "1000")
    run = ["run", "--rm", "--net", "none"]
    assert "is not shareable" in mydocker.fails(*run, "--ipc", f"container:{name}", "busybox", "true")
    assert "CAP_SYS_PTRACE" in mydocker.fails(*run, "--pid", f"container:{name}", "busybox", "true")
    assert "no such container" in mydocker.fails(*run, "--pid", "container:no-such", "busybox", "true")


def test_a_process_that_got_more_rights_later_is_a_tracer_too(mydocker, name):
    mydocker.detached("--name", name, "busybox", "sleep", "1000")
    run = ["run", "--rm", "--net", "none", "--pid", f"container:{name}", "busybox", "true"]
    mydocker.ok(*run)
    mydocker.ok("exec", "-d", "--privileged", name, "sleep", "1000")
    assert f"{name} has CAP_SYS_PTRACE" in mydocker.fails(*run)
