"""The benchmark's arithmetic, and what it shows: no contestant runs."""

from __future__ import annotations

from types import SimpleNamespace
from xml.etree import ElementTree

import anatomy
import bench
import cases
import peers
import pytest
import report
import svg
from sitting import Row, Sitting

NAMES = ["mydocker", "docker", "podman"]


def row(**values):
    return Row("case", "run <it>", "ms", {"docker": 0.2, "podman": 0.1}, values=values)


MEASURED = row(mydocker=[0.03, 0.01, 0.02], docker=[0.2, 0.2], podman=[0.1])


def peer(name, log, fails=()):
    """A contestant whose actions are logged, and that fails in some of its turns."""

    def act():
        log.append(name)
        if log.count(name) in fails:
            raise peers.Failure("broken")
        return [float(log.count(name))]

    return SimpleNamespace(name=name, act=act, clear=lambda: None)


def test_cost_is_the_ratio_of_medians():
    assert MEASURED.median("mydocker") == pytest.approx(20)
    assert MEASURED.cost("docker") == pytest.approx(0.1)
    assert MEASURED.cost("crun") is None
    assert row(mydocker=[1.0], docker=[0.0]).cost("docker") is None


def test_cost_where_more_is_better():
    throughput = Row("case", "what", "Gbit/s", values={"mydocker": [10e9], "docker": [20e9]})
    assert throughput.cost("docker") == pytest.approx(2)


def test_growth_is_judged_against_the_other_row():
    grown = Row("case", "among many", "ms", base=MEASURED, growth=1.2, values={"mydocker": [0.03]})
    assert grown.verdicts() == [("run <it>", pytest.approx(1.5), 1.2)]
    assert report.missed([grown]) == ["among many: run <it> 1.50 (at most 1.20: NOT MET)"]


def test_missed_targets():
    assert report.missed([MEASURED]) == ["run <it>: podman 0.20 (at most 0.10: NOT MET)"]
    assert report.missed([row(mydocker=[0.01], docker=[1.0], podman=[1.0])]) == []


def test_table_has_a_column_a_contestant_and_tells_why_one_is_empty():
    failed = row(mydocker=[0.03], docker=[0.2])
    failed.missing["podman"] = "not installed"
    lines = report.table([MEASURED, failed], NAMES).splitlines()
    assert lines[1].split()[:6] == ["run", "<it>,", "ms", "20.0", "200", "100"]
    assert lines[2].split()[3:6] == ["30.0", "200", "n/a"]
    assert report.reasons([MEASURED, failed]) == ["n/a: podman, run <it>: not installed"]


def test_turns_alternate_and_a_failure_ends_the_case_for_one():
    log = []
    everyone = [peer("mydocker", log), peer("docker", log, fails=(2,))]
    sitting = Sitting(everyone, {"podman": "absent", "crun": "absent too"}, rounds=3)

    def engines(s):
        s.measure("engines", "ms", lambda one: one.act())
        assert log == ["mydocker", "docker", "docker", "mydocker", "mydocker"]

    def bare(s):
        s.measure("bare", "ms", lambda one: one.act(), bare=True)

    sitting.play({"first": lambda s: (engines(s), bare(s)), "second": bare})
    first, same_case, second = sitting.rows
    assert first.values == {"mydocker": [1.0, 2.0, 3.0], "docker": [1.0]}
    assert first.missing == {"podman": "absent"}
    assert same_case.missing == {"podman": "absent", "crun": "absent too", "docker": "broken"}
    assert second.missing == {"podman": "absent", "crun": "absent too"}
    assert len(second.values["docker"]) == 3


def test_a_case_that_breaks_off_is_noted_and_the_next_one_runs():
    def broken(s):
        raise OSError("no space")

    sitting = Sitting([peer("mydocker", [])], {}, rounds=1)
    sitting.play({"first": broken, "second": lambda s: s.measure("what", "ms", lambda one: one.act())})
    assert sitting.notes == ["first broke off: no space"]
    assert [row.case for row in sitting.rows] == ["second"]


def test_a_row_without_a_figure_of_ours_meets_no_target():
    failed = row(docker=[0.2])
    failed.missing["mydocker"] = "broken"
    assert report.missed([failed]) == ["run <it>: no figure"]


def test_picture_is_xml_with_a_bar_a_figure():
    failed = row(mydocker=[0.03], docker=[0.2])
    failed.missing["podman"] = "a <bad> day"
    root = ElementTree.fromstring(svg.picture([MEASURED, failed], NAMES, "a & b"))
    texts = [node.text for node in root.iter() if node.tag.endswith("text")]
    assert texts.count("run <it>") == 2
    assert "n/a: podman: a <bad> day" in texts
    assert f"0.10 {svg.TIMES} docker, at most 0.20: met" in texts
    assert f"0.20 {svg.TIMES} podman, at most 0.10: missed" in texts
    titled = [node for node in root.iter() if node.tag.endswith("rect") and len(node)]
    assert len(titled) == 5


def test_limit_of_a_bar_is_the_strictest_target():
    assert svg.limit(MEASURED) == pytest.approx(10)  # a tenth of podman's 100 ms, not a fifth of docker's 200
    assert svg.limit(Row("case", "what", "ms", values={"mydocker": [1.0]})) is None


def test_files_of_an_image_are_the_same_every_time():
    first, second = dict(cases.files(25_000_000)), dict(cases.files(25_000_000))
    assert first == second
    assert sum(map(len, first.values())) == 25_000_000
    assert len({len(data) for data in first.values()}) == 3  # small ones, big ones, and the last big one


def test_every_case_tells_what_it_does_in_one_line():
    assert all(case.__doc__ and "\n" not in case.__doc__ for case in bench.CASES.values())


def test_imports_add_up():
    text = (
        "import time: self [us] | cumulative | imported package\nimport time:       334 |        490 |     os\nhello\n"
    )
    assert anatomy.imports(text) == {"os": pytest.approx(0.334)}
    assert anatomy.by_median([{"os": 1.0, "sys": 3.0}, {"os": 2.0}]) == [("sys", 3.0), ("os", 1.5)]


def test_phases_are_topics_or_single_steps():
    steps = [
        {"side": "host", "section": "cgroup", "name": "one", "start": 0, "end": 10**6},
        {"side": "host", "section": "cgroup", "name": "two", "start": 0, "end": 10**6},
        {"side": "host", "section": "", "name": "fork", "start": 0, "end": 3 * 10**6},
    ]
    assert anatomy.spent(steps) == {"host: cgroup": 2.0, "host: fork": 3.0}


def test_capabilities_are_bits():
    status = "Name:\tpython3\nCapPrm:\t0000000000000000\nCapEff:\t000001fffeffffff\n"
    assert not peers.has_capability(status, peers.CAP_SYS_RESOURCE)
    assert peers.has_capability(status, 21)
