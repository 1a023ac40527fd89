"""Tables, JSON and templates of lists; what a terminal is sent; writing it out."""

from __future__ import annotations

import errno
import json
import os
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.cli import output, rows
from mydocker.cli.output import CONTAINERS, emit, inspection, listing, printable, shorten, width
from mydocker.engine.history import Step
from mydocker.errors import InvalidArgument
from mydocker.image.store import Image
from mydocker.model.container import Container
from mydocker.model.timestamp import SECOND, rfc3339

NOW = 1_700_000_000 * SECOND


def record(**changes) -> Container:
    values = {
        "id": "0123456789abcdef" * 4,
        "name": "bird",
        "created": rfc3339(NOW - 180 * SECOND),
        "image": "busybox:latest",
        "image_id": "sha256:aa",
        "command": ["top", "-b"],
        "driver": "overlay",
        "layers": [],
        "status": "running",
        "pid": 4321,
        "started_at": rfc3339(NOW - 120 * SECOND),
        "labels": {"b": "2", "a": "1"},
    }
    return Container(**{**values, **changes})


def row(trunc: bool = True, **changes) -> dict:
    return rows.container(record(**changes), NOW, trunc)


class TestContainerRow:
    def test_fields(self):
        made = row()
        assert set(made) == set(CONTAINERS.headings)
        assert (made["ID"], made["Names"], made["Name"], made["Pid"]) == ("0123456789ab", "bird", "bird", "4321")
        assert (made["Command"], made["RunningFor"], made["Status"]) == ('"top -b"', "3 minutes ago", "Up 2 minutes")

    @pytest.mark.parametrize(
        ("changes", "status", "state"),
        [
            ({"status": "created", "pid": 0}, "Created", "created"),
            (
                {"status": "exited", "exit_code": 137, "finished_at": rfc3339(NOW - 60 * SECOND)},
                "Exited (137) About a minute ago",
                "exited",
            ),
            (
                {"status": "restarting", "exit_code": 1, "finished_at": rfc3339(NOW - 3 * SECOND)},
                "Restarting (1) 3 seconds ago",
                "restarting",
            ),
            ({"status": "exited", "exit_code": 255}, "Exited (255)", "exited"),  # nobody saw when
        ],
    )
    def test_status(self, changes, status, state):
        made = row(**changes)
        assert (made["Status"], made["State"], made["Pid"]) == (status, state, "")

    @pytest.mark.parametrize(
        ("command", "short", "whole"),
        [
            (["top", "-b", "x y", "and a", "long"], "\"top -b 'x y' 'and a…\"", "\"top -b 'x y' 'and a' long\""),
            (["sh", "-c", 'echo "a\\n"'], '"sh -c \'echo \\"a\\\\n\\"\'"', '"sh -c \'echo \\"a\\\\n\\"\'"'),
            (["a\x1b[31m\nb"], '"a\\x1b[31m\\nb"', '"a\\x1b[31m\\nb"'),
            (["日本日本日本日本日本日本"], '"日本日本日本日本日…"', '"日本日本日本日本日本日本"'),
            ([], '""', '""'),
        ],
    )
    def test_command_is_one_quoted_line(self, command, short, whole):
        assert row(command=command)["Command"] == short
        assert row(trunc=False, command=command)["Command"] == whole

    def test_created_at_is_local(self, monkeypatch):
        monkeypatch.setenv("TZ", "UTC-2")
        time.tzset()
        try:
            assert row()["CreatedAt"] == "2023-11-15 00:10:20 +0200 UTC"
        finally:
            monkeypatch.undo()
            time.tzset()

    def test_mounts(self):
        made = row(mounts=["data", "/root/a/long/directory/name"])
        assert (made["Mounts"], made["LocalVolumes"]) == ("data,/root/a/long/d…", "1")


