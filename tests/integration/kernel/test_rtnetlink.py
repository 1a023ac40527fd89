"""kernel/rtnetlink.py against the kernel: real links between two network namespaces, which the tests make."""

from __future__ import annotations

import errno
import os
import time

import pytest
from netspace import NETWORK, ip, own_namespace, run, sleeper

from mydocker.kernel import process
from mydocker.kernel.rtnetlink import (
    Netlink,
    delete_link,
    index,
    link_up,
    new_address,
    new_default_route,
    new_veth,
)

pytestmark = [pytest.mark.local, pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to make network namespaces")]

MAC = "02:42:0a:09:01:02"


@pytest.fixture(autouse=True)
def nothing_left():
    """In place of the fixture of that name, which is about containers: these tests start none."""


@pytest.fixture
def bridge():
    """The index of a bridge in this process's own network namespace."""
    with own_namespace():
        run("ip link add br7 type bridge; ip link set br7 up; ip addr add 10.9.1.1/24 dev br7")
        yield index("br7")


@pytest.fixture
def pid():
    with sleeper() as started:
        yield started


def request(*messages, pid: int = 0):
    """Here, or in the namespace of a process."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        if pid:
            there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
            process.setns(there, NETWORK)
            os.close(there)
        with Netlink() as kernel:
            kernel.request(*[message() if callable(message) else message for message in messages])
    finally:
        process.setns(here, NETWORK)
        os.close(here)


def fails(number: int, about: str, *messages) -> OSError:
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        request(*messages)
    assert (caught.value.errno, caught.value.filename) == (number, about)
    return caught.value


@pytest.mark.parametrize("by_descriptor", [False, True])
def test_a_container_s_network(bridge, pid, by_descriptor):
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    place = {"descriptor": namespace} if by_descriptor else {"pid": pid}
    request(new_veth("veth7", bridge, 1400, "eth0", MAC, **place))
    os.close(namespace)
    (host,) = ip("link", "show", "veth7")
    assert (host["master"], host["mtu"]) == ("br7", 1400)
    assert "UP" in host["flags"]

    request(
        link_up("lo"),
        link_up("eth0"),
        lambda: new_address(index("eth0"), "10.9.1.2/24"),
        lambda: new_address(index("eth0"), "fd00:9::2/64"),
        lambda: new_default_route("10.9.1.1", index("eth0")),
        lambda: new_default_route("fd00:9::1", index("eth0"), 1030),
        pid=pid,
    )
    (lo,) = ip("link", "show", "lo", pid=pid)
    assert "UP" in lo["flags"]
    (eth0,) = ip("addr", "show", "eth0", pid=pid)
    assert (eth0["address"], eth0["mtu"], eth0["operstate"]) == (MAC, 1400, "UP")
    addresses = {each["local"]: each for each in eth0["addr_info"] if each["scope"] == "global"}
    assert addresses.keys() == {"10.9.1.2", "fd00:9::2"}
    assert (addresses["10.9.1.2"]["prefixlen"], addresses["10.9.1.2"]["broadcast"]) == (24, "10.9.1.255")
    assert addresses["fd00:9::2"]["nodad"]
    assert not addresses["fd00:9::2"].get("tentative")
    (route,) = ip("route", "show", "default", pid=pid)
    assert (route["gateway"], route["dev"]) == ("10.9.1.1", "eth0")
    (route6,) = ip("-6", "route", "show", "default", pid=pid)
    assert (route6["gateway"], route6["metric"]) == ("fd00:9::1", 1030)
    run(f"nsenter --net --target {pid} busybox ping -c 1 -W 2 10.9.1.1 > /dev/null")


def test_a_second_default_route_takes_over_when_the_first_is_gone(bridge, pid):
    for number in (0, 1):
        request(new_veth(f"veth{number}", bridge, 1500, f"eth{number}", MAC, pid=pid))
        request(
            link_up(f"eth{number}"),
            lambda number=number: new_address(index(f"eth{number}"), f"10.9.{number}.2/24"),
            lambda number=number: new_default_route(f"10.9.{number}.1", index(f"eth{number}"), number),
            pid=pid,
        )
    assert [each["dev"] for each in ip("route", "show", "default", pid=pid)] == ["eth0", "eth1"]
    request(delete_link("veth0"))
    assert [each["dev"] for each in ip("route", "show", "default", pid=pid)] == ["eth1"]


def test_a_pair_goes_with_the_namespace(bridge):
    with sleeper() as pid:
        request(new_veth("veth7", bridge, 1500, "eth0", MAC, pid=pid))
    end = time.monotonic() + 10
    while any(each["ifname"] == "veth7" for each in ip("link")):
        assert time.monotonic() < end, "veth7 is there after ten seconds"
        time.sleep(0.01)


class TestErrors:
    """Each with its errno and the name of what could not be made; nothing of it stays."""

    @pytest.fixture(autouse=True)
    def _nothing_of_it_stays(self, bridge, pid):
        yield
        assert {each["ifname"] for each in ip("link")} <= {"lo", "br7", "veth7"}
        assert {each["ifname"] for each in ip("link", pid=pid)} <= {"lo", "eth0"}

    def test_a_name_that_is_taken_on_either_side(self, bridge, pid):
        request(new_veth("veth7", bridge, 1500, "eth0", MAC, pid=pid))
        fails(errno.EEXIST, "link veth7", new_veth("veth7", bridge, 1500, "eth1", MAC, pid=pid))
        fails(errno.EEXIST, "link veth8", new_veth("veth8", bridge, 1500, "eth0", MAC, pid=pid))

    def test_no_such_bridge(self, pid):
        with pytest.raises(OSError, match="br8") as caught:
            index("br8")
        assert caught.value.errno == errno.ENODEV
        fails(errno.EINVAL, "link veth7", new_veth("veth7", 4242, 1500, "eth0", MAC, pid=pid))

    def test_the_namespace_is_gone(self, bridge):
        with sleeper() as gone:
            pass
        fails(errno.ESRCH, "link veth7", new_veth("veth7", bridge, 1500, "eth0", MAC, pid=gone))

    def test_in_the_kernel_s_words(self, bridge, pid):
        error = fails(errno.ERANGE, "link " + 16 * "v", new_veth(16 * "v", bridge, 1500, "eth0", MAC, pid=pid))
        assert error.strerror.startswith(os.strerror(errno.ERANGE) + " (")

    def test_the_others_of_a_request_are_done(self, bridge):
        fails(errno.ENODEV, "link veth8", link_up("veth8"), link_up("lo"))
        (lo,) = ip("link", "show", "lo")
        assert "UP" in lo["flags"]

    def test_an_address_twice(self, bridge):
        fails(errno.EEXIST, "address 10.9.1.1/24", new_address(bridge, "10.9.1.1/24"))

    def test_a_gateway_that_nobody_reaches(self, bridge):
        fails(errno.ENETUNREACH, "route by 10.7.7.7", new_default_route("10.7.7.7", bridge))

    def test_a_link_that_is_gone(self, bridge):
        fails(errno.ENODEV, "link veth9", delete_link("veth9"))
