"""Volumes and links of a hostile image, together: found by attacking, each kept from coming back."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("target", ["/sys/kernel", "/proc", "/proc/self/fd"])
def test_a_volume_is_filled_from_the_image_alone(mydocker, make, target):
    """A VOLUME on a link into /sys made the start copy kernel files as root, for ever."""
    image = make([("data", "link", target)], ["VOLUME /data"])
    assert mydocker("run", "--rm", "--net", "none", image, "true", timeout=20).rc in (0, 125)


@pytest.mark.parametrize("target", ["/proc", "/proc/self", "/sys", "/dev", "/"])
def test_a_link_brings_no_volume_to_what_the_kernel_fills(mydocker, make, directory, target):
    """A forged /proc/self/stat was read by the next exec, as root."""
    image = make([("data", "link", target)])
    line = mydocker.fails("run", "--rm", "--net", "none", "-v", f"{directory}:/data", image, "true")
    assert "/data" in line
    assert f"redirects it to /{target.split('/')[1]}" in line


def test_an_ordinary_link_may_carry_a_volume(mydocker, make, directory):
    image = make([("data", "link", "/srv/data")])
    mydocker.ok("run", "--rm", "--net", "none", "-v", f"{directory}:/data", image, "touch", "/srv/data/x")


def test_a_volume_is_filled_out_of_reach(mydocker, make, machine, name):
    """What a fill has made could be replaced by a link, and the host's file behind it got the image's mode."""
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


def test_the_callers_keys_stay_outside(machine, mydocker):
    """The session keyring goes through clone and exec; where no filter forbids keyctl, its keys could be read."""
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
