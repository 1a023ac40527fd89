"""engine/network/endpoints.py and etc.py where they are pure: files of /etc, what is known before a start,
--dry-run."""

from __future__ import annotations

import pytest

from mydocker.engine.network import binding, endpoints, etc, networks
from mydocker.errors import Conflict, InvalidArgument
from mydocker.model.attachments import Attachments
from mydocker.model.network import Endpoint, Network
from mydocker.model.options.request import CreateRequest
from mydocker.network import ipam, leases, resolvconf

ID = "0123456789ab" + "c" * 52
BRIDGE = Network("bridge", "1" * 64, "", "mydocker0", "10.7.0.0/20", "10.7.0.1")
LAB = Network("lab", "2" * 64, "", "lab", "10.8.0.0/20", "10.8.0.1", subnet6="fd08::/64", gateway6="fd08::1")
INNER = Network("inner", "3" * 64, "", "inner", "10.9.0.0/29", "10.9.0.1", internal=True)
NETWORKS = {network.name: network for network in (BRIDGE, LAB, INNER)}
HOST = {
    "/etc/hosts": "127.0.0.1\tlocalhost\n192.0.2.9\tprinter\n",
    "/etc/resolv.conf": "nameserver 127.0.0.53\nsearch office\n",
    resolvconf.UPSTREAM: "nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch office\n",
}


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A host with these files, networks and leases."""
    taken = {"bridge": ["10.7.0.2"], "lab": [], "inner": []}
    monkeypatch.setattr(etc, "text_of", lambda path: HOST.get(path, ""))
    monkeypatch.setattr(endpoints, "network_of", lambda name, make=True: NETWORKS[name])
    monkeypatch.setattr(networks, "find", lambda name: NETWORKS[name])
    monkeypatch.setattr(leases, "read", lambda name: [leases.Lease(each, "f" * 64, ["x"]) for each in taken[name]])
    return taken


def request(*networks, mode="", **more):
    ends = [Endpoint(name).to_json() for name in networks]
    return CreateRequest([], network=mode or networks[0], networks=ends, **more)


def attached(*networks):
    made = Attachments(ID, "web")
    for index, name in enumerate(networks):
        network = NETWORKS[name]
        address = ipam.lowest_free(network, set())
        made = made.with_endpoint(network, endpoints._addressed(Endpoint(name), network, address, ID, index))
    return made


class TestEtc:
    def files(self, wanted, *networks, hostname="web"):
        found = etc.files(wanted, hostname, attached(*networks))
        assert [name for name, _ in found] == ["hostname", "hosts", "resolv.conf"]
        return dict(found)

    def hosts(self, wanted, *networks, hostname="web"):
        return [row.split("\t") for row in self.files(wanted, *networks, hostname=hostname)["hosts"].splitlines()]

    def test_on_the_default_network(self):
        found = self.files(request("bridge"), "bridge")
        assert found["hostname"] == "web\n"
        assert found["hosts"] == "127.0.0.1\tlocalhost\n10.7.0.2\tweb\n"
        assert found["resolv.conf"] == "nameserver 192.0.2.1\nsearch office\n"

    def test_on_one_of_the_users_we_are_asked(self):
        found = self.files(request("lab"), "lab")["resolv.conf"].splitlines()
        assert found == ["nameserver 127.0.0.11", "search office", "options ndots:0"]

    def test_with_ipv6_there_are_addresses_of_both_kinds(self):
        rows = self.hosts(request("lab"), "lab")
        assert ["::1", "localhost ip6-localhost ip6-loopback"] in rows
        assert rows[-2:] == [["10.8.0.2", "web"], ["fd08::2", "web"]]

    def test_on_several_there_is_an_address_of_each(self):
        rows = self.hosts(request("bridge", "lab"), "bridge", "lab", hostname="web.example.com")
        assert rows[-3:] == [[ip, "web.example.com web"] for ip in ("10.7.0.2", "10.8.0.2", "fd08::2")]

    def test_servers_of_the_users_own(self):
        wanted = request("bridge", dns=["10.0.0.53"], dns_search=["lab"], dns_options=["ndots:2"])
        found = self.files(wanted, "bridge")["resolv.conf"]
        assert found == "nameserver 10.0.0.53\nsearch lab\noptions ndots:2\n"

    def test_names_that_were_added(self):
        wanted = request("bridge", extra_hosts=["db:10.0.0.5", "six:fd00::5", "me:host-gateway"])
        assert self.hosts(wanted, "bridge")[1:4] == [["10.0.0.5", "db"], ["fd00::5", "six"], ["10.7.0.1", "me"]]

    def test_the_host_is_behind_the_first_network_that_leads_out(self):
        wanted = request("inner", "bridge", extra_hosts=["me:host-gateway"])
        assert ["10.7.0.1", "me"] in self.hosts(wanted, "inner", "bridge")
        with pytest.raises(InvalidArgument, match="no address for 'me:host-gateway'"):
            self.files(request("inner", extra_hosts=["me:host-gateway"]), "inner")

    def test_without_a_network(self):
        found = self.files(request(mode="none"))
        assert found["resolv.conf"] == "# this container has no network\n"
        assert "127.0.0.1\tlocalhost\n::1\tlocalhost" in found["hosts"]
        assert found["hosts"].endswith("127.0.1.1\tweb\n")
        with_server = self.files(request(mode="none", dns=["10.0.0.53"]))
        assert with_server["resolv.conf"] == "nameserver 10.0.0.53\n"

    def test_with_the_hosts_network_they_are_the_hosts(self):
        found = self.files(request(mode="host", extra_hosts=["db:10.0.0.5", "me:host-gateway"]))
        assert found["hosts"] == HOST["/etc/hosts"] + "10.0.0.5\tdb\n127.0.0.1\tme\n"
        assert found["resolv.conf"] == HOST["/etc/resolv.conf"]

    def test_with_the_hosts_network_loopback_servers_are_in_reach(self):
        found = self.files(request(mode="host", dns_search=["lab"]))
        assert found["resolv.conf"] == "nameserver 127.0.0.53\nsearch lab\n"

    def test_with_the_hosts_name(self, monkeypatch):
        monkeypatch.setattr(etc.os, "uname", lambda: type("Uname", (), {"nodename": "vm"}))
        assert self.files(request(mode="host"), hostname="")["hostname"] == "vm\n"


class TestCheck:
    @pytest.mark.parametrize(
        ("networks", "text"),
        [
            (["bridge"], "8080:80/tcp"),
            (["inner", "bridge"], "80/tcp"),
            (["lab"], "[::1]:8080:80/tcp"),
            (["lab", "bridge"], "[::]:80:80/udp"),
        ],
    )
    def test_ports_that_can_be_published(self, networks, text):
        endpoints.check_ports([text], [NETWORKS[name] for name in networks])

    @pytest.mark.parametrize(
        ("networks", "text", "says"),
        [
            (["inner"], "8080:80/tcp", "no port can be published on an internal network"),
            (["bridge"], "[::1]:8080:80/tcp", "port [::1]:8080 can't be published: network bridge has no IPv6"),
            (["bridge", "lab"], "[::]:80:80/tcp", "network bridge has no IPv6"),
        ],
    )
    def test_ports_that_cannot(self, networks, text, says):
        with pytest.raises(Conflict) as caught:
            endpoints.check_ports([text], [NETWORKS[name] for name in networks])
        assert says in caught.value.message
        assert caught.value.hint

    def test_ports_that_cannot_are_known_before_the_start(self):
        with pytest.raises(Conflict, match="network bridge has no IPv6"):
            endpoints.check(request("bridge", published=["[::1]:8080:80/tcp"]))

    @pytest.mark.parametrize(
        ("networks", "mode", "note"),
        [
            ([], "host", "WARNING: Published ports are discarded when using host network mode"),
            ([], "none", "WARNING: Published ports are discarded when using none network mode"),
            (["inner"], "", "WARNING: Published ports are discarded while the container is on internal networks only"),
        ],
    )
    def test_ports_that_no_network_publishes_are_discarded_with_a_warning(self, networks, mode, note):
        assert endpoints.check(request(*networks, mode=mode or networks[0], published=["8080:80/tcp"])) == [note]
        assert endpoints.check(request(*networks, mode=mode or networks[0])) == []

    def test_a_port_that_is_published_needs_no_word(self):
        assert endpoints.check(request("inner", "bridge", published=["8080:80/tcp"])) == []

    def test_an_address_of_another_network(self):
        wanted = request("bridge")
        wanted.networks[0]["requested_ip"] = "10.8.0.9"
        with pytest.raises(InvalidArgument, match="is not in network bridge"):
            endpoints.check(wanted)

    def test_nothing_is_asked_of_what_has_no_network(self, monkeypatch):
        monkeypatch.delattr(endpoints, "network_of")
        endpoints.check(request(mode="none"))
        assert endpoints.planned(ID, request(mode="host")) is None


class TestImagined:
    def test_the_addresses_and_ports_that_it_would_get_now(self, monkeypatch):
        monkeypatch.setattr(binding, "bind", lambda _, made: (made.with_ports([made.bindings[0].at(32768)]), {}))
        made = endpoints.planned(ID, request("bridge", "lab", published=["80/tcp"]))
        assert (made.id, made.name, made.ports) == (ID, ID[:12], ["32768:80/tcp"])
        first, second = made.endpoints
        assert list(made.networks.values()) == [BRIDGE, LAB]
        assert (first.device, first.veth, first.address) == ("eth0", "veth012345670", "10.7.0.3/20")
        assert (first.gateway, first.mac, first.address6) == ("10.7.0.1", "02:42:0a:07:00:03", "")
        assert (second.device, second.veth, second.address) == ("eth1", "veth012345671", "10.8.0.2/20")
        assert (second.address6, second.gateway6) == ("fd08::2/64", "fd08::1")

    def test_what_was_asked_for_goes_before(self):
        wanted = request("lab", name="web")
        wanted.networks[0].update(requested_ip="10.8.1.9", requested_mac="02:00:00:00:00:09", aliases=["db"])
        made = endpoints.planned(ID, wanted)
        (end,) = made.endpoints
        assert (made.name, end.aliases) == ("web", ["db"])
        assert (end.address, end.mac, end.address6) == ("10.8.1.9/20", "02:00:00:00:00:09", "fd08::109/64")

    def test_the_request_stays_as_it_is(self):
        wanted = request("lab")
        endpoints.planned(ID, wanted)
        assert wanted.networks == [Endpoint("lab").to_json()]

    def test_of_a_full_network(self, machine):
        machine["inner"] = [f"10.9.0.{number}" for number in range(2, 7)]
        with pytest.raises(Conflict, match="inner has no free address"):
            endpoints.planned(ID, request("inner"))


class TestText:
    def test_a_file_that_is_not_there_says_nothing(self, tmp_path, monkeypatch):
        monkeypatch.undo()
        (tmp_path / "hosts").write_bytes(b"10.0.0.1 caf\xe9\n")
        assert etc.text_of(f"{tmp_path}/none") == etc.text_of(str(tmp_path)) == ""
        assert etc.text_of(f"{tmp_path}/hosts") == "10.0.0.1 caf\udce9\n"
