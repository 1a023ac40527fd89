"""engine/listing.py: docker's --filter on records."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mydocker import state
from mydocker.engine import bundle, listing
from mydocker.errors import CorruptRecord, InvalidArgument, NotFound
from mydocker.model.container import Container


def one(name, letter, **fields):
    values = {
        "id": letter * 64,
        "name": name,
        "image": "busybox:latest",
        "image_id": "sha256:beef" + "0" * 60,
        "command": ["top"],
        "driver": "overlay",
        "layers": [],
    }
    return Container(**{**values, **fields})


OLD = one("web-1", "a", created="2024-01-01T00:00:00Z", status="running", labels={"app": "web", "tier": ""})
OLD.networks = [{"network": "bridge"}]
OLD.bound_ports, OLD.exposed = ["8080:80/tcp"], ["53/udp"]
MIDDLE = one("web-2", "b", created="2024-01-02T00:00:00Z", status="exited", exit_code=3, labels={"app": "db"})
NEW = one("job", "c", created="2024-01-03T00:00:00Z", mounts=["/srv", "data"], network="host", image="own:1")
DONE = one("done", "d", created="2024-01-04T00:00:00Z", status="exited", image_id="sha256:cafe" + "0" * 60)
ALL = [DONE, NEW, MIDDLE, OLD]


@pytest.fixture(autouse=True)
def _store(monkeypatch):
    known = {record.id: record for record in (MIDDLE, NEW, OLD, DONE)}
    monkeypatch.setattr(state, "ids", lambda: list(known))
    monkeypatch.setattr(state, "load", lambda container_id: known[container_id])
    monkeypatch.setattr(bundle, "load_request", lambda record: SimpleNamespace(mounts=[]))
    monkeypatch.setattr(state, "find", lambda name: {record.name: record for record in ALL}[name])


def found(*filters, everything=True, last=-1):
    records, broken = listing.containers(everything, list(filters), last)
    assert broken == []
    return [record.name for record in records]


class TestWhich:
    def test_the_newest_first(self):
        assert found() == ["done", "job", "web-2", "web-1"]

    def test_without_all_only_those_that_run(self):
        assert found(everything=False) == ["web-1"]

    @pytest.mark.parametrize(("last", "names"), [(0, []), (2, ["done", "job"]), (9, ["done", "job", "web-2", "web-1"])])
    def test_the_last_so_many_run_or_not(self, last, names):
        assert found(everything=False, last=last) == names

    @pytest.mark.parametrize("text", ["status=exited", "exited=3"])
    def test_a_filter_for_exited_containers_needs_no_all(self, text):
        assert "web-2" in found(text, everything=False)

    def test_others_filters_do_not_show_what_does_not_run(self):
        assert found("label=app", everything=False) == ["web-1"]

    def test_the_last_are_counted_after_the_filter(self):
        assert found("name=web", last=1) == ["web-2"]

    def test_a_corrupt_record_is_told_apart_and_one_that_vanished_is_not(self, monkeypatch):
        def load(container_id):
            if container_id == OLD.id:
                raise CorruptRecord("corrupt record: x")
            if container_id == NEW.id:
                raise NotFound("no such container")
            return MIDDLE

        monkeypatch.setattr(state, "ids", lambda: [OLD.id, NEW.id, MIDDLE.id])
        monkeypatch.setattr(state, "load", load)
        records, broken = listing.containers(True, [])
        assert (records, [str(error) for error in broken]) == ([MIDDLE], ["corrupt record: x"])


class TestFilter:
    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("id=aaa", ["web-1"]),
            ("id=x", []),
            ("name=web", ["web-2", "web-1"]),
            ("name=b-2", ["web-2"]),
            ("label=app", ["web-2", "web-1"]),
            ("label=app=web", ["web-1"]),
            ("label=tier=", ["web-1"]),
            ("label=tier", ["web-1"]),
            ("label=ap", []),
            ("status=created", ["job"]),
            ("status=running", ["web-1"]),
            ("exited=3", ["web-2"]),
            ("exited=0", ["done"]),
            ("volume=/srv", ["job"]),
            ("volume=data", ["job"]),
            ("volume=dat", []),
            ("network=host", ["job"]),
            ("before=job", ["web-2", "web-1"]),
            ("since=job", ["done"]),
            (" NAME = job ", ["job"]),
            ("exited=256", []),
            ("exited=-1", []),
            ("status=dead", []),
            ("status=paused", []),
            ("status=removing", []),
            ("health=none", ["done", "job", "web-2", "web-1"]),
            ("health=healthy", []),
            ("is-task=false", ["done", "job", "web-2", "web-1"]),
            ("is-task=true", []),
            ("publish=8080", ["web-1"]),
            ("publish=8080/udp", []),
            ("publish=8000-9000/tcp", ["web-1"]),
            ("publish=80", []),
            ("expose=80", ["web-1"]),
            ("expose=53/udp", ["web-1"]),
            ("expose=53", []),
            ("expose=50-60/udp", ["web-1"]),
            ("network=", ["done", "job", "web-2", "web-1"]),
        ],
    )
    def test_each(self, text, names):
        assert found(text) == names

    def test_values_of_one_key_are_alternatives_and_keys_add_up(self):
        assert found("name=job", "name=web-2") == ["job", "web-2"]
        assert found("name=web", "status=exited") == ["web-2"]

    def test_published_or_exposed(self):
        assert found("publish=1", "expose=80") == ["web-1"]

    def test_labels_add_up(self):
        assert found("label=app", "label=tier") == ["web-1"]

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("name=^web", ["web-2", "web-1"]),
            ("name=^/job$", ["job"]),
            ("name=^/?job$", ["job"]),
            ("name=/job", ["job"]),
            ("name=^eb", []),
            ("name=w.b-[12]$", ["web-2", "web-1"]),
            ("name=job|done", ["done", "job"]),
            ("id=^b+$", ["web-2"]),
        ],
    )
    def test_names_and_ids_are_regular_expressions(self, text, names):
        assert found(text) == names

    @pytest.mark.parametrize("text", ["name=(", "id=[", "name=*"])
    def test_a_broken_pattern(self, text):
        with pytest.raises(InvalidArgument, match="invalid filter pattern"):
            listing.parse([text])

    @pytest.mark.parametrize("text", ["", "name", "colour=red", "=x", "Nam=web"])
    def test_what_is_none(self, text):
        with pytest.raises(InvalidArgument, match=f"invalid filter '{text}'"):
            listing.parse([text])

    @pytest.mark.parametrize(
        "text",
        [
            "status=on fire",
            "status=",
            "exited=x",
            "exited=",
            "exited=٣",
            "health=fine",
            "publish=x",
            "expose=",
            "publish=90-80",
            "is-task=y",
            "publish=/tcp",
            "publish=65536",
        ],
    )
    def test_an_impossible_value(self, text):
        with pytest.raises(InvalidArgument):
            listing.parse([text])
