"""The output of `explain` for a start: for people, for programs, for Perfetto."""

from __future__ import annotations

import json
import re
import shlex
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from mydocker import paths
from mydocker.cli import explain
from mydocker.cli.output import width
from mydocker.errors import CorruptRecord, InvalidArgument
from mydocker.kernel.cgroups import Layout
from mydocker.model.attachments import Attachments
from mydocker.model.host import HostFacts
from mydocker.model.network import Endpoint, Network
from mydocker.model.oci import spec
from mydocker.model.oci.annotations import DRIVER, FILL, LAYERS
from mydocker.model.options import request
from mydocker.ops.base import CLONE, EXECUTE, revive
from mydocker.ops.cgroup import MakeCgroups
from mydocker.ops.namespaces import LinkUp, SetHostname
from mydocker.ops.process import SetLimit
from mydocker.ops.rootfs import MakeDevice, Mount
from mydocker.runtime.plan import plan

ID = "0123456789abcdef" * 4
DIR = paths.container(ID)
LAYER = paths.layer("f" * 64)
MS = 1_000_000


def op_span(side, op, start, end, error=None):
    return {
        "side": side,
        "name": op.describe(),
        "op": type(op).__name__,
        "args": op.arguments(),
        "start": start,
        "end": end,
        "error": error,
    }


def span(side, name, shell, start, end):
    return {
        "side": side,
        "name": name,
        "op": None,
        "args": None,
        "shell": shell,
        "start": start,
        "end": end,
        "error": None,
    }


@pytest.fixture
def trace():
    """A birth of 20 ms, recorded out of order, with times that begin anywhere."""
    t = 777 * MS
    overlay = Mount("overlay", "", "overlay", 0, f"lowerdir={LAYER},upperdir={DIR}/upper", f"{DIR}/rootfs")
    spans = [
        op_span("container", overlay, t + 9 * MS, t + 14 * MS),
        op_span("container", SetHostname("bird"), t + 8 * MS, t + 8 * MS + 12_000),
        span("container", "become the program", "exec sh -c 'echo hi'", t + 14 * MS, t + 15 * MS),
        span("host", "read the bundle", f"cat {DIR}/config.json", t, t + 2 * MS),
        op_span("host", MakeCgroups([f"/sys/fs/cgroup/{n}/mydocker/{ID}" for n in "abcd"]), t + 2 * MS, t + 3 * MS),
        span("host", "clone the first process", "unshare --fork  # clone3(2), a long remark", t + 3 * MS, t + 7 * MS),
        span("host", "wait until the program runs", "wait", t + 7 * MS, t + 20 * MS),
    ]  # fmt: skip
    return {"schema": 1, "id": ID, "name": "bird", "command": ["sh", "-c", "echo hi"], "origin": t, "spans": spans}


def text_of(trace, columns=None, colours=False, every=False):
    return explain.trace_text(trace, explain.trace_rows(trace), columns, colours, every)