class TestStepRow:
    STEP = Step("sha256:" + "a" * 64, rfc3339(NOW - 90 * SECOND), "RUN\techo " + "x" * 50, "a note", 1_234_567)

    def test_is_rounded_and_shortened(self):
        made = rows.step(self.STEP, NOW)
        assert set(made) == set(output.STEPS.headings)
        assert (made["ID"], made["CreatedSince"], made["Size"]) == ("a" * 12, "About a minute ago", "1.23MB")
        assert made["CreatedBy"] == "RUN echo " + "x" * 35 + "…"

    def test_is_exact(self):
        made = rows.step(self.STEP, NOW, trunc=False, human=False)
        assert (made["ID"], made["Size"]) == (self.STEP.image_id, "1234567")
        assert made["CreatedBy"] == "RUN echo " + "x" * 50
        assert made["CreatedSince"] == made["CreatedAt"]

    @pytest.mark.parametrize(("zone", "at"), [("UTC", "T00:00:00Z"), ("Asia/Kolkata", "T05:30:00+05:30")])
    def test_the_time_is_local(self, monkeypatch, zone, at):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        made = rows.step(Step("<missing>", "2024-05-06T00:00:00.7Z", "", "", 0), NOW)
        assert (made["CreatedAt"], made["ID"]) == (f"2024-05-06{at}", "<missing>")
        monkeypatch.undo()
        time.tzset()

    def test_without_a_time(self):
        assert rows.step(Step("<missing>", "", "", "", 0), NOW)["CreatedSince"] == "N/A"


class TestImageRow:
    def image(self, **changes) -> Image:
        values = {
            "id": "sha256:" + "a" * 64,
            "manifest": "sha256:" + "b" * 64,
            "names": ["busybox:latest", "localhost:5000/a/b:1.0"],
            "config": {},
            "layers": [],
            "size": 1_983_000,
            "created": rfc3339(NOW - 3 * 86400 * SECOND),
        }
        return Image(**{**values, **changes})

    def test_one_row_a_name(self):
        made = rows.image(self.image(), 1_983_000, NOW)
        assert [(each["Repository"], each["Tag"]) for each in made] == [
            ("busybox", "latest"),
            ("localhost:5000/a/b", "1.0"),
        ]
        assert all(set(each) == set(output.IMAGES.headings) for each in made)
        assert (made[0]["ID"], made[0]["Size"], made[0]["CreatedSince"]) == ("a" * 12, "1.98MB", "3 days ago")
        assert rows.image(self.image(), 0, NOW, trunc=False)[0]["ID"] == "sha256:" + "a" * 64

    @pytest.mark.parametrize(
        ("names", "digests", "shown", "expected"),
        [
            (["x:1", "x:2", "y:1"], ["x@sha256:a"], True, "x 1 sha256:a, x 2 sha256:a, y 1 <none>"),
            (["x:1"], ["x@sha256:a", "x@sha256:b"], True, "x 1 sha256:a, x 1 sha256:b"),
            (["x:1"], ["x@sha256:a", "x@sha256:b"], False, "x 1 <none>"),
            (["y:1"], ["h:5000/x@sha256:a"], True, "h:5000/x <none> sha256:a, y 1 <none>"),
            ([], ["x@sha256:a", "x@sha256:b"], True, "x <none> sha256:a, x <none> sha256:b"),
            ([], ["x@sha256:a", "x@sha256:b"], False, "x <none> "),
            ([], [], True, "<none> <none> <none>"),
        ],
    )
    def test_digests_belong_to_a_repository(self, names, digests, shown, expected):
        made = rows.image(self.image(names=names, repo_digests=digests), 0, NOW, digests=shown)
        assert ", ".join(f"{row['Repository']} {row['Tag']} {row['Digest']}" for row in made) == expected

    def test_without_a_name_or_a_time(self):
        (made,) = rows.image(self.image(names=[], created=""), 0, NOW)
        assert (made["Repository"], made["Tag"]) == ("<none>", "<none>")
        assert (made["CreatedSince"], made["CreatedAt"]) == ("N/A", "N/A")


