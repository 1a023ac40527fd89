"""state.py: a record is read back or reported as corrupt, and a status counts only while its process exists."""

from __future__ import annotations

import errno
import fcntl
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker import jsontext, paths, state
from mydocker.engine import lifecycle
from mydocker.engine import process as engine_process
from mydocker.errors import Conflict, CorruptRecord, HostError, NotFound
from mydocker.kernel import process
from mydocker.kernel.files import remove_tree
from mydocker.kernel.locks import Lock
from mydocker.model import container as container_model
from mydocker.model.container import Container

ID = "a" * 64
OTHER = "b" * 64
PATH = "/somewhere/record.json"
GOOD = {
    "schema": 1,
    "id": ID,
    "name": "web",
    "created": "2024-01-02T03:04:05.000000006Z",
    "image": "busybox:latest",
    "image_id": "sha256:" + "c" * 64,
    "command": ["top", "-b"],
    "driver": "overlay",
    "layers": ["sha256:" + "d" * 64],
    "labels": {"k": "v"},
    "status": "running",
    "pid": 7,
    "pid_start": 70,
    "boot_id": "this boot",
    "monitor_pid": 6,
    "monitor_start": 60,
}

WRONG = {
    "str": (None, 1, ["x"]),
    "int": (None, "1", 1.5, True),
    "bool": (None, 1, "true"),
    "list[str]": (None, "x", {"x": "y"}),
    "dict[str, str]": (None, "x", ["x"]),
    "list[dict[str, Any]]": (None, "x", {"x": "y"}, ["x"], [["x"]]),
}


def parse(values, path=PATH, container_id=ID):
    text = values if isinstance(values, bytes) else jsontext.dumps(values).encode()
    return container_model.parse(text, path, container_id)


