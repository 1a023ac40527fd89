"""Volumes and links of a hostile image, together: found by attacking, each kept from coming back."""

from __future__ import annotations

import signal

import pytest
from archives import busybox


@pytest.fixture
def make(mydocker, name):
    """make(entries, changes): the name of an image of busybox and these entries. It goes at the test's end."""
    image = f"img{name}"

    def made(entries, changes=()) -> str:
        words = [word for change in changes for word in ("--change", change)]
        mydocker.ok("import", *words, "-", image, input=busybox(*entries))
        return image

    yield made
    mydocker("rmi", image)


@pytest.mark.parametrize("target", ["/sys/kernel", "/proc", "/proc/self/fd"])
def test_a_volume_is_filled_from_the_image_alone(mydocker, make, target):
    """A VOLUME on a link into /sys made the start copy kernel files as root, for ever."""
    image = make([("data", "link", target)], ["VOLUME /data"])
    assert mydocker("run", "--rm", "--net", "none", image, "true", timeout=20).rc in (0, 125)


@pytest.mark.parametrize("target", ["/proc", "/proc/self", "/sys", "/dev", "/"])
def test_a_link_brings_no_volume_to_what_the_kernel_fills(mydocker, make, folder, target):
    """A forged /proc/self/stat was read by the next exec, as root."""
    image = make([("data", "link", target)])
    line = mydocker.fails("run", "--rm", "--net", "none", "-v", f"{folder}:/data", image, "true")
    assert "/data" in line
    assert f"leads it to /{target.split('/')[1]}" in line


def test_an_ordinary_link_may_carry_a_volume(mydocker, make, folder):
    image = make([("data", "link", "/srv/data")])
    mydocker.ok("run", "--rm", "--net", "none", "-v", f"{folder}:/data", image, "touch", "/srv/data/x")


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


def test_an_exec_that_is_stopped_on_its_way_in_can_be_given_up(mydocker, name):
    """Root in the container may stop every process that comes in; the command line listens all the same."""
    stopper = (
        "while :; do for p in /proc/[0-9]*; do p=${p#/proc/}; [ $p -gt 1 ] && kill -STOP $p; done 2>/dev/null; done"
    )
    mydocker.detached("--name", name, "busybox", "sh", "-c", stopper)
    for _ in range(5):
        process = mydocker.start("exec", name, "true")
        try:
            process.wait(1)
        except Exception:
            process.send_signal(signal.SIGINT)
            assert process.wait(10) in (130, 137)
        finally:
            process.kill()
            process.communicate()
    mydocker.ok("rm", "-f", name)