class TestListing:
    def test_table_as_docker_prints_it(self):
        other = row(name="né日本", pid=1, command=["sh"], image="a:b", status="created")
        assert listing(CONTAINERS, [row(), other]).splitlines() == [
            "CONTAINER ID   IMAGE            COMMAND    CREATED         STATUS         PORTS     NAMES",
            '0123456789ab   busybox:latest   "top -b"   3 minutes ago   Up 2 minutes             bird',
            '0123456789ab   a:b              "sh"       3 minutes ago   Created                  né日本',
        ]

    def test_no_rows_leave_the_heading(self):
        expected = "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n"
        assert listing(CONTAINERS, []) == listing(CONTAINERS, [], "table", columns=200) == expected
        assert listing(CONTAINERS, [], "{{.ID}}") == listing(CONTAINERS, [], "json") == ""

    def test_quiet(self):
        assert listing(CONTAINERS, [row()], quiet=True) == "0123456789ab\n"
        assert listing(CONTAINERS, [row(trunc=False)], quiet=True, trunc=False) == "0123456789abcdef" * 4 + "\n"
        assert listing(CONTAINERS, [row()], "{{.Names}}", quiet=True) == "bird\n"

    def test_json(self):
        (line,) = listing(CONTAINERS, [row(name="né\x1b")], "json").splitlines()
        assert line.startswith('{"Command":"\\"top -b\\"","CreatedAt":')
        assert json.loads(line)["Labels"] == "a=1,b=2"
        assert json.loads(line)["Names"] == "né\x1b"
        assert line.isprintable()
        assert listing(CONTAINERS, [row(name="né\x1b")], "{{json .}}") == line + "\n"

    @pytest.mark.parametrize(
        ("form", "expected"),
        [
            ("{{.ID}}\\t{{.Names}}\\n", "0123456789ab\tbird\n\n"),
            ("  {{.Names}} ", "bird\n"),
            ("raw text", "raw text\n"),
            ('{{.Label "a"}} {{.Labels}} {{.Label "x"}}|', "1 a=1,b=2 |\n"),
            ("table {{.ID}}\\t{{.Names}}", "CONTAINER ID   NAMES\n0123456789ab   bird\n"),
            (
                "table {{upper .Names}}\\t{{truncate .ID 2}}\\t",
                "NAMES     CONTAINER ID   \nBIRD      01             \n",
            ),
            ('table {{.Names}}\\t{{.Label "com.example.some_key"}}', "NAMES     some key\nbird      \n"),
            ("table {{slice .Names 0 2}}", "NA\nbi\n"),
            ("table {{.Names}}\\n{{.ID}}\\t{{.Pid}}", "NAMES\nCONTAINER ID   PID\nbird\n0123456789ab   4321\n"),
        ],
    )
    def test_template(self, form, expected):
        assert listing(CONTAINERS, [row()], form) == expected

    def test_an_unknown_field_names_the_known_ones(self):
        with pytest.raises(InvalidArgument, match=r'no entry for key "Foo".*\.ID \.Image') as caught:
            listing(CONTAINERS, [row()], "table {{.Names}}\\t{{.Foo}}")
        assert "<.Foo>" in caught.value.message
        with pytest.raises(InvalidArgument, match="unclosed action"):
            listing(CONTAINERS, [], "{{.ID")

    def test_shrinkable_columns_fit_the_terminal(self):
        long = row(image="registry.example.com/a/very/long/name:tag", name="a-name-that-is-long", command=["x" * 30])
        for columns in (85, 90, 100, 120, 140):
            lines = listing(CONTAINERS, [long, row()], columns=columns).splitlines()
            assert max(map(width, lines)) <= columns
            assert all("0123456789ab" in line for line in lines[1:])
            assert "…" in lines[1]
            assert lines[1].endswith(" a-name-that-is-long")
            assert lines[2].endswith(" bird")
        assert listing(CONTAINERS, [long], columns=300) == listing(CONTAINERS, [long])
        assert listing(CONTAINERS, [long], columns=80, trunc=False) == listing(CONTAINERS, [long])

    def test_names_and_ports_stay_whole_at_80_columns(self):
        ports = ["127.0.0.1:8080:80/tcp", "127.0.0.1:8443:443/tcp"]
        long = row(
            image="registry.example.com/name:tag",
            name="a-name-that-is-long",
            command=["x" * 30],
            bound_ports=ports,
            networks=[{"network": "bridge"}],
        )
        for columns in (80, 40):
            head, line = listing(CONTAINERS, [long], columns=columns).splitlines()
            assert head.split() == "CONTAINER ID IMAGE COMMAND STATUS PORTS NAMES".split()
            assert line.endswith(" 127.0.0.1:8080->80/tcp, 127.0.0.1:8443->443/tcp  a-name-that-is-long")
        short = row(image="busybox", name="web-server-1", bound_ports=["8080:80/tcp"], networks=[{"network": "bridge"}])
        lines = listing(CONTAINERS, [short], columns=80).splitlines()
        assert max(map(width, lines)) <= 80
        assert lines[1].endswith(" 0.0.0.0:8080->80/tcp  web-server-1")
        assert "CREATED" in listing(CONTAINERS, [short], columns=100)

    def test_a_networks_or_volumes_name_stays_whole(self):
        volume = {"Driver": "local", "Name": "v" * 64, "Mountpoint": "", "Scope": "local", "Labels": {}}
        assert "v" * 64 in listing(output.VOLUMES, [volume], columns=40)

    @given(st.text(), st.sampled_from([None, "{{.Names}} {{.Image}}", "table {{.Image}}\\t{{.Names}}", "json"]))
    def test_nothing_steers_the_terminal(self, text, form):
        hostile = row(image=text, name=text, command=[text], labels={text: text})
        shown = listing(CONTAINERS, [hostile], form, columns=100)
        assert all(char.isprintable() or char in "\n\t" for char in shown)
        if form is None or form.startswith("table"):
            assert len(shown.split("\n")) == 3

    def test_a_pipe_gets_a_templates_values_as_they_are(self):
        assert listing(CONTAINERS, [row(image="a\x1b\udcff")], "{{.Image}}") == "a\x1b\udcff\n"