class TestForPeople:
    def test_through_a_pipe(self, trace):
        lines = text_of(trace).splitlines()
        assert lines[:5] == [
            "bird  sh -c 'echo hi'",
            f"ID={ID}",
            f"C={paths.container('$ID')}",
            "R=$C/rootfs",
            f"L1={LAYER}",
        ]
        assert [line.strip("─ ") for line in lines if line.startswith("──")] == [
            "host", "host · cgroup", "host", "container · namespaces", "container · mounts", "container",
            "total: 4 steps, 1 on the host and 3 in the container ─────────────── 20.00 ms",
        ]  # fmt: skip
        at = lines.index("  0.000 ms  read the bundle                                              2.00 ms")
        assert lines[at + 1] == "            cat $C/config.json"
        assert re.search(r"^  8.000 ms  set the host name to bird +12 µs$", "\n".join(lines), re.M)
        assert "            mount -t overlay -o lowerdir=$L1,upperdir=$C/upper overlay $R" in lines
        cgroup = f"            mkdir -p {' '.join(f'/sys/fs/cgroup/{n}/mydocker/$ID' for n in 'abcd')}"
        assert cgroup in lines  # not broken

    def test_steps_stand_in_order_of_time(self, trace):
        starts = [float(at) for at in re.findall(r"^ +(\d+\.\d{3}) ms  ", text_of(trace), re.M)]
        assert len(starts) == len(trace["spans"])
        assert starts == sorted(starts)

    def test_summary(self, trace):
        summary = text_of(trace).partition("── total")[2].splitlines()
        assert summary[1:5] == [
            "   7.00 ms  host          ███████",
            "   6.01 ms  container     ██████",
            "   6.99 ms  between them  ██████▉               Python, and the scheduler",
            "  13.00 ms  of it the host waited for the container",
        ]
        assert summary[5] == "the slowest"
        assert re.match(r"   5.00 ms  container  mount overlay", summary[6])
        assert summary[7] == "   4.00 ms  host       clone the first process"
        assert not any("wait until" in line for line in summary)

    @pytest.mark.parametrize("columns", [80, 100, 200])
    def test_on_a_terminal_no_line_is_too_wide(self, trace, columns):
        lines = text_of(trace, columns).splitlines()
        long = {"ID=", "L1=", "C=/"}
        assert all(width(line) <= min(columns, 110) for line in lines if line[:3] not in long)

    def test_broken_commands_are_the_same_to_a_shell(self, trace):
        for columns in (50, 60, 80):
            text = re.sub(r"\\\n +", "", text_of(trace, columns))
            command = next(line for line in text.splitlines() if "mkdir -p" in line)
            assert shlex.split(command)[2:] == [f"/sys/fs/cgroup/{n}/mydocker/$ID" for n in "abcd"]

    def test_a_broken_comment_stays_a_comment(self):
        page = explain._Page(40, False, [])
        rows = page.shell("setsid --wait  # fork(2): it outlives the command line")
        assert rows == ["setsid --wait  # fork(2):", "  # it outlives the", "  # command line"]

    def test_quoted_words_are_not_broken(self):
        rows = explain._Page(40, False, []).shell("for r in 'c *:* m' 'b *:* m' 'c 1:3 rwm'; do echo $r; done")
        assert rows == ["for r in 'c *:* m' \\", "  'b *:* m' 'c 1:3 rwm'; \\", "  do echo $r; done"]

    def test_colours_are_for_terminals(self, trace, monkeypatch):
        assert "\x1b" not in text_of(trace, 80)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", text_of(trace, 80, colours=True))
        assert plain == text_of(trace, 80)
        assert "\x1b[1;33m4.00 ms\x1b[0m" in text_of(trace, 80, colours=True)  # a fifth of it all
        monkeypatch.setattr(explain, "terminal_width", lambda descriptor: 80)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)
        assert explain._paper(1) == (80, True)
        monkeypatch.setenv("NO_COLOR", "1")
        assert explain._paper(1) == (80, False)
        monkeypatch.delenv("NO_COLOR")
        monkeypatch.setenv("TERM", "dumb")
        assert explain._paper(1) == (80, False)
        monkeypatch.setattr(explain, "terminal_width", lambda descriptor: None)
        monkeypatch.setenv("TERM", "xterm")
        assert explain._paper(1) == (None, False)

    def test_a_failure_stands_under_its_step(self, trace):
        trace["spans"].append(op_span("host", LinkUp("lo"), 780 * MS, 781 * MS, "[Errno 5] I/O error: 'lo'"))
        assert "  failed: [Errno 5] I/O error: 'lo'\n" in text_of(trace)

    def test_nothing_steers_the_terminal(self, trace):
        trace["name"] = trace["command"][0] = "a\x1b[2J\n"
        trace["spans"] = [span("host", "x\x1b[1m\n", "echo '\x1b]0;t\x07' \x9b", 0, 1)]
        assert all(char.isprintable() or char == "\n" for char in text_of(trace))
        assert len(text_of(trace).splitlines()) == len(text_of({**trace, "name": "a", "command": ["a"]}).splitlines())


DEVICES = [MakeDevice(f"{DIR}/rootfs", f"/dev/{name}", "c", 1, number, 0o666) for number, name in enumerate("abcd")]


