"""network/ops/, veths and bridges: data that a record gives back, told in words and in shell."""

from __future__ import annotations

import errno
import os
import shlex

import pytest

from mydocker import jsontext
from mydocker.network.ops import bridges, veths
from mydocker.network.ops.bridges import JoinZone, LeaveZone, MakeBridge, RemoveBridge
from mydocker.network.ops.veths import ConfigureLink, DetachVeth, DisableIPv6, MakeVeth, RemoveVeth
from mydocker.ops import namespaces
from mydocker.ops.base import Context
from mydocker.ops.namespaces import ShowNamespace

MAC = "02:42:0a:09:01:02"
TAG = "mydocker: network web 0123456789ab"
VETH = MakeVeth("veth0123abcd0", "web", 1400, "eth0", MAC)

SAMPLES = [
    (
        VETH,
        "attach its eth0 to web",
        "ip link add veth0123abcd0 mtu 1400 master web up type veth"
        f' peer name eth0 mtu 1400 address {MAC} netns "$PID"',
    ),
    (RemoveVeth("veth0123abcd0"), "remove veth0123abcd0", "ip link delete veth0123abcd0"),
    (DetachVeth("veth0123abcd0"), "detach veth0123abcd0 from its bridge", "ip link set veth0123abcd0 nomaster down"),
    (
        ConfigureLink("eth0", "10.9.1.2/24", "10.9.1.1"),
        "eth0 is 10.9.1.2/24",
        "ip link set lo up && ip link set eth0 up && ip address add 10.9.1.2/24 broadcast + dev eth0"
        " && ip route add default via 10.9.1.1 dev eth0",
    ),
    (
        ConfigureLink("eth1", "10.9.1.2/24", "10.9.1.1", "fd00:9::2/64", "fd00:9::1", 1),
        "eth1 is 10.9.1.2/24 and fd00:9::2/64",
        "echo 0 > /proc/sys/net/ipv6/conf/eth1/accept_ra"
        " && ip link set lo up && ip link set eth1 up && ip address add 10.9.1.2/24 broadcast + dev eth1"
        " && ip address add fd00:9::2/64 dev eth1 nodad"
        " && ip route add default via 10.9.1.1 dev eth1 metric 1"
        " && ip route add default via fd00:9::1 dev eth1 metric 1025",
    ),
    (
        ShowNamespace("web", 42),
        "show its network to ip netns as web",
        "ip netns attach web 42",
    ),
    (
        MakeBridge("web", ["10.9.1.1/24"], 1500, MAC, TAG),
        "make the bridge web, 10.9.1.1/24",
        f"ip link add web address {MAC} type bridge && ip link set web mtu 1500"
        " && echo 1 > /proc/sys/net/ipv4/conf/web/route_localnet"
        " && echo 0 > /proc/sys/net/ipv6/conf/web/accept_ra"
        " && echo 1 > /proc/sys/net/ipv6/conf/web/disable_ipv6"
        " && ip address add 10.9.1.1/24 dev web broadcast +"
        f" && ip link set web up alias '{TAG}'",
    ),
    (
        MakeBridge("web.6", ["10.9.1.1/24", "fd00:9::1/64"], 1500, MAC, TAG),
        "make the bridge web.6, 10.9.1.1/24 and fd00:9::1/64",
        f"ip link add web.6 address {MAC} type bridge && ip link set web.6 mtu 1500"
        " && echo 1 > /proc/sys/net/ipv4/conf/web.6/route_localnet"
        " && echo 0 > /proc/sys/net/ipv6/conf/web.6/accept_ra"
        " && echo 0 > /proc/sys/net/ipv6/conf/web.6/disable_ipv6"
        " && ip address add 10.9.1.1/24 dev web.6 broadcast +"
        " && ip address add fd00:9::1/64 dev web.6 nodad"
        f" && ip link set web.6 up alias '{TAG}'",
    ),
    (DisableIPv6(), "turn IPv6 off", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"),
    (RemoveBridge("web", TAG), "remove the bridge web", "ip link delete web"),
    (
        JoinZone("web"),
        "put web into firewalld's zone mydocker",
        "firewall-cmd --permanent --new-zone=mydocker\n"
        "firewall-cmd --permanent --zone=mydocker --set-target=ACCEPT\n"
        "firewall-cmd --permanent --zone=mydocker --add-forward\n"
        "firewall-cmd --permanent --zone=mydocker --add-interface=web\n"
        "firewall-cmd --zone=trusted --add-interface=web  # until firewalld is reloaded",
    ),
    (
        LeaveZone("web"),
        "take web out of firewalld's zone mydocker",
        "firewall-cmd --permanent --zone=mydocker --remove-interface=web"
        " && firewall-cmd --zone=mydocker --remove-interface=web",
    ),
]
EACH = pytest.mark.parametrize(("op", "description", "shell"), SAMPLES, ids=lambda op: type(op).__name__)


@EACH
def test_in_words_and_in_shell(op, description, shell):
    assert (op.describe(), op.shell(), op.section) == (description, shell, "network")


@EACH
def test_a_record_gives_it_back(op, description, shell):
    fields = jsontext.loads(jsontext.dumps(op.arguments()))
    assert type(op)(**fields) == op


def test_a_device_s_odd_name_is_quoted():
    assert shlex.split(RemoveVeth("a b;c").shell()) == ["ip", "link", "delete", "a b;c"]


class FakeKernel:
    """Stands in for Netlink: fails as it is told, keeps what it was asked for."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def __call__(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def request(self, *messages):
        self.asked.append(messages)
        number = self.answers.pop(0)
        if number:
            raise OSError(number, os.strerror(number), messages[0].about)


@pytest.fixture
def kernel(monkeypatch):
    made = FakeKernel()
    monkeypatch.setattr(veths, "Netlink", made)
    monkeypatch.setattr(veths.rtnetlink, "index", {"web": 5, "eth0": 2}.__getitem__)
    return made


rtnetlink = veths.rtnetlink
PAIR = rtnetlink.new_veth("veth0123abcd0", 5, 1400, "eth0", MAC, 0)
DELETION = rtnetlink.delete_link("veth0123abcd0")


class TestMakeVeth:
    def test_one_message(self, kernel):
        kernel.answers = [0]
        VETH.do(Context())
        assert kernel.asked == [(PAIR,)]

    def test_a_pair_of_the_last_run_is_replaced(self, kernel):
        kernel.answers = [errno.EEXIST, 0, 0]
        VETH.do(Context())
        assert kernel.asked == [(PAIR,), (DELETION,), (PAIR,)]

    def test_a_name_that_is_taken_in_the_container_is_told(self, kernel):
        kernel.answers = [errno.EEXIST, errno.ENODEV]
        with pytest.raises(FileExistsError):
            VETH.do(Context())
        assert kernel.asked == [(PAIR,), (DELETION,)]

    @pytest.mark.parametrize("answer", [0, errno.ENODEV])
    def test_its_end_detaches_what_is_there(self, kernel, answer):
        kernel.answers = [answer]
        DetachVeth("veth0123abcd0").do(Context())
        assert kernel.asked == [(rtnetlink.detach_port("veth0123abcd0"),)]

    def test_detaching_reports_other_errors(self, kernel):
        kernel.answers = [errno.EPERM]
        with pytest.raises(PermissionError):
            DetachVeth("veth0123abcd0").do(Context())


class TestConfigureLink:
    def test_all_in_one_request(self, kernel, monkeypatch):
        written = []
        monkeypatch.setattr(veths.cgroups, "write", lambda *file: written.append(file))
        kernel.answers = [0]
        ConfigureLink("eth0", "10.9.1.2/24", "10.9.1.1", "fd00:9::2/64", "fd00:9::1").do(Context())
        assert written == [("/proc/sys/net/ipv6/conf/eth0/accept_ra", "0")]
        assert kernel.asked == [
            (
                rtnetlink.link_up("lo"),
                rtnetlink.link_up("eth0"),
                rtnetlink.new_address(2, "10.9.1.2/24"),
                rtnetlink.new_address(2, "fd00:9::2/64"),
                rtnetlink.new_default_route("10.9.1.1", 2),
                rtnetlink.new_default_route("fd00:9::1", 2, 1024),
            )
        ]

    def test_a_network_that_leads_nowhere(self, kernel):
        kernel.answers = [0]
        ConfigureLink("eth0", "10.9.1.2/24", "").do(Context())
        assert kernel.asked[0][2:] == (rtnetlink.new_address(2, "10.9.1.2/24"),)


class TestShowNamespace:
    @pytest.fixture(autouse=True)
    def directory(self, tmp_path, monkeypatch):
        monkeypatch.setattr(namespaces, "NETNS", str(tmp_path / "netns"))
        return tmp_path / "netns"

    def test_there_and_back(self, directory):
        op = ShowNamespace("web", os.getpid())
        op.do(Context())
        assert os.readlink(directory / "web") == f"/proc/{os.getpid()}/ns/net"
        op.undo()
        op.undo()
        assert os.listdir(directory) == []

    def test_a_foreign_one_stays(self, directory):
        directory.mkdir()
        (directory / "file").touch()
        (directory / "link").symlink_to("/proc/1/ns")
        for name in ("file", "link"):
            op = ShowNamespace(name, os.getpid())
            op.do(Context())
            op.undo()
        assert sorted(os.listdir(directory)) == ["file", "link"]
        assert os.readlink(directory / "link") == "/proc/1/ns"

    def test_one_that_leads_nowhere_is_replaced(self, directory):
        directory.mkdir()
        (directory / "web").symlink_to("/proc/0/ns/net")
        ShowNamespace("web", os.getpid()).do(Context())
        assert os.readlink(directory / "web") == f"/proc/{os.getpid()}/ns/net"


class TestMakeBridge:
    @pytest.fixture
    def calls(self, monkeypatch):
        from mydocker.kernel import bridge

        calls = []
        monkeypatch.setattr(bridge, "make", lambda *given: calls.append(("make", *given)))
        monkeypatch.setattr(bridge, "delete", lambda *given: calls.append(("delete", *given)))
        return calls

    def test_what_it_made_goes_again(self, calls, monkeypatch):
        monkeypatch.setattr(bridges.rtnetlink, "index", _no_link)
        op = MakeBridge("web", ["10.9.1.1/24"], 1500, MAC, TAG)
        op.do(Context())
        op.undo()
        assert calls == [("make", "web", ["10.9.1.1/24"], 1500, MAC, TAG), ("delete", "web", TAG, MAC)]

    def test_what_was_there_before_stays(self, calls, monkeypatch):
        monkeypatch.setattr(bridges.rtnetlink, "index", lambda _: 5)
        op = MakeBridge("web", ["10.9.1.1/24"], 1500, MAC, TAG)
        op.do(Context())
        op.undo()
        assert [name for name, *_ in calls] == ["make"]


def _no_link(name):
    raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), name)
