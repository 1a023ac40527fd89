"""The two ways from argv to (verb, params): the fast parser by its table, and Typer on the normalised words."""

from __future__ import annotations

import contextlib
import io
import re
import sys

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from mydocker import __version__
from mydocker.cli import app, fastargs
from mydocker.cli.normalize import normalize
from mydocker.errors import InvalidArgument
from mydocker.generated.fasttable import ALIASES, COMMANDS

ROOT = app.command_line()
USAGE_ERROR = typer.BadParameter.__base__
HELP = "help"


@pytest.fixture(autouse=True, scope="module")
def captured():
    """Typer's commands hand on nothing, but return what they would."""
    with pytest.MonkeyPatch.context() as patch:
        for name, module in sys.modules.items():
            if name.startswith("mydocker.cli.declare.") and hasattr(module, "dispatch"):
                patch.setattr(module, "dispatch", lambda verb, params: (verb, dict(params)))
        yield


def by_typer(words):
    """(verb, params), HELP, or None for a usage error."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), ROOT.make_context("mydocker", list(words)) as context:
            return ROOT.invoke(context)
    except typer.Exit as done:
        return HELP if done.exit_code == 0 else None
    except USAGE_ERROR:
        return None


def by_full_command_line(argv):
    try:
        return by_typer(normalize(argv))
    except InvalidArgument:
        return None


def params(*argv):
    """The differences from the params of the bare command, both ways."""
    verb, fast = fastargs.parse(list(argv))
    assert by_full_command_line(list(argv)) == (verb, fast)
    absent = {**COMMANDS[tuple(verb.split())][2], **dict.fromkeys(fastargs.ON, True)}
    return {key: value for key, value in fast.items() if key not in absent or absent[key] != value}


class TestSpellings:
    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ("--name x", {"name": "x"}),
            ("--name=x", {"name": "x"}),
            ("-name x", {"name": "x"}),
            ("-name=x", {"name": "x"}),
            ("--name=", {"name": ""}),
            ("--name --rm", {"name": "--rm"}),
            ("--name=a --name b", {"name": "b"}),
            ("-mem 100m", {"memory": "100m"}),
            ("-mem=100m", {"memory": "100m"}),
            ("--mem 100m", {"memory": "100m"}),
            ("-m 100m", {"memory": "100m"}),
            ("-m100m", {"memory": "100m"}),
            ("-m=100m", {"memory": "100m"}),
            ("-cpuset 0", {"cpuset_cpus": "0"}),
            ("-cpushare 512", {"cpu_shares": "512"}),
            ("-net none", {"network": ["none"]}),
            ("--net=host", {"network": ["host"]}),
            ("--memory-swap -1", {"memory_swap": "-1"}),
            ("-ti", {"tty": True, "interactive": True}),
            ("-it", {"tty": True, "interactive": True}),
            ("-dit", {"detach": True, "tty": True, "interactive": True}),
            ("-itd", {"detach": True, "tty": True, "interactive": True}),
            ("-ti=true", {"tty": True, "interactive": True}),
            ("-t -i=0", {"tty": True}),
            ("-ti=false", {"tty": True}),
            ("-it=0", {"interactive": True}),
            ("--sig-proxy --disable-content-trust=true", {"disable_content_trust": True}),
            ("--sig-proxy=false -a stdin -a=stdout", {"sig_proxy": False, "attach": ["stdin", "stdout"]}),
            ("--no-healthcheck=false", {}),
            ("--explain", {"explain": True}),
            ("--explain=true", {"explain": True}),
            ("--log-driver json-file --pull=never", {"log_driver": "json-file", "pull": "never"}),
            ("-d=true", {"detach": True}),
            ("-d=F", {}),
            ("--rm --rm=false", {}),
            ("-rm=T", {"rm": True}),
            ("-detach", {"detach": True}),
            ("-v a:b", {"volume": ["a:b"]}),
            ("-v=a:b", {"volume": ["a:b"]}),
            ("-v/a:/b", {"volume": ["/a:/b"]}),
            ("-itv a:b", {"tty": True, "interactive": True, "volume": ["a:b"]}),
            ("-itv=a:b", {"tty": True, "interactive": True, "volume": ["a:b"]}),
            ("-itv/a:/b", {"tty": True, "interactive": True, "volume": ["/a:/b"]}),
            ("-v a:b --volume c:d -v=e:f", {"volume": ["a:b", "c:d", "e:f"]}),
            ("-e A=1 -eB=2 -e=C=3", {"env": ["A=1", "B=2", "C=3"]}),
            ("-e A", {"env": ["A"]}),
            (
                "-uroot -hweb -wsrv -itebird=1",
                {
                    "user": "root",
                    "hostname": "web",
                    "workdir": "srv",
                    "tty": True,
                    "interactive": True,
                    "env": ["bird=1"],
                },
            ),
            ("-usrv -mb", {"user": "srv", "memory": "b"}),
            ("-u 0:0 -w/tmp", {"user": "0:0", "workdir": "/tmp"}),
            ("-env-file f", {"env_file": ["f"]}),
            ("--", {}),
        ],
    )
    def test_of_options(self, words, expected):
        found = params("run", *words.split(), "busybox", "sh")
        assert found.pop("image_and_command") == ["busybox", "sh"]
        assert found == expected

    @pytest.mark.parametrize("word", ["1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"])
    def test_of_booleans(self, word):
        assert ("rm" in params("run", f"--rm={word}", "x")) == (word in ("1", "t", "T", "TRUE", "true", "True"))

    @pytest.mark.parametrize(
        ("argv", "expected"),
        [
            ("stop a -t 5 b", {"containers": ["a", "b"], "time": "5"}),
            ("stop --timeout 5 a", {"containers": ["a"], "time": "5"}),
            ("rm a -f -- -v", {"containers": ["a", "-v"], "force": True}),
            ("logs x -f -n5", {"container": "x", "follow": True, "tail": "5"}),
            ("logs x -nall", {"container": "x", "tail": "all"}),
            ("login -upit -pword", {"server": None, "username": "pit", "password": "word"}),
            ("exec -t bird sh -c ls", {"container": "bird", "command": ["sh", "-c", "ls"], "tty": True}),
            ("ps -aq", {"all": True, "quiet": True}),
            ("ps -l", {"latest": True}),
            ("commit a", {"container": "a", "image": None}),
            ("commit -p a b", {"container": "a", "image": "b"}),
            ("commit --pause=false a", {"container": "a", "image": None, "pause": False}),
            ("rmi --no-prune x", {"images": ["x"], "no_prune": True}),
            ("volume create -d local x", {"volume": "x", "driver": "local"}),
            ("commit a b", {"container": "a", "image": "b"}),
            ("import - x", {"file": "-", "image": "x"}),
            ("container ls -a", {"all": True}),
            ("image rm x", {"images": ["x"]}),
            ("volume list -q", {"quiet": True}),
            ("version", {}),
        ],
    )
    def test_of_other_commands(self, argv, expected):
        assert params(*argv.split()) == expected

    @pytest.mark.parametrize("command", ["run", "create", "exec"])
    @given(words=st.lists(st.one_of(st.text(), st.sampled_from(["-name", "--rm", "-it", "--", "-", "\udcff\udc80"]))))
    def test_the_containers_command_is_never_touched(self, command, words):
        _, fast = fastargs.parse([command, "-t", "x", "sh", *words])
        assert [word for key in ("container", "command", "image_and_command") for word in _listed(fast.get(key))] == [
            "x",
            "sh",
            *words,
        ]
        assert by_full_command_line([command, "-t", "x", "sh", *words])[1] == fast


def _listed(value):
    return [] if value is None else [value] if isinstance(value, str) else value


def test_a_flag_that_takes_a_word():
    """Only the fast parser reads it; the full command line gets the bare flag, for its errors."""
    for words, value in (("=all", "all"), ("=all --explain=false", False), ("=all -explain", True)):
        _, found = fastargs.parse(["run", *f"--explain{words}".split(), "busybox"])
        assert found["explain"] == value
    with pytest.raises(InvalidArgument, match="no command or image given"):
        app.run(["run", "--explain=all"])


class TestErrors:
    @pytest.mark.parametrize(
        ("argv", "line"),
        [
            ("run --foo x", "unknown flag: --foo (see 'mydocker run --help')"),
            ("run --nmae=x y", "unknown flag: --nmae (did you mean '--name'? see 'mydocker run --help')"),
            ("run -nmae x y", "unknown flag: -nmae (did you mean '--name'? see 'mydocker run --help')"),
            ("run -memroy 1 y", "unknown flag: -memroy (did you mean '--memory'? see 'mydocker run --help')"),
            ("run -memroy=1 y", "unknown flag: -memroy (did you mean '--memory'? see 'mydocker run --help')"),
            ("run -detahc y", "unknown flag: -detahc (did you mean '--detach'? see 'mydocker run --help')"),
            ("run -ent sh y", "unknown flag: -ent (did you mean '--env'? see 'mydocker run --help')"),
            ("run -hepl y", "unknown flag: -hepl (did you mean '--help'? see 'mydocker run --help')"),
            ("login -passwrod x", "unknown flag: -passwrod (did you mean '--password'? see 'mydocker login --help')"),
            ("run --bogus y", "unknown flag: --bogus (see 'mydocker run --help')"),
            ("run --xy y", "unknown flag: --xy (see 'mydocker run --help')"),
            ("run --vol a:/b y", "unknown flag: --vol (did you mean '--volume'? see 'mydocker run --help')"),
            (
                "run --memroy-swp 1 y",
                "unknown flag: --memroy-swp (did you mean '--memory-swap'? see 'mydocker run --help')",
            ),
            ("run -itx y", "unknown flag: -itx (see 'mydocker run --help')"),
            ("run -it5 y", "unknown flag: -it5 (see 'mydocker run --help')"),
            ("run -=x y", "unknown flag: - (see 'mydocker run --help')"),
            ("run --=x y", "unknown flag: -- (see 'mydocker run --help')"),
            ("run ---rm y", "unknown flag: ---rm (did you mean '--rm'? see 'mydocker run --help')"),
            ("run --name", "flag needs an argument: --name (see 'mydocker run --help')"),
            ("run -itv", "flag needs an argument: -v (see 'mydocker run --help')"),
            ("run --rm=maybe x", "invalid argument 'maybe' for flag --rm (true or false)"),
            ("run -ti=maybe x", "invalid argument 'maybe' for flag -i (true or false)"),
            ("run --explain=some x", "invalid argument 'some' for flag --explain (true or false or all)"),
            ("run --rm=all x", "invalid argument 'all' for flag --rm (true or false)"),
            (
                "create --disable-content-trust=0 x",
                "--disable-content-trust=false is not supported (mydocker verifies no signatures)",
            ),
            ("ps -all", "ambiguous flag: -all ('--all', or each letter by itself)"),
            ("atach x", "unknown command: 'atach' (see 'mydocker --help')"),
            ("strat x", "unknown command: 'strat' (did you mean 'start'? see 'mydocker --help')"),
            ("vresion", "unknown command: 'vresion' (did you mean 'version'? see 'mydocker --help')"),
            ("stopp x", "unknown command: 'stopp' (see 'mydocker --help')"),
            ("inspection x", "unknown command: 'inspection' (see 'mydocker --help')"),
            ("volume lss", "unknown command: 'volume lss' (did you mean 'ls'? see 'mydocker volume --help')"),
            ("--foo ps", "unknown flag: --foo (see 'mydocker --help')"),
            ("volume --foo", "unknown flag: --foo (see 'mydocker volume --help')"),
            ("help strat", "unknown command: 'strat' (did you mean 'start'? see 'mydocker --help')"),
            ("run", "no command or image given (usage: mydocker run [OPTIONS] [IMAGE] [COMMAND] [ARG...])"),
            ("run -it --", "no command or image given (usage: mydocker run [OPTIONS] [IMAGE] [COMMAND] [ARG...])"),
            ("stop", "no container given (usage: mydocker stop [OPTIONS] CONTAINER...)"),
            ("exec", "no container given (usage: mydocker exec [OPTIONS] CONTAINER COMMAND [ARG...])"),
            ("exec x", "no command given (usage: mydocker exec [OPTIONS] CONTAINER COMMAND [ARG...])"),
            ("ps x", "got unexpected extra argument (x) (usage: mydocker ps [OPTIONS])"),
            ("container ls x", "got unexpected extra argument (x) (usage: mydocker container ls [OPTIONS])"),
            ("export x y", "got unexpected extra argument (y) (usage: mydocker export [OPTIONS] CONTAINER)"),
        ],
    )
    def test_are_one_line_with_a_hint(self, argv, line):
        assert fastargs.parse(argv.split()) is None
        with pytest.raises(InvalidArgument) as caught:
            app.run(argv.split())
        # Typer 0.26 and later say "argument(s)", 0.29 also puts braces around names, and dots behind the last.
        said = re.sub(r"\(s\)|[{}]", "", str(caught.value))
        assert re.sub(r"(\.\.\.\]?)\.\.\.\)$", r"\1)", said) == line
        assert caught.value.exit_code == 125

    @pytest.mark.parametrize(
        ("argv", "says"),
        [
            ("search nginx", "'skopeo list-tags docker://NAME'"),
            ("swarm init", "one host"),
            ("run --gpus all busybox", "'--device PATH'"),
            ("run -gpus=all busybox", "'--device PATH'"),
            ("run -link bird busybox", "find each other by name"),
            ("container create --gpus=all busybox", "'--device PATH'"),
            ("network create --attachable x", "every container may join"),
            ("-H tcp://x ps", "no daemon"),
            ("--debug ps", "MYDOCKER_DEBUG=1"),
        ],
    )
    def test_know_dockers_own_words(self, argv, says):
        with pytest.raises(InvalidArgument) as caught:
            app.run(argv.split())
        assert caught.value.message.startswith(("unknown command: ", "unknown flag: "))
        assert caught.value.hint.startswith("docker has it, mydocker does not (yet)")
        assert says in caught.value.hint
        assert "did you mean" not in caught.value.hint

    @pytest.mark.parametrize(
        ("argv", "says"),
        [
            ("imges", "did you mean 'images'? see"),
            ("contaner ls", "did you mean 'container'? see"),
            ("serch nginx", "did you mean 'search'? docker has it"),
            ("run --gpu all x", "did you mean '--gpus'? docker has it"),
            ("volume pruen", "did you mean 'prune'? see"),
            ("connect a b", "it stands behind a group: 'network connect'"),
            (
                "prune",
                "it stands behind a group: 'container prune', 'image prune', 'builder prune'",
            ),
        ],
    )
    def test_guess_at_a_command_a_group_or_dockers_word(self, argv, says):
        with pytest.raises(InvalidArgument) as caught:
            app.run(argv.split())
        assert says in caught.value.hint

    @pytest.mark.parametrize("path", [(), ("volume",), ("network",), ("container",), ("image",)])
    @given(data=st.data())
    def test_suggest_a_command_that_changes_something_only_for_swapped_letters(self, path, data):
        """`top` is not `stop`, nor `rn` `rm`: no other word is taken for a command that does anything."""
        harmless = {"ps", "logs", "inspect", "images", "port", "wait", "info", "version", "explain", "netmap", "ls",
                    "list", "check", "export"}  # fmt: skip
        doing = {found[-1] for found in (*COMMANDS, *ALIASES) if found[:-1] == path} - harmless
        known = data.draw(st.sampled_from(sorted(doing)))
        place = data.draw(st.integers(0, len(known) - 1))
        new = data.draw(st.sampled_from(["", "s", "t", known[place] * 2]))
        word = known[:place] + new + known[place + 1 :]
        if (*path, word) in {*COMMANDS, *ALIASES} or not word:
            return
        with pytest.raises(InvalidArgument) as caught:
            normalize([*path, word])
        if "did you mean" in caught.value.hint:
            guess = caught.value.hint.split("'")[1]
            assert guess not in doing or sorted(guess) == sorted(word)

    def test_a_group_and_its_command_in_one_word_are_no_command(self):
        assert fastargs.parse(["volume ls"]) is None
        with pytest.raises(InvalidArgument, match="unknown command: 'volume ls'"):
            app.run(["volume ls"])

    def test_the_only_ambiguous_word(self):
        """If a new option makes another word ambiguous, choose another name for it."""
        found = set()
        for path, command in COMMANDS.items():
            for long in (name for name in command[3] if name.startswith("--")):
                with contextlib.suppress(InvalidArgument):
                    fastargs.scan(command, [f"{long[1:]}=true"])
                    continue
                found.add((*path, long[1:]))
        assert found == {("ps", "-all"), ("run", "-ip"), ("create", "-ip")}


class TestHelp:
    @pytest.mark.parametrize(
        ("argv", "path"),
        [
            ("", ()),
            ("help", ()),
            ("--help", ()),
            ("-h", ()),
            ("volume", ("volume",)),
            ("volume --help", ("volume",)),
            ("help volume rm", ("volume", "rm")),
            ("help run busybox", ("run",)),
            ("run --help", ("run",)),
            ("run -help", ("run",)),
            ("run -it --help x", ("run",)),
            ("ps -h", ("ps",)),
            ("ps --foo=1 --help", None),
        ],
    )
    def test_is_asked_for(self, argv, path):
        assert fastargs.parse(argv.split()) is None
        if path is None:
            with pytest.raises(InvalidArgument):
                normalize(argv.split())
        else:
            assert normalize(argv.split()) == [*path, "--help"]

    def test_after_the_image_is_the_containers(self):
        assert params("run", "x", "--help")["image_and_command"] == ["x", "--help"]
        assert params("run", "-h", "x", "y") == {"hostname": "x", "image_and_command": ["y"]}

    @pytest.mark.parametrize("path", [(), ("volume",), ("container",), ("image",), *COMMANDS, *ALIASES], ids=" ".join)
    def test_of_everything_is_plain_text(self, path, capsys):
        assert app.run([*path, "--help"]) == 0
        text = capsys.readouterr().out
        assert text.startswith(f"Usage: mydocker {' '.join(path)}".rstrip())
        assert max(map(len, text.splitlines())) <= 80
        names = COMMANDS.get(ALIASES.get(path, path), (0, 0, 0, {}))[3]
        assert [name for name in names if name not in text] == []
        assert text.isascii()

    def test_of_all_lists_every_command_once(self, capsys):
        app.run([])
        rows = [line.strip() for line in capsys.readouterr().out.splitlines()]
        for path in COMMANDS:
            assert len([row for row in rows if row.startswith(f"{' '.join(path)} ")]) == 1, path

    @pytest.mark.parametrize("group", ["builder", "container", "image", "network", "volume", "system"])
    def test_of_a_group_has_one_list_of_commands(self, group, capsys):
        assert app.run([group]) == 0
        titles = [line for line in capsys.readouterr().out.splitlines() if line.endswith(":") and line[0] != " "]
        assert titles == ["Commands:", "Options:"]

    @pytest.mark.parametrize("word", ["--version", "-v", "-version"])
    def test_version(self, word, capsys):
        assert app.run([word]) == 0
        assert capsys.readouterr().out == f"mydocker version {__version__}\n"


TEXT = st.one_of(
    st.sampled_from(["", "-", "a", "a b", "a=b", "-1", "--rm", "-x", "busybox", "true", "\n", "'", "é", "\udcff"]),
    st.text(max_size=5),
)
BOOLEAN = st.sampled_from(["true", "false", "1", "0", "T", "F", "True", "FALSE", "yes", ""])


def kind(command, name):
    return command[2][command[3][name]]


@st.composite
def words(draw, command):
    """An option in any spelling; most are valid."""
    name = draw(st.sampled_from(sorted(command[3]) or ["--none"]))
    shorts = [name[1] for name in command[3] if len(name) == 2]
    flags = [letter for letter in shorts if kind(command, f"-{letter}") is False]
    cluster = "-" + "".join(draw(st.lists(st.sampled_from(flags or ["x"]), min_size=1, max_size=3)))
    form = draw(st.sampled_from(["plain", "plain", "one dash", "cluster", "cluster with value", "attached", "noise"]))
    if form == "noise":
        return [draw(TEXT | st.text("-=abehimtv", max_size=6))]
    if form == "cluster":
        return [cluster + draw(st.sampled_from(["", "=true", "=false", "=x"]))]
    if form == "cluster with value":
        return [cluster + draw(st.sampled_from(shorts or ["x"])), draw(TEXT)]
    if form == "attached":
        return [f"-{draw(st.sampled_from(shorts or ['x']))}{draw(TEXT)}"]
    if form == "one dash" and len(name) > 2:
        name = name[1:]
    flag = name not in command[3] or kind(command, name) is False
    if draw(st.booleans()):
        return [f"{name}={draw(BOOLEAN if flag else TEXT)}"]
    return [name] if flag else [name, draw(TEXT)]


def flat(groups):
    return [word for group in groups for word in group]


def argvs(option):
    """Lines for all commands; option(command) gives a strategy of words."""

    def of(path):
        command = COMMANDS[ALIASES.get(path, path)]
        options = st.lists(option(command) | st.just(["--"]), max_size=3).map(flat)
        needed = len([name for name, required, _ in command[1] if required])
        return st.tuples(options, st.lists(TEXT, min_size=needed, max_size=len(command[1])), options).map(
            lambda parts: [*path, *parts[0], *parts[1], *parts[2]]
        )

    return st.sampled_from([*COMMANDS, *ALIASES]).flatmap(of)


@settings(max_examples=400)
@given(argvs(words))
def test_both_ways_make_the_same_request(argv):
    """Any line is parsed alike; where Typer refuses or shows help, the fast parser leaves the line to it."""
    full = by_full_command_line(argv)
    assert fastargs.parse(argv) == (None if full == HELP else full)


@st.composite
def common_words(draw, command):
    """An option in a spelling that click's own grammar shares with Go's."""
    name = draw(st.sampled_from(sorted(command[3]) or ["--none"]))
    shorts = [name[1] for name in command[3] if len(name) == 2]
    flags = [letter for letter in shorts if kind(command, f"-{letter}") is False]
    if name not in command[3]:
        return [name]
    if kind(command, name) is False:
        cluster = "-" + "".join(draw(st.lists(st.sampled_from(flags or ["x"]), min_size=1, max_size=3)))
        return [draw(st.sampled_from([name, cluster if f"-{cluster}" not in command[3] else name]))]
    value = draw(TEXT)
    forms = [[name, value]]
    if name.startswith("--"):
        forms += [[f"{name}={value}"], [name.replace("-", "--x", 1)]]
    else:
        forms += [[f"{name}/{value}"], [f"{name}9{value}"]]
    return draw(st.sampled_from(forms))


@settings(max_examples=400)
@given(argvs(common_words))
def test_what_typer_reads_by_itself_the_fast_parser_reads_alike(argv):
    """An oracle that shares no code with it: click's parser, on the words as they were typed."""
    full = by_typer(argv)
    assert fastargs.parse(argv) == (None if full == HELP else full)


@given(argvs(words))
def test_what_is_normalised_stays(argv):
    with contextlib.suppress(InvalidArgument):
        once = normalize(argv)
        assert normalize(once) == once