class TestFolding:
    @pytest.fixture
    def many(self, trace):
        """Four devices and a limit; while the third device is made, the host waits."""
        t = 800 * MS
        limit = SetLimit("RLIMIT_CORE", 4, 0, -1)
        made = [op_span("container", op, t + at * MS, t + (at + 1) * MS) for at, op in enumerate([*DEVICES, limit])]
        wait = span("host", "wait", "wait", t + 2 * MS + 1, t + 9 * MS)
        return {**trace, "spans": [*made, wait]}

    def test_what_repeats_is_one_line_with_the_time_of_all(self, many):
        lines = text_of(many).splitlines()
        at = next(
            number for number, line in enumerate(lines) if "make 4 devices: /dev/a, /dev/b, /dev/c, /dev/d" in line
        )
        assert lines[at].startswith("  0.000 ms  ")
        assert lines[at].endswith("  4.00 ms")
        assert lines[at + 1] == "            mknod -m 0666 $R/dev/a c 1 0  # and 3 more"
        assert not any("make /dev/" in line for line in lines[: lines.index("the slowest")])
        assert lines[-1] == "'run --explain=all' and 'explain --all' show the folded steps, too"

    def test_but_every_one_if_that_is_asked_for(self, many):
        text = text_of(many, every=True)
        assert [name for name in "abcd" if f"  make /dev/{name} " in text] == [*"abcd"]
        assert "folded" not in text

    def test_few_or_failed_steps_are_not_folded(self, many):
        many["spans"][1]["error"] = "no"
        text = text_of(many)
        assert "devices" not in text.partition("── total")[0].replace("· devices", "")
        assert "limit: core = 0" in text

    def test_an_unknown_op_is_not_folded(self, many):
        for args in ({"x": 1}, None, "text", 3):
            for row in many["spans"]:
                row.update(args=args, shell="")
            assert "folded" not in text_of(many)

    def test_folded_steps_count_as_the_steps_that_they_are(self, many):
        rows = explain.trace_rows(many)
        assert explain.count(rows) == "5 steps, 0 on the host and 5 in the container"
        assert explain.count(rows) in text_of(many)
        assert explain.count(rows) in text_of(many, every=True)

    def test_limits_are_named_as_ulimit_does(self):
        limits = [SetLimit(f"RLIMIT_{name}", 0, 0, 0) for name in ("CORE", "CPU", "AS")]
        rows = explain.trace_rows({"spans": [op_span("container", op, 0, 0) for op in limits]})
        (folded,) = explain.fold(rows)
        assert folded["name"] == "set 3 limits: core, cpu, as"

    def test_programs_get_every_step(self, many, monkeypatch):
        out = []
        monkeypatch.setattr(explain, "emit", lambda text, descriptor=1: out.append(text))
        explain.print_trace(many, "json")
        assert [row["number"] for row in json.loads(out[0])["spans"]] == [1, 2, 3, None, 4, 5]


class TestNumbers:
    def test_the_host_first_then_the_container(self, trace):
        numbers = {row["name"]: row["number"] for row in explain.trace_rows(trace) if row["number"]}
        assert min(numbers, key=numbers.get) == "make the container's cgroup"
        assert sorted(numbers.values()) == [1, 2, 3, 4]
        assert numbers[EXECUTE] == 4

    def test_the_clone_is_a_step_and_a_wait_is_none(self, trace):
        trace["spans"].append(span("host", CLONE, "unshare", 770 * MS, 771 * MS))
        numbers = {row["name"]: row["number"] for row in explain.trace_rows(trace)}
        assert numbers[CLONE] == 1
        assert numbers["wait until the program runs"] is None