def is_corrupt(values):
    with pytest.raises(CorruptRecord) as caught:
        parse(values)
    assert PATH in caught.value.message
    assert caught.value.hint
    return caught.value.message


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An empty store on disk."""
    for name in ("ROOT", "RUN"):
        monkeypatch.setattr(paths, name, f"{tmp_path}/{name.lower()}")
    for name in ("CONTAINERS", "NAMES", "VOLUMES"):
        monkeypatch.setattr(paths, name, f"{tmp_path}/root/{name.lower()}")
    return tmp_path


class TestParse:
    def test_a_good_one(self):
        container = parse(GOOD)
        assert {key: getattr(container, key) for key in GOOD} == GOOD
        assert (container.network, container.tty, container.stop_signal, container.finished_at) == (
            "none",
            False,
            15,
            "",
        )

    def test_it_is_written_as_it_is_read(self):
        container = parse(GOOD)
        assert parse({name: getattr(container, name) for name in container._fields}) == container

    @pytest.mark.parametrize("key", "id name created image image_id command driver layers".split())
    def test_what_lacks_a_field_is_corrupt(self, key):
        assert key in is_corrupt({name: value for name, value in GOOD.items() if name != key})

    @pytest.mark.parametrize(
        ("key", "value"),
        [(key, value) for key, kind in Container.__annotations__.items() for value in WRONG[kind]],
    )
    def test_a_value_of_another_kind_is_corrupt(self, key, value):
        message = is_corrupt({**GOOD, key: value})
        assert key in message

    @pytest.mark.parametrize(
        "change",
        [{"labels": {"x": []}}, {"command": [1]}, {"layers": [None]}, {"own_volumes": [1]}, {"status": "on fire"}],
        ids=repr,
    )
    def test_what_is_in_a_list_or_a_table_counts_too(self, change):
        is_corrupt({**GOOD, **change})

    def test_an_unknown_field_is_ignored(self):
        assert parse({**GOOD, "surprise": 1}) == parse(GOOD)  # of a newer version

    @pytest.mark.parametrize("schema", [{"schema": 2}, {}])
    def test_another_schema_is_another_version(self, schema):
        assert "another version" in is_corrupt({"new": 1, **schema})

    def test_another_containers_record(self):
        assert "b" * 12 in is_corrupt({**GOOD, "id": OTHER})

    @pytest.mark.parametrize(
        "text", [b"null", b"1", b'"text"', b"[]", b"{}", b"[" * 100_000], ids=lambda text: text[:6]
    )
    def test_other_json(self, text):
        is_corrupt(text)


class TestBrokenText:
    """Run without the json module, as the program does: its C half then has no error class to raise (CPython 3.11)."""

    TEXT = jsontext.dumps(GOOD).encode()

    @pytest.fixture(autouse=True, scope="class")
    def _without_json(self):
        with pytest.MonkeyPatch.context() as patch:
            patch.delitem(sys.modules, "json.decoder", raising=False)
            yield

    def test_cut_off(self):
        for length in range(len(self.TEXT)):
            is_corrupt(self.TEXT[:length])

    @given(st.integers(0, len(TEXT) - 1), st.binary(min_size=1, max_size=3))
    def test_a_damaged_record_is_read_or_corrupt_but_never_another_error(self, place, damage):
        text = self.TEXT[:place] + damage + self.TEXT[place + len(damage) :]
        try:
            container = parse(text)
        except CorruptRecord as error:
            message = error.message
        else:
            message = PATH if container.id == ID else ""
        assert PATH in message

    @given(st.binary(max_size=100).map(lambda noise: b"\xff" + noise))
    def test_binary(self, text):
        is_corrupt(text)


class TestStatus:
    """load() corrects the status by the processes that exist."""

    @pytest.fixture(autouse=True)
    def _record(self, store, monkeypatch):
        os.makedirs(paths.container(ID))
        self.write(GOOD)
        self.running = {7: 70, 6: 60}
        monkeypatch.setattr(state.process, "start_time", lambda pid: self.running.get(pid, 0))
        monkeypatch.setattr(state, "boot_id", lambda: "this boot")

    def write(self, values):
        with open(f"{paths.container(ID)}/record.json", "wb") as file:
            file.write(jsontext.dumps(values).encode())

    def test_running(self):
        container = state.load(ID)
        assert (container.status, container.pid) == ("running", 7)
        assert state.is_running(container)
        assert state.has_monitor(container)

    @pytest.mark.parametrize("running", [{6: 60}, {6: 60, 7: 71}], ids=["gone", "another has its PID"])
    def test_its_end_is_its_monitors_to_record(self, running):
        self.running = running
        container = state.load(ID)
        assert container.status == "running"
        assert not state.is_running(container)

    @pytest.mark.parametrize("running", [{}, {7: 71}, {6: 61, 7: 71}], ids=["gone", "PID reused", "both reused"])
    def test_without_process_and_monitor_it_has_ended(self, running):
        self.running = running
        container = state.load(ID)
        assert (container.status, container.exit_code, container.error) == ("exited", 255, state.LOST)
        assert container.pid == 7  # its leftovers on the host have that number in their names

    def test_while_restarting_only_its_monitor_is_there(self):
        self.write({**GOOD, "status": "restarting", "pid": 0, "exit_code": 3})
        assert (state.load(ID).status, state.is_running(state.load(ID))) == ("restarting", False)
        self.running = {}
        container = state.load(ID)
        assert (container.status, container.exit_code, container.error) == ("exited", 3, state.NOT_AGAIN)
        assert state.stored(ID).status == "restarting"

    def test_after_a_reboot_the_same_numbers_mean_nothing(self, monkeypatch):
        monkeypatch.setattr(state, "boot_id", lambda: "another boot")
        assert state.load(ID).status == "exited"

    def test_it_outlives_its_monitor(self):
        self.running = {7: 70}
        container = state.load(ID)
        assert container.status == "running"
        assert not state.has_monitor(container)

    def test_a_record_that_never_ran_has_no_process(self):
        self.running = {0: 0}
        self.write({**GOOD, "status": "created", "pid": 0, "pid_start": 0, "monitor_pid": 0, "monitor_start": 0})
        container = state.load(ID)
        assert container.status == "created"
        assert not state.is_running(container)
        assert not state.has_monitor(container)

    def test_an_end_that_was_recorded_stays(self):
        self.write({**GOOD, "status": "exited", "exit_code": 3})
        assert (state.load(ID).exit_code, state.load(ID).error) == (3, "")

    def test_the_file_is_named_by_its_place(self):
        self.write([])
        with pytest.raises(CorruptRecord, match=f"{paths.container(ID)}/record.json"):
            state.load(ID)

    def test_a_directory_without_a_record_is_corrupt_and_no_directory_is_no_container(self):
        os.unlink(f"{paths.container(ID)}/record.json")
        with pytest.raises(CorruptRecord, match="has no record"):
            state.load(ID)
        with pytest.raises(NotFound):
            state.load(OTHER)

    def test_a_large_record_is_read_to_its_end(self):
        self.write({**GOOD, "labels": {"a": "ü" * 400_000}})
        assert len(state.load(ID).labels["a"]) == 400_000

    def test_what_was_saved_is_loaded(self):
        container = parse({**GOOD, "name": "café \ud800"})
        state.save(container)
        assert state.load(ID) == container

    def test_a_full_disk_is_no_obstacle_once_a_container_is_kept(self, monkeypatch):
        container = state.load(ID)
        state.fsync_new(container)
        room = os.stat(f"{container.directory}/record.spare").st_size
        no_room(monkeypatch)
        for code, labels in (5, {"a": "b" * 1000}), (6, {}):
            container.exit_code, container.labels = code, labels
            state.save(container, durable=True)
            assert state.load(ID) == container
        sizes = [os.stat(f"{container.directory}/record.{kind}").st_size for kind in ("json", "spare")]
        assert (room, sorted(os.listdir(container.directory))) == (max(sizes), ["record.json", "record.spare"])

    def test_a_full_disk_where_there_is_no_spare_leaves_the_record_as_it_was(self, monkeypatch):
        container = state.load(ID)
        no_room(monkeypatch)
        container.exit_code = 5
        with pytest.raises(HostError, match="no space left"):
            state.save(container)
        assert state.load(ID).exit_code == 0
        assert os.listdir(container.directory) == ["record.json"]


def no_room(monkeypatch):
    """Make the disk full: no new file fits, existing ones can be overwritten."""
    opened = os.open

    def full(path, flags, *args, **kwargs):
        if flags & os.O_CREAT and not os.path.exists(path):
            raise OSError(errno.ENOSPC, "No space left on device", path)
        return opened(path, flags, *args, **kwargs)

    def exchange(path, other):
        os.rename(path, f"{path}.third")
        os.rename(other, path)
        os.rename(f"{path}.third", other)

    monkeypatch.setattr(os, "open", full)
    monkeypatch.setattr(state, "exchange", exchange)  # a unit test makes no system call


def add(container_id, name):
    with state.reserve(container_id, name):
        state.commit(container_id)


class TestNames:
    @pytest.fixture(autouse=True)
    def _one(self, store):
        add(ID, "web")

    def test_a_name_is_taken_once_and_the_loser_leaves_nothing(self):
        with pytest.raises(Conflict, match="'web' is taken by container aaaaaaaaaaaa"):
            state.reserve(OTHER, "web")
        assert os.listdir(paths.CONTAINERS) == [ID]

    def test_what_is_being_made_has_its_name_but_is_not_there(self):
        with state.reserve(OTHER, "new"):
            assert state.ids() == [ID]
            with pytest.raises(Conflict, match="'new' is taken"):
                state.reserve("cc" * 32, "new")

    def test_what_a_crash_has_left_half_made_gives_way(self):
        state.reserve(OTHER, "new").release()
        add("cc" * 32, "new")
        assert sorted(os.listdir(paths.CONTAINERS)) == sorted([ID, "cc" * 32])

    def test_what_a_crash_has_left_is_swept(self):
        state.reserve(OTHER, "new").release()
        with state.reserve("cc" * 32, "newer"):
            state.cleanup()
            assert sorted(os.listdir(paths.CONTAINERS)) == sorted([ID, "." + "cc" * 32])
            assert {"web", "newer"} <= set(os.listdir(paths.NAMES)) <= {"web", "newer", ".lock"}

    def test_removing_a_half_made_container_by_name_leaves_nothing(self):
        state.reserve(OTHER, "new").release()
        with pytest.raises(NotFound, match="no such container: new"):
            lifecycle.remove("new")
        assert os.listdir(paths.CONTAINERS) == [ID]
        assert "new" not in os.listdir(paths.NAMES)

    def test_a_name_is_not_taken_from_one_that_is_just_shown(self, monkeypatch):
        abandoned = state._abandoned

        def shown_first(container_id):
            state.commit(container_id)
            return abandoned(container_id)

        with state.reserve(OTHER, "new"):
            monkeypatch.setattr(state, "_abandoned", shown_first)
            with pytest.raises(Conflict, match="'new' is taken"):
                state.reserve("cc" * 32, "new")
        assert state.find_id("new") == OTHER

    @pytest.mark.parametrize("directory", [True, False])
    def test_what_a_crash_has_left_before_the_lock_was_in_the_directory_is_swept(self, directory):
        Lock(f"{state.staging_dir(OTHER)}.lock").release()
        if directory:
            os.mkdir(state.staging_dir(OTHER))
        with Lock(f"{state.staging_dir('cc' * 32)}.lock"):
            state.cleanup()
            assert sorted(os.listdir(paths.CONTAINERS)) == sorted([ID, "." + "cc" * 32 + ".lock"])

    def test_what_is_being_made_is_no_leftover_before_its_lock_is_held(self, monkeypatch):
        """Once, of twenty parallel runs at one port, a loser removed what another run had just begun."""
        flock = fcntl.flock

        def sweep_first(descriptor, operation):
            monkeypatch.setattr(fcntl, "flock", flock)
            state.cleanup()
            flock(descriptor, operation)

        monkeypatch.setattr(fcntl, "flock", sweep_first)
        add(OTHER, "new")
        assert state.find_id("new") == OTHER

    @pytest.mark.parametrize(
        "target", ["..", ".", "/etc", "../containers/..", f"../containers/{'A' * 64}", "../images"]
    )
    def test_a_name_that_leads_elsewhere_is_corrupt(self, target):
        """Once, `..` was taken for an ID, and `rm -f` removed the whole store."""
        os.symlink(target, f"{paths.NAMES}/evil")
        with pytest.raises(CorruptRecord, match="names/evil points to"):
            state.find_id("evil")
        with pytest.raises(CorruptRecord):
            state.reserve(OTHER, "evil")

    @pytest.mark.parametrize("text", ["..", "", "A" * 64, "a" * 63])
    def test_only_a_container_is_removed(self, text):
        with pytest.raises(ValueError, match="not a container's ID"):
            state.remove(text, "web")

    def test_a_name_whose_container_is_gone_is_free(self):
        remove_tree(paths.container(ID))
        add(OTHER, "web")
        assert state.find_id("web") == OTHER

    def test_by_name_id_and_prefix(self):
        assert [state.find_id(text) for text in ("web", ID, "a", "aaaa")] == [ID] * 4
        assert state.name_of(ID) == "web"

    def test_a_leading_slash_is_dropped(self):
        assert [state.find_id(text) for text in ("/web", "//web", f"/{ID}", "/aa")] == [ID] * 4

    def test_a_name_goes_before_a_prefix(self):
        add(OTHER, "aa")
        assert state.find_id("aa") == OTHER

    def test_an_ambiguous_prefix(self):
        add("ab" * 32, "other")
        with pytest.raises(Conflict, match="'a' matches 2 containers"):
            state.find_id("a")

    @pytest.mark.parametrize("text", ["c", "webb", "A"])
    def test_no_such(self, text):
        with pytest.raises(NotFound, match=f"no such container: {text}"):
            state.find_id(text)

    @pytest.mark.parametrize("text", ["", "/", "/..", "..", "../names/web", "web/../web", ".lock", "a\0b", "x" * 256])
    def test_what_can_be_no_name_never_becomes_a_path(self, text):
        with pytest.raises(NotFound):
            state.find_id(text)

    def test_forgotten(self):
        with open(f"{paths.container(ID)}/record.json", "wb"):
            pass
        state.remove(ID, "web")
        state.remove(ID, "web")
        assert (state.ids(), os.listdir(paths.NAMES)) == ([], [])

    def test_the_last_exit_code_outlives_the_container(self):
        container = parse({**GOOD, "started_at": "2024-01-02T03:04:05.000000006Z"})
        code = state.LastCode(container)
        assert code.read(container) == 255  # none has been left yet
        with state.lock(container) as held:
            container.exit_code = 137
            state.leave_code(held, container)
            state.remove(ID, "web")
        assert code.read(container) == 137
        container.started_at = "2024-01-02T03:04:06Z"  # another run
        assert code.read(container) == 255
        code.close()
        with pytest.raises(NotFound, match="no such container: web"):
            state.LastCode(container)

    def test_another_containers_name_is_not_forgotten(self):
        add(OTHER, "other")
        state.remove(ID, "other")
        assert state.find_id("other") == OTHER


class TestBounds:
    """Every wait for another process has a bound, and its error names the process."""

    def test_of_a_monitor_that_does_not_record_the_end(self, monkeypatch):
        monitor = {"monitor_pid": os.getpid(), "monitor_start": process.start_time(os.getpid())}
        container = Container(**{**GOOD, **monitor, "boot_id": state.boot_id()})
        monkeypatch.setattr(state, "load", lambda _: container)
        monkeypatch.setattr(process, "pidfd_open", lambda _: os.pipe()[0])
        monkeypatch.setattr(engine_process, "PATIENCE", 0.1)
        with pytest.raises(HostError, match=f"the monitor of container web .process {os.getpid()}. has not recorded"):
            engine_process.wait_recorded(container)

    def test_of_a_container_that_does_not_end(self, monkeypatch):
        container = Container(**{**GOOD, "pid": os.getpid()})
        monkeypatch.setattr(lifecycle, "_PATIENCE_KILLED", 0.1)
        with pytest.raises(HostError, match="container web was killed, and has not ended") as caught:
            lifecycle._wait_killed(container, os.pipe()[0])
        assert f"/proc/{os.getpid()}/" in caught.value.hint
