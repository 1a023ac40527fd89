"""The packages agree with the program: versions, configuration, units, dependencies, and what is in a manual page."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from mydocker import __version__, config, paths
from mydocker.generated.fasttable import ALIASES, COMMANDS

ROOT = Path(__file__).parents[2]
FILES = ("mydocker", "_mydocker", "mydocker.fish")


def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def commandline():
    """The command line by script/commandline.py, which its neighbours import."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "script"))
        yield runpy.run_path(str(ROOT / "script/commandline.py"))["commands"]()


@pytest.fixture(scope="module")
def pages(commandline):
    """Command's words -> its manual page."""
    render = runpy.run_path(str(ROOT / "script/make-man"))["render"]
    return {command.words: Page(render(command, commandline)) for command in commandline}


class Page(str):
    """A page as readers see it: no fonts, no escapes. roff: the page itself."""

    def __new__(cls, roff):
        page = super().__new__(cls, re.sub(r"\\f[BIR]|\\&", "", roff).replace("\\-", "-").replace("\\e", "\\"))
        page.roff = roff
        return page


class TestVersions:
    def test_debian_changelog(self):
        assert re.match(r"mydocker \((.*)\) ", text("debian/changelog"))[1] == __version__

    def test_rpm_spec(self):
        assert re.search(r"(?m)^Version: (.*)$", text("packaging/rpm/mydocker.spec"))[1] == __version__


class TestConfiguration:
    @pytest.fixture
    def commented(self):
        """Every `#key: value` line."""
        return dict(re.findall(r"(?m)^#(\w+): (.*)$", text("packaging/config.yaml")))

    def test_every_key_is_there_and_no_other(self, commented):
        assert commented.keys() == config.KEYS.keys()

    def test_each_key_has_its_default_and_its_description(self, commented):
        for key, (default, about) in config.KEYS.items():
            assert commented[key] == (str(default) or '""')
            assert f"# {about}\n#{key}: " in text("packaging/config.yaml")

    def test_as_it_is_it_says_nothing(self):
        assert all(line.startswith("#") for line in text("packaging/config.yaml").splitlines() if line)

    def test_without_comment_signs_it_sets_the_defaults(self, tmp_path, monkeypatch):
        active = re.sub(r"(?m)^#(?=\w+:)", "", text("packaging/config.yaml"))
        (tmp_path / "config.yaml").write_text(active)
        monkeypatch.setattr(paths, "CONFIG", str(tmp_path / "config.yaml"))
        assert config._compile() == {key: default for key, (default, _) in config.KEYS.items()}


class TestDependencies:
    def test_the_rpm_brings_what_pip_would_allow(self):
        """Each pinned and with its hash; and what pyproject.toml asks for is there, in its bounds."""
        lines = [line for line in text("packaging/rpm/requirements.txt").splitlines() if not line.startswith("#")]
        pinned = dict(
            re.fullmatch(r"([a-z0-9-]+)==([\d.]+) --hash=sha256:[0-9a-f]{64}", line).groups() for line in lines
        )
        for wanted in re.findall(r'"([^"]+)"', re.search(r"(?m)^dependencies = (.*)$", text("pyproject.toml"))[1]):
            name, bounds = re.match(r"([\w-]+)(.*)", wanted).groups()
            version = number(pinned[name.lower()])
            for relation, bound in re.findall(r"(>=|<)([\d.]+)", bounds):
                assert version >= number(bound) if relation == ">=" else version < number(bound)

    @pytest.mark.parametrize("name", ["typer", "pyroute2"])
    def test_the_debs_bounds_are_pips(self, name):
        (bounds,) = re.findall(rf'"{name}([<>][^"]+)"', text("pyproject.toml"))
        package = text("debian/control").partition("\nPackage: ")[2]
        deb = re.findall(rf"python3-{name} \((>=|<<) ([\d.]+)\)", package)
        assert [f"{relation.replace('<<', '<')}{version}" for relation, version in deb] == bounds.split(",")