class TestForPrograms:
    def test_json(self, trace, monkeypatch):
        out = []
        monkeypatch.setattr(explain, "emit", lambda text, descriptor=1: out.append((descriptor, text)))
        explain.print_trace(trace, "json", 1)
        ((descriptor, text),) = out
        read = json.loads(text)
        assert descriptor == 1
        assert (read["id"], read["name"]) == (ID, "bird")
        starts = [step["start"] for step in read["spans"]]
        assert starts == sorted(starts)
        assert all(step["shell"] and step["name"] and step["end"] >= step["start"] for step in read["spans"])
        assert {step["section"] for step in read["spans"]} == {"", "cgroup", "namespaces", "mounts"}

    def test_perfetto(self, trace):
        events = json.loads(json.dumps(explain.perfetto(trace, explain.trace_rows(trace))))["traceEvents"]
        tracks = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
        assert sorted(tracks.values()) == ["container", "host"]
        spans = [event for event in events if event["ph"] == "X"]
        assert len(spans) == 7
        overlay = next(event for event in spans if "overlay" in event["name"])
        assert (overlay["ts"], overlay["dur"], tracks[overlay["tid"]]) == (9000.0, 5000.0, "container")
        assert overlay["cat"] == "mounts"
        assert overlay["args"]["shell"].startswith("mount -t overlay")
        assert overlay["args"]["fstype"] == "overlay"

    @pytest.mark.parametrize("form", ["bogus", "JSON", "{{.id}}"])
    def test_another_format(self, trace, form):
        with pytest.raises(InvalidArgument, match=re.escape(form)):
            explain.print_trace(trace, form)

    def test_a_step_that_this_version_does_not_know_keeps_its_name(self, trace):
        trace["spans"] = [
            {"side": "host", "name": "by another version", "op": "NoSuchOp", "args": {"x": 1}, "start": 1, "end": 2},
            {"side": "host", "name": "with other fields", "op": "SetHostname", "args": {"y": 1}, "start": 2, "end": 3},
        ]
        assert [step["shell"] for step in explain.trace_rows(trace)] == ["", ""]
        assert "by another version" in text_of(trace)

    @pytest.mark.parametrize(
        "damage", [{}, {"spans": []}, {"spans": 3}, {"spans": [{}]}, {"spans": [{"side": "host"}]}]
    )
    def test_what_is_no_trace(self, damage):
        with pytest.raises(CorruptRecord):
            explain.trace_rows(damage)
        with pytest.raises(CorruptRecord):
            explain.trace_rows({"spans": [{"side": "host", "name": "x", "start": "soon", "end": None}]})


def usual_plan():
    """The plan of `run busybox echo hello` on the default network."""
    number = "0123456789ab"
    facts = HostFacts(cpus="0-3", hostname="vm", cwd="/")
    options = request.from_params({"image_and_command": ["busybox"]}, {}, facts)
    made = spec.build(request.complete(options, "busybox:latest", ["echo", "hello"], {}), ID, "/c", facts, {}, (), None)
    made["annotations"].update({DRIVER: "overlay", LAYERS: "sha256:aa", FILL: "[]"})
    bridge = Network("bridge", "1" * 64, "2026-11-23T00:00:00Z", "mydocker0", "10.7.0.0/20", "10.7.0.1")
    endpoint = Endpoint("bridge", "", "", [], "eth0", f"veth{number[:8]}0")
    endpoint.address, endpoint.gateway, endpoint.mac = "10.7.0.2/20", bridge.gateway, "02:42:0a:07:00:02"
    layout = Layout(2, {"unified": "/sys/fs/cgroup"}, ["cpu", "cpuset", "io", "memory", "pids"])
    return plan(made, "/c", layout, name="bird", attachments=Attachments(ID, "bird").with_endpoint(bridge, endpoint))


def comparable(steps):
    """The names, without what differs from start to start and from host to host."""
    own = ("/sys/fs/cgroup", "thermal")
    names = [name for section, name in steps if section != "cgroup" and not any(word in name for word in own)]
    for pattern, text in (
        (r"\b[0-9a-f]{12}\b", "ID"),
        (r" to ip netns as \w+$", " to ip netns as NAME"),
        (r" to (mydocker0|br-ID)$", " to BRIDGE"),
        (r"^bind \S+ ", "bind FILE "),
        (r"limit: (\w+) = \w+", r"limit: \1"),
        (r"\d[\d./]*", "0"),
    ):
        names = [re.sub(pattern, text, name) for name in names]
    return names


