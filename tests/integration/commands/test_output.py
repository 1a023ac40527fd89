"""What every command has in common: help, errors of one line, `info`, `version`; a full disk and a damaged record."""

from __future__ import annotations

import json
import re

import pytest

COMMANDS = (
    "run create start stop kill restart rm ps logs exec wait inspect commit import export "
    "images tag rmi info version explain volume"
).split()


class TestHelp:
    def test_names_every_command(self, mydocker):
        text = mydocker.ok("--help")
        assert [command for command in COMMANDS if not re.search(rf"\b{command}\b", text)] == []

    @pytest.mark.parametrize("command", COMMANDS)
    def test_of_a_command_is_on_stdout(self, mydocker, command):
        result = mydocker(command, "--help")
        assert (result.rc, result.stderr) == (0, "")
        assert "Usage" in result.stdout

    def test_no_command_at_all_shows_help(self, mydocker):
        result = mydocker.machine.run(mydocker.machine.program)
        assert "Usage" in result.stdout + result.stderr

    @pytest.mark.parametrize(
        "words", [["bogus"], ["--bogus"], ["ps", "--bogus"], ["volume", "bogus"], ["images", "-x"]]
    )
    def test_an_unknown_word_is_one_line_and_no_traceback(self, mydocker, words):
        assert words[-1].strip("-") in mydocker.fails(*words, rc=125)


class TestErrorsOnATerminal:
    def test_end_their_lines_at_blanks(self, mydocker):
        words = ("run", "-p", "99999", "busybox")
        line = mydocker.fails(*words)
        for columns in (40, 80):
            with mydocker.terminal(*words, columns=columns) as terminal:
                terminal.wait()
            shown = terminal.seen.splitlines()
            assert len(shown) > 1
            assert " ".join(shown) == line.rstrip("\n")
            assert [row for row in shown if len(row) > columns and " " in row] == []


def test_version(mydocker):
    assert re.search(r"\b\d+\.\d+\.\d+\b", mydocker.ok("--version"))
    assert re.search(r"\b\d+\.\d+\.\d+\b", mydocker.ok("version"))
    assert json.loads(mydocker.ok("version", "--format", "json"))


def test_info_says_which_driver_and_why(machine, mydocker):
    text = mydocker.ok("info")
    assert "overlay" in text
    assert machine.store in text
    assert json.loads(mydocker.ok("info", "--format", "json"))["Driver"] == "overlay"


class TestDrivers:
    def test_copy_works_where_it_is_asked_for(self, mydocker, machine, directory):
        """A store on an overlay file system, where overlay can't stand on overlay: `copy` is chosen by itself."""
        script = f"""
            set -e
            mkdir {directory}/low {directory}/up {directory}/work {directory}/merged
            mount --make-rprivate /
            cd {directory}
            mount -t overlay x -o lowerdir=low,upperdir=up,workdir=work merged
            export MYDOCKER_ROOT={directory}/merged/root MYDOCKER_RUN={directory}/merged/run
            {machine.program} info --format '{{{{.Driver}}}}'
            {machine.program} run --rm --net none busybox sh -c 'echo ran; rm /bin/ls'
            {machine.program} run --rm --net none busybox ls -d /tmp
            {machine.program} ps -aq
        """
        result = machine.run("unshare", "-m", "sh", "-c", script)
        assert (result.rc, result.lines) == (0, ["copy", "ran", "/tmp"]), result


class TestDamage:
    @pytest.fixture
    def damaged(self, machine, mydocker, name):
        """A container whose record is cut off half-way, as by a failing disk, and one that is whole beside it."""
        made = mydocker.ok("create", "--name", name, "busybox")
        mydocker.ok("create", "--name", f"{name}-whole", "busybox", "true")
        path = f"{machine.store}/lib/containers/{made}/record.json"
        machine.shell(f"head -c 40 {path} >{path}.cut && cp {path}.cut {path}")
        return name, path

    @pytest.mark.parametrize("command", ["inspect", "start", "logs", "stop", "rm"])
    def test_of_a_record_is_one_line_that_names_the_file(self, mydocker, damaged, command):
        name, path = damaged
        line = mydocker.fails(command, name, stdout="[]\n" if command == "inspect" else "")
        assert path in line
        assert "rm -f" in line

    def test_of_a_record_leaves_the_others_usable(self, mydocker, damaged):
        name, path = damaged
        listed = mydocker("ps", "-a")
        assert f"{name}-whole" in listed.stdout
        assert path in listed.stderr
        assert "Traceback" not in listed.stderr
        mydocker.ok("start", f"{name}-whole")

    def test_rm_f_removes_it(self, machine, mydocker, damaged):
        name, path = damaged
        mydocker.ok("rm", "-f", name)
        assert not machine.exists(path.rpartition("/")[0])

    @pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"schema": 99}', "\\377\\376", "[" * 5000])
    def test_of_any_kind_is_no_traceback(self, machine, mydocker, name, text):
        made = mydocker.ok("create", "--name", name, "busybox")
        path = f"{machine.store}/lib/containers/{made}/record.json"
        machine.run("sh", "-c", f'printf "$1" >{path}', "sh", text)
        assert path in mydocker.fails("inspect", name, stdout="[]\n")

    def test_of_the_image_index_is_one_line_that_names_it(self, machine, mydocker, directory):
        env = {"MYDOCKER_ROOT": directory, "MYDOCKER_RUN": f"{directory}/run"}
        mydocker.ok("run", "--net", "none", "--rm", "busybox", "true", env=env)
        machine.shell(f"echo '{{' >{directory}/images/index.json")
        assert f"{directory}/images/index.json" in mydocker.fails(
            "run", "--net", "none", "--rm", "busybox", "true", env=env
        )