def number(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def test_the_set_up_lines_of_readme_are_those_tried_on_fresh_machines():
    readme = text("README.md")
    install, first, *_ = re.findall(r"(?ms)^```sh\n(.*?)^```", readme)
    tried = re.search(r'(?s)\nLINES="(.*?)"\n', text("script/fresh"))[1].replace(" $TESTS", "").replace(" -y ", " ")
    assert tried.splitlines() == ["script/demo", "script/test", *install.splitlines(), first.splitlines()[0]]
    assert "`script/demo`" in readme
    assert "`script/test`" in readme


class TestUnit:
    @pytest.mark.parametrize("key", ["ExecStart", "ExecStop"])
    def test_it_calls_a_command_that_is_there(self, key):
        program, *words = re.search(rf"(?m)^{key}=(.*)$", text("packaging/systemd/mydocker.service"))[1].split()
        assert program == "/usr/bin/mydocker"
        assert tuple(words) in COMMANDS

    def test_removal_calls_one_with_an_option_that_is_there(self):
        for script in "debian/mydocker.prerm", "packaging/rpm/mydocker.spec":
            assert re.search(r"(?m)^ *mydocker system shutdown --networks \|\| (true|:)$", text(script))
        assert "--networks" in COMMANDS["system", "shutdown"][3]

    def test_what_it_makes_early_is_where_mydocker_looks(self):
        made = re.findall(r"(?m)^d (\S+) 0700 root root -$", text("packaging/tmpfiles.d/mydocker.conf"))
        assert made == ["/var/lib/mydocker", "/run/mydocker"]


class TestManual:
    def test_every_command_has_a_page(self, pages):
        groups = {path[:-1] for path in COMMANDS}
        assert pages.keys() == COMMANDS.keys() | groups

    @pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
    def test_it_has_every_option_and_positional(self, pages, path):
        _, positionals, _, names = COMMANDS[path]
        heads = [line for before, line in zip(pages[path].split("\n"), pages[path].split("\n")[1:]) if before == ".TP"]
        listed = {name for head in heads for name in re.findall(r"(?:^|, )(--?[\w-]+)", head)}
        assert listed == set(names)
        usage = re.search(rf"\n\.SH SYNOPSIS\nmydocker {' '.join(path)}(.*)\n", pages[path])[1]
        assert len(usage.replace("[OPTION...]", "").split()) >= len(positionals)

    def test_the_first_page_lists_every_command(self, pages):
        listed = re.findall(r"(?m)^mydocker-([\w-]+)\(1\)$", pages[()])
        assert sorted(listed) == sorted("-".join(path) for path in COMMANDS)

    def test_the_first_page_has_every_key_of_the_configuration(self, pages):
        section = pages[()].partition(".SH CONFIGURATION")[2].partition(".SH ")[0]
        assert re.findall(r"\.TP\n(\w+)\n", section) == list(config.KEYS)

    def test_every_page_has_its_name_and_no_line_that_roff_would_misread(self, pages):
        for words, page in pages.items():
            assert f".SH NAME\n{'-'.join(('mydocker', *words))} - " in page
            orders = {line.split()[0] for line in page.roff.splitlines() if line.startswith((".", "'"))}
            assert orders <= {".TH", ".SH", ".SS", ".TP", ".PP", ".nf", ".fi"}


class TestCompletions:
    @pytest.fixture(scope="class")
    def written(self, tmp_path_factory, commandline):
        directory = tmp_path_factory.mktemp("completions")
        runpy.run_path(str(ROOT / "script/make-completions"))["main"](str(directory))
        return {name: (directory / name).read_text() for name in FILES}

    @pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
    def test_every_shell_is_told_every_option(self, written, path):
        names = [*COMMANDS[path][3], "--help"]
        words = " ".join(path)
        bash = re.search(rf"(?m)^ +'{words}'\)\n(?:.*\n)*?.*;;$", written["mydocker"])[0]
        assert all(re.search(rf"[ ']{name}[ :']", bash) for name in names)
        zsh = re.search(rf"(?m)^_mydocker_{'_'.join(path)}\(\) {{\n(?:.*\n)*?}}$", written["_mydocker"])[0]
        assert all(re.search(rf"['{{,)*]{name}[=+[,}}]", zsh) for name in names)
        lines = re.findall(rf"(?m)^complete -c mydocker -n '__mydocker_at {words}[;'].*$", written["mydocker.fish"])
        fish = "\n".join(lines)
        assert all(f" -{'l' if name[1] == '-' else 's'} {name.lstrip('-')} " in fish for name in names)

    def test_second_spellings_are_not_in_the_page(self, written):
        for path in ALIASES:
            assert f"'{' '.join(path)}'" not in written["mydocker"]