class TestPicture:
    @pytest.fixture(scope="class")
    def script(self):
        path = Path(__file__).parents[2] / "script/make-pictures"
        loader = SourceFileLoader("make_explain_svg", str(path))
        module = module_from_spec(spec_from_loader(loader.name, loader))
        loader.exec_module(module)
        return module

    def test_shows_every_step_and_names_no_path_of_this_machine(self, script, trace):
        steps = explain.trace_rows(trace)
        text = script.picture({**trace, "spans": steps})
        titles = [title.text or "" for title in ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}title")]
        assert [title.partition(":")[0] for title in titles[1:]] == [
            step["name"] for side in ("host", "container") for step in steps if step["side"] == side
        ]
        assert any("upperdir=$C/upper overlay $R" in title for title in titles)
        assert paths.ROOT not in text
        assert ID not in text

    def test_needs_nothing_from_elsewhere_and_fits_both_themes(self, script, trace):
        text = script.picture({**trace, "spans": explain.trace_rows(trace)})
        assert "prefers-color-scheme: dark" in text
        assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
        assert script.LIGHT.keys() == script.DARK.keys()

    def test_the_one_in_docs_shows_the_steps_of_today(self):
        """Else run script/make-pictures. Of cgroups each host has its own, so those are not compared."""
        drawing = ElementTree.parse(Path(__file__).parents[2] / "docs/explain.svg")
        blocks = [block for block in drawing.iter("{http://www.w3.org/2000/svg}rect") if block.get("data-step")]
        blocks.sort(key=lambda block: int(block.get("data-step")))
        titles = [(block.get("data-section"), block[0].text.splitlines()[0].rpartition(": ")[0]) for block in blocks]
        assert [int(block.get("data-step")) for block in blocks] == list(range(1, len(blocks) + 1))
        planned = [(row["section"], row["name"]) for row in map(explain._filled, usual_plan().outline())]
        assert comparable(titles) == comparable(planned)

    def test_what_the_trace_holds_can_not_break_it(self, script, trace):
        trace["spans"] = [span("container", "<script>&\"'", "echo '</text>' & <x>", 0, 5)]
        text = script.picture({**trace, "spans": explain.trace_rows(trace)})
        assert "<script>" not in text
        ElementTree.fromstring(text)


class TestPlan:
    @pytest.fixture
    def plan(self, trace):
        steps = [{**row, "shell": row.get("shell") or revive(row["op"], row["args"]).shell()} for row in trace["spans"]]
        for number, row in enumerate(steps):
            row["number"] = number or None
        return SimpleNamespace(outline=lambda: steps, spec={"linux": {"cgroupsPath": f"/mydocker/{ID}"}})

    @pytest.fixture
    def printed(self, monkeypatch):
        out = []
        monkeypatch.setattr(explain, "emit", lambda text, descriptor=1: out.append(text))
        monkeypatch.setattr(explain, "terminal_width", lambda descriptor: None)
        return out

    def test_for_people(self, plan, printed):
        explain.print_plan(plan)
        lines = printed[0].splitlines()
        assert lines[0] == f"ID={ID}"
        assert "         1  set the host name to bird" in lines
        assert "            hostname bird" in lines
        assert lines[-2].startswith("── nothing was done ──")
        assert lines[-1] == "6 steps, 4 on the host and 2 in the container"
        assert "ms" not in printed[0].split()

    def test_each_has_the_number_that_the_plan_gives_it(self, plan, printed):
        explain.print_plan(plan)
        assert re.findall(r"^ +(\d+)  (.+)$", printed[0], re.MULTILINE) == [
            (str(row["number"]), row["name"]) for row in plan.outline()[1:]
        ]

    def test_several_commands_are_as_many_lines(self, plan, printed):
        plan.outline()[0].update(op=None, shell="ip link set a up\nip link set b up")
        explain.print_plan(plan)
        lines = printed[0].splitlines()
        at = lines.index("            ip link set a up")
        assert lines[at + 1] == "            ip link set b up"

    def test_json(self, plan, printed):
        explain.print_plan(plan, "json")
        steps = json.loads(printed[0])
        assert [step["side"] for step in steps] == ["container"] * 3 + ["host"] * 4
        assert all(step["name"] and step["shell"] for step in steps)
        with pytest.raises(InvalidArgument, match="trace"):
            explain.print_plan(plan, "trace")