class TestWidths:
    @pytest.mark.parametrize(
        ("text", "columns"),
        [("", 0), ("abc", 3), ("né", 2), ("ne\u0301", 2), ("日本", 4), ("한", 2), ("ｱ", 1), ("🐳", 2)],
    )
    def test_width(self, text, columns):
        assert width(text) == columns

    @given(st.text(alphabet="ab日本\u0301é…"), st.integers(1, 12))
    def test_shorten(self, text, columns):
        cut = shorten(text, columns)
        assert width(cut) <= columns
        assert cut == text or (cut.endswith("…") and text.startswith(cut[:-1]) and width(text) > columns)

    @given(st.text())
    def test_printable(self, text):
        shown = printable(text)
        assert shown.isprintable()
        assert shown == text or not text.isprintable()

    def test_printable_shows_what_it_hides(self):
        assert printable("a\x1b[2J\n\u202e\x9b\udcffé\U000e0001") == "a\\x1b[2J\\n\\u202e\\x9b\\xffé\\U000e0001"
        assert printable("a\tb\x07", keep="\t") == "a\tb\\x07"
        assert unicodedata.category("\u202e") == "Cf"


class TestInspection:
    VALUE = {"Id": "é", "Config": {"Labels": {"a": "b"}}, "Mounts": [{"Labels": None}], "Path": "x\x1b\n"}

    def test_json(self):
        text = inspection([("container", self.VALUE)])
        assert text.startswith('[\n    {\n        "Id": ')
        assert json.loads(text) == [self.VALUE]
        compact = inspection([("container", self.VALUE), ("image", {})], "json")
        assert compact.startswith('[{"Id":"é","Config":{"Labels":{"a":"b"}},')
        assert compact.endswith(",{}]\n")

    def test_template(self):
        assert inspection([("container", self.VALUE)] * 2, "{{.Id}}") == "é\né\n"
        assert (
            inspection([("container", self.VALUE)], "{{.Config.Labels.a}} {{.Config.Labels.none}}") == "b <no value>\n"
        )
        assert inspection([("container", self.VALUE)], "{{.Path}}") == "x\x1b\n\n"
        assert inspection([("container", self.VALUE)], "{{.Path}}", terminal=True) == "x\\x1b\n\n"
        with pytest.raises(InvalidArgument, match='no entry for key "None"'):
            inspection([("container", self.VALUE)], "{{.Config.None}}")


class TestEmit:
    def test_writes_all_of_it(self):
        reading, writing = os.pipe()
        emit("né\udcff\ud800", writing)
        emit(b"\0\xff", writing)
        os.close(writing)
        with open(reading, "rb") as pipe:
            assert pipe.read() == "né\\udcff\\ud800".encode() + b"\0\xff"

    def test_bytes_of_file_names_come_out_as_they_were(self):
        reading, writing = os.pipe()
        emit(b"\xff\xe9".decode("utf-8", "surrogateescape"), writing)
        assert os.read(reading, 9) == b"\xff\xe9"
        os.close(reading)
        os.close(writing)

    def test_waits_for_a_reader_that_is_behind(self, monkeypatch):
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        got = []

        class Poller:
            def register(self, descriptor, events):
                assert descriptor == writing

            def poll(self):
                got.append(os.read(reading, 1 << 16))

        monkeypatch.setattr("select.poll", Poller)
        data = os.urandom(1 << 18)
        emit(data, writing)
        os.close(writing)
        with open(reading, "rb") as pipe:
            assert b"".join(got) + pipe.read() == data
        assert got

    def test_a_reader_that_went_away_and_a_full_disk_are_told_by_name(self, monkeypatch):
        reading, writing = os.pipe()
        os.close(reading)
        with pytest.raises(BrokenPipeError):
            emit("x", writing)
        os.close(writing)

        def full(descriptor, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(output.os, "write", full)
        with pytest.raises(OSError, match="stdout") as caught:
            emit("x")
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "stdout")
