"""Attacks that combine volumes with links of an image. Each of them succeeded once."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("target", ["/sys/kernel", "/proc", "/proc/self/fd"])
def test_a_volume_is_filled_only_from_the_image(mydocker, make, target):
    """A VOLUME on a link into /sys made the start copy kernel files as root, forever."""
    image = make([("data", "link", target)], ["VOLUME /data"])
    assert mydocker("run", "--rm", "--net", "none", image, "true", timeout=20).rc in (0, 125)


@pytest.mark.parametrize("target", ["/proc", "/proc/self", "/sys", "/dev", "/"])
def test_a_link_cannot_redirect_a_volume_to_a_kernel_file_system(mydocker, make, directory, target):
    """The next exec read a forged /proc/self/stat as root."""
    image = make([("data", "link", target)])
    line = mydocker.fails("run", "--rm", "--net", "none", "-v", f"{directory}:/data", image, "true")
    assert "/data" in line
    assert f"redirects it to /{target.split('/')[1]}" in line


def test_an_ordinary_link_may_redirect_a_volume(mydocker, make, directory):
    image = make([("data", "link", "/srv/data")])
    mydocker.ok("run", "--rm", "--net", "none", "-v", f"{directory}:/data", image, "touch", "/srv/data/x")


def test_a_volume_is_filled_out_of_other_containers_reach(mydocker, make, machine, name):
    """A container could replace a copied file by a link, and the link's target on the host got the image's mode."""
    image = make([("fill", None), ("fill/a", b"1\n"), ("fill/b", None), ("fill/b/c", b"2\n")])
    try:
        out = mydocker.ok("run", "--rm", "--net", "none", "-v", f"{name}:/fill", image, "cat", "/fill/a", "/fill/b/c")
        assert out.split() == ["1", "2"]
        root = machine.env["MYDOCKER_ROOT"]
        assert machine.run("ls", f"{root}/volumes/{name}").lines == ["_data", "volume.json"]
    finally:
        mydocker("volume", "rm", name)


KEY = """
import ctypes, os, subprocess, sys
number = {"x86_64": 248, "aarch64": 217}[os.uname().machine]
libc = ctypes.CDLL(None)
libc.syscall({"x86_64": 250, "aarch64": 219}[os.uname().machine], 1, None)
libc.syscall(number, b"user", b"mydocker-secret", b"x", ctypes.c_size_t(1), -3)
print("mydocker-secret" in open("/proc/keys").read(), flush=True)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_the_callers_keys_are_not_visible_inside(machine, mydocker):
    """clone and exec inherit a session keyring: without a filter that forbids keyctl, its keys could be read."""
    words = ("run", "--rm", "--net", "none", "--security-opt", "seccomp=unconfined", "busybox", "cat", "/proc/keys")
    result = machine.python(KEY, machine.program, *words)
    assert result.stdout.startswith("True\n"), result
    assert "mydocker-secret" not in result.stdout


def test_an_anonymous_volume_that_another_container_has_is_kept(mydocker, name):
    mydocker.ok("create", "--name", name, "-v", "/data", "busybox")
    volume = mydocker.ok("inspect", "-f", "{{range .Mounts}}{{.Name}}{{end}}", name).strip()
    try:
        mydocker.ok("create", "--name", f"{name}b", "-v", f"{volume}:/data", "busybox")
        mydocker.ok("rm", "-v", name)
        assert volume in mydocker.ok("volume", "ls", "-q").split()
    finally:
        mydocker("rm", "-v", f"{name}b")
        mydocker("volume", "rm", volume)