class TestFullDisk:
    @pytest.fixture
    def small(self, machine, directory):
        """The environment of a store on a file system of 6 MB: the image fits, twice does not."""
        machine.run("mount", "-t", "tmpfs", "-o", "size=6m", "small", directory)
        yield {"MYDOCKER_ROOT": f"{directory}/root", "MYDOCKER_RUN": f"{directory}/run"}
        machine.run("umount", directory)

    def fill(self, machine, directory):
        machine.shell(f"dd if=/dev/zero of={directory}/filler bs=1k 2>/dev/null")

    def test_before_the_first_image(self, machine, mydocker, directory, small):
        self.fill(machine, directory)
        assert "space" in mydocker.fails("run", "--net", "none", "--rm", "busybox", "true", env=small)
        machine.run("rm", f"{directory}/filler")
        assert mydocker("run", "--net", "none", "--rm", "busybox", "echo", "again", env=small).stdout == "again\n"

    def test_before_a_container(self, machine, mydocker, directory, small):
        mydocker.ok("run", "--net", "none", "--rm", "busybox", "true", env=small)
        self.fill(machine, directory)
        assert "space" in mydocker.fails("run", "--net", "none", "--rm", "busybox", "true", env=small)
        machine.run("rm", f"{directory}/filler")
        assert machine.run("ls", f"{directory}/root/containers").stdout == ""
        assert mydocker("run", "--net", "none", "--rm", "busybox", "echo", "again", env=small).stdout == "again\n"

    def test_while_it_runs_nothing_is_lost(self, machine, mydocker, directory, small):
        """The container fills the disk with its own files: it ends as it would, and its end is recorded."""
        mydocker(
            "run", "--net", "none", "--name", "filler", "busybox", "sh", "-c", "cat /dev/zero >/big; exit 9", env=small
        )
        mydocker.machine.run("rm", "-rf", f"{directory}/filler")
        state = json.loads(mydocker.ok("inspect", "filler", env=small))[0]["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 9)
        mydocker.ok("rm", "filler", env=small)


@pytest.mark.parametrize("columns", [80, 0], ids=["80 columns", "a width that it does not know"])
def test_no_escape_sequence_reaches_a_terminal(mydocker, name, columns):
    evil = "\x1b]0;evil\x07\x9b2J"
    mydocker.ok("create", "--name", name, "--label", f"k={evil}", "--env", f"E={evil}", "busybox", "echo", evil)
    mydocker.ok("volume", "create", "--label", f"k={evil}", f"{name}-v")
    mydocker.ok("network", "create", "--label", f"k={evil}", f"{name}-n")
    label = '{{index .Config.Labels "k"}}'
    try:
        for words in (
            ["ps", "-a"], ["ps", "-a", "--no-trunc"], ["ps", "-a", "--format", "{{.Command}} {{.Labels}}"],
            ["ps", "-a", "--format", 'table {{.Label "k"}}'], ["ps", "-a", "--format", "json"], ["inspect", name],
            ["inspect", "--format", label, name], ["inspect", "--format", "{{.Config.Env}}", name],
            ["inspect", "--format", "{{json .Config}}", name], ["inspect", "--format", "json", name],
            ["inspect", "--format", '{{index .Labels "k"}}', f"{name}-v"], ["volume", "ls", "--format", "{{.Labels}}"],
            ["network", "inspect", "--format", '{{index .Labels "k"}}', f"{name}-n"], ["network", "ls", "--no-trunc"],
            ["network", "ls", "--format", "{{.Labels}}"], ["logs", evil], ["volume", "rm", evil],
            ["network", "rm", evil], ["run", "--dry-run", "--label", evil, "busybox", "echo", evil],
        ):  # fmt: skip
            with mydocker.terminal(*words, columns=columns) as terminal:
                terminal.wait()
                assert terminal.seen.strip(), words
                shown = re.sub("\x1b\\[[0-9;]*m", "", terminal.seen)  # the colours of --dry-run
                assert not {"\x1b", "\x07", "\x9b"} & set(shown), (words, shown)
        # For a program they are what they are, as docker has them.
        assert mydocker.ok("inspect", "--format", label, name) == evil
    finally:
        mydocker("volume", "rm", f"{name}-v")
        mydocker("network", "rm", f"{name}-n")
