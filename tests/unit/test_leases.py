"""leases.py, on directories of the test's own: digit has an address, digit loses it, and digit never does."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker import jsontext, paths, state
from mydocker.errors import Conflict, InvalidArgument, NotFound
from mydocker.kernel.locks import Lock
from mydocker.model.container import Container
from mydocker.model.network import Endpoint, Network
from mydocker.network import leases

ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)
WEB = Network("web", "f" * 64, "", "web", "10.9.8.0/29", "10.9.8.1")  # .2 to .6


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store with a network."""
    monkeypatch.setattr(paths, "RUN", f"{tmp_path}/run")
    monkeypatch.setattr(paths, "CONTAINERS", f"{tmp_path}/containers")
    monkeypatch.setattr(paths, "NETWORKS", f"{tmp_path}/networks")
    os.makedirs(paths.network("web"))
    os.makedirs(paths.CONTAINERS)
    (tmp_path / "networks/web/network.json").write_text(jsontext.dumps({"id": WEB.id}))
    return tmp_path


@pytest.fixture
def container(store, monkeypatch):
    """Makes a container that runs, or whose process is gone. The lock of one that is starting is the test's."""
    running = set()
    monkeypatch.setattr(state, "_is_process", lambda pid, start, boot: pid in running)

    def make(container_id, runs=True):
        pid = int(container_id[0])
        (running.add if runs else running.discard)(pid)
        os.makedirs(paths.container(container_id), exist_ok=True)
        record = Container(
            container_id, f"c{pid}", "", "busybox", "", ["sh"], "copy", [], status="running", pid=pid, pid_start=1
        )
        state.save(record)
        return container_id

    return make


def take(container_id, names=("c",), requested=""):
    return leases.take(WEB, container_id, list(names), requested)[0]


class TestTake:
    def test_the_lowest_free(self, container):
        assert [take(container(each)) for each in (ONE, TWO, THREE)] == ["10.9.8.2", "10.9.8.3", "10.9.8.4"]
        leases.release("web", "10.9.8.3", TWO)
        assert take(TWO) == "10.9.8.3"

    def test_the_one_asked_for(self, container):
        assert take(container(ONE), requested="10.9.8.6") == "10.9.8.6"
        with pytest.raises(Conflict, match=r"10\.9\.8\.6 of network web is in use by container c"):
            take(container(TWO), requested="10.9.8.6")
        with pytest.raises(InvalidArgument):
            take(TWO, requested="10.9.8.1")

    def test_is_a_file_that_says_whose(self, container, store):
        take(container(ONE), ["web1", "alias", "other"])
        assert (store / "run/_networks/web/10.9.8.2").read_text() == f"{ONE} web1 alias other\n"
        assert leases.read("web") == [leases.Lease("10.9.8.2", ONE, ["web1", "alias", "other"])]

    def test_its_own_again(self, container):
        take(container(ONE), requested="10.9.8.4")
        assert take(ONE, requested="10.9.8.4") == "10.9.8.4"

    def test_of_a_full_network(self, container):
        for number in range(2, 7):
            take(container(str(number) * 64))
        with pytest.raises(Conflict, match=r"network web has no free address in 10\.9\.8\.0/29"):
            take(container("7" * 64))
        assert len(leases.read("web")) == 5

    def test_of_a_network_that_is_gone_or_another(self, container, store):
        container(ONE)
        (store / "networks/web/network.json").write_text(jsontext.dumps({"id": "other"}))
        with pytest.raises(NotFound, match="no such network: web"):
            take(ONE)
        (store / "networks/web/network.json").unlink()
        with pytest.raises(NotFound, match="no such network: web"):
            take(ONE)
        assert leases.read("web") == []


class TestStale:
    def fill(self, container):
        for number in range(2, 7):
            take(container(str(number) * 64))

    def test_of_a_container_that_is_gone(self, container):
        take("9" * 64, requested="10.9.8.2")
        assert leases.active("web") == []
        assert take(container(ONE), requested="10.9.8.2") == "10.9.8.2"
        assert [lease.container_id for lease in leases.active("web")] == [ONE]

    def test_of_one_whose_monitor_was_killed(self, container):
        take(container(ONE))
        assert [lease.container_id for lease in leases.active("web")] == [ONE]
        container(ONE, runs=False)
        assert leases.active("web") == []
        assert take(container(TWO), requested="10.9.8.2") == "10.9.8.2"

    def test_an_unrecorded_lease_is_released_with_its_container(self, container):
        """Its command line was killed between the two."""
        take(container(ONE, runs=False))
        take(container(TWO))
        leases.release_unrecorded(ONE, [Endpoint("web")])
        assert [lease.container_id for lease in leases.read("web")] == [TWO]

    def test_while_others_are_free_it_stays(self, container):
        take(container(ONE, runs=False))
        assert take(container(TWO)) == "10.9.8.3"

    def test_when_none_is_free_it_is_taken(self, container):
        self.fill(container)
        container("4" * 64, runs=False)
        assert take(container("7" * 64)) == "10.9.8.4"

    def test_never_of_one_that_is_starting(self, container):
        take(container(ONE, runs=False))
        with Lock(f"{paths.container(ONE)}/lock"):
            assert [lease.container_id for lease in leases.active("web")] == [ONE]
            with pytest.raises(Conflict):
                take(container(TWO), requested="10.9.8.2")
        assert take(TWO, requested="10.9.8.2") == "10.9.8.2"

    def test_a_lease_of_a_corrupt_record_is_never_stale(self, container, store):
        take(container(ONE))
        (store / f"containers/{ONE}/record.json").write_text("{")
        assert [lease.container_id for lease in leases.active("web")] == [ONE]

    @pytest.mark.parametrize("text", ["", "\n", "x"])
    def test_a_file_that_says_nothing(self, container, store, text):
        take(container(ONE))
        (store / "run/_networks/web/10.9.8.2").write_text(text)
        assert leases.read("web") == []
        assert take(container(TWO), requested="10.9.8.2") == "10.9.8.2"


class TestRelease:
    def test_only_its_own(self, container):
        take(container(ONE))
        leases.release("web", "10.9.8.2", TWO)
        assert len(leases.read("web")) == 1
        leases.release("web", "10.9.8.2", ONE)
        assert leases.read("web") == []

    def test_nothing(self, store):
        leases.release("web", "10.9.8.2", ONE)
        assert leases.read("web") == []


@given(st.lists(st.tuples(st.sampled_from("123456"), st.booleans()), max_size=40))
def test_no_address_is_two_containers(tmp_path_factory, steps):
    root = tmp_path_factory.mktemp("leases")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "RUN", f"{root}/run")
        patch.setattr(paths, "NETWORKS", f"{root}/networks")
        patch.setattr(leases, "_is_stale", lambda lease: lease is None)
        os.makedirs(paths.network("web"))
        (root / "networks/web/network.json").write_text(jsontext.dumps({"id": WEB.id}))
        has = {}
        for digit, wants in steps:
            if wants and digit not in has and len(has) < 5:
                address = take(digit * 64)
                assert address not in has.values()
                has[digit] = address
            elif not wants and digit in has:
                leases.release("web", has.pop(digit), digit * 64)
        assert {lease.address: lease.container_id[0] for lease in leases.read("web")} == {a: w for w, a in has.items()}
