"""`--format` templates. What is expected was seen from docker 20.10 and 28 on the same values."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.cli.documents import TYPES, typed
from mydocker.errors import InvalidArgument
from mydocker.gotemplate import formats
from mydocker.gotemplate.functions import HEADING_FUNCTIONS
from mydocker.gotemplate.template import Template
from mydocker.model import docker_types

VALUE = {
    "Id": "abc",
    "State": {"Status": "running", "ExitCode": 3},
    "Config": {"Labels": TYPES.value("map[string]string", {"a": "b"}), "Cmd": ["top", "-b"], "Volumes": None},
    "Zz": {
        "b": 2,
        "a": "x y",
        "f": 1.5,
        "t": True,
        "n": None,
        "l": ["p", "q"],
        "m": {"k2": "v2", "k1": "v1"},
        "e": {},
        "el": [],
        "s": "héllo<b>&\"'",
    },
}


def render(text: str) -> str:
    return Template(text).render(VALUE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain }} text", "plain }} text"),
        ("{{.Id}}", "abc"),
        ("{{ .State.Status }}\n", "running\n"),
        ("{{.Zz.l}} {{.Zz.m}} {{.Zz.t}} {{.Zz.f}} {{.Zz.b}}", "[p q] map[k1:v1 k2:v2] true 1.5 2"),
        ("{{.Zz.n}} {{.Config}}", "<no value> map[Cmd:[top -b] Labels:map[a:b] Volumes:<nil>]"),
        ("{{.Config.Labels.a}} {{.Config.Labels.q}}", "b <no value>"),
        ('{{index .Config.Labels "q"}}|{{index .Zz "q"}}', "|<no value>"),
        ("{{(index .Config.Cmd 0)}} {{(.Zz.m).k1}} {{(index .Zz `m`).k2}}", "top v1 v2"),
        ("{{$.Id}}{{with .Zz}}{{.a}}{{$.Id}}{{end}}", "abcx yabc"),
        ("{{range $k, $v := .Zz.m}}{{$k}}={{$v}};{{end}}", "k1=v1;k2=v2;"),
        ("{{range $i, $v := .Zz.l}}{{$i}}{{$v}} {{end}}", "0p 1q "),
        ("{{range $v := .Zz.l}}{{$v}}{{.}} {{end}}", "pp qq "),
        ("{{range .Zz.n}}x{{else}}none{{end}}{{range .Zz.el}}x{{else}}none{{end}}", "nonenone"),
        ("{{with .Zz.e}}{{.}}{{else}}no{{end}}{{with $q := 5}}{{$q}}{{.}}{{end}}", "no55"),
        ("{{if false}}a{{else if .Zz.t}}b{{else}}c{{end}}{{if .Zz.el}}d{{end}}", "b"),
        ("{{if false}}a{{else if .Zz.n}}b{{else}}c{{end}}", "c"),
        ("{{if and .Id (eq .Zz.a `x y`)}}y{{end}}", "y"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ("{{$x := 1}}{{if true}}{{$x := 2}}{{end}}{{$x}}", "1"),
        ("a {{- ` b ` -}} c", "a b c"),
        ("{{ .Id -}}   x", "abcx"),
        ("x \n\t {{- .Id}}", "xabc"),
        ("{{/* c */}}x{{- /* d */ -}} y", "xy"),
        ("{{.Id}}}", "abc}"),
        ("{{.Id\n}}", "abc"),
        ("{{.Id | }}", "abc"),
        ("{{`a\"b\\n`}}{{\"a\\\"\\u00e9\\101\\x41\\n\"}}{{'x'}}{{'\\''}}", 'a"b\\na"éAA\n12039'),
        ("{{0x1F}} {{1e3}} {{-3}} {{+5}} {{1_000}} {{0b11}} {{0o17}} {{017}}", "31 1000 -3 5 1000 3 15 15"),
        ("{{1.5}} {{1.}} {{.5}} {{1000000.0}} {{1e20}} {{0.00001}} {{0.0001}}", "1.5 1 0.5 1e+06 1e+20 1e-05 0.0001"),
        ("{{true}} {{false}} {{- 3}}", "true false3"),
        ("{{.Zz.m.k1 | upper | printf `%s-%s` `a`}}", "a-V1"),
        ("{{`abc` | len | printf `%03d`}}", "003"),
    ],
)
def test_template(text, expected):
    assert render(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{json .Zz.m}} {{json .Zz.n}} {{json `<é>`}}", '{"k2":"v2","k1":"v1"} null "<é>"'),
        ("{{join .Config.Cmd `,`}} {{join (split `a:b` `:`) `-`}} {{split `a,b` `,`}}", "top,-b a-b [a b]"),
        ("{{title `hello wOrld a-b_c`}} {{upper `é`}} {{lower `É`}}", "Hello WOrld A-B_c É é"),
        ("{{pad `x` 1 2}}|{{pad `` 3 3}}|", " x  ||"),
        ("{{truncate `abcdef` 3}} {{truncate `ab` 3}}", "abc ab"),
        ("{{len `é`}} {{len .Zz.l}} {{len .Zz}}", "2 2 10"),
        ("{{index `abc` 1}} {{index .Zz `m` `k1`}} {{index .Zz.l 1}} {{index .Id}}", "98 v1 q abc"),
        ("{{slice `abcdef` 1 3}} {{slice .Zz.l 1}} {{slice `abc`}}", "bc [q] abc"),
        ("{{print 1 2 `a` `b` 3 nil true}}|{{println 1 `a` 2}}|{{print}}", "1 2ab3 <nil> true|1 a 2\n|"),
        ("{{html `<a>&'` 1 2 `\"`}}", "&lt;a&gt;&amp;&#39;1 2&#34;"),
        ("{{not 1}} {{.Zz.t | not}} {{not .Zz.el}}", "false false true"),
        ("{{and 1 0 2}} {{or 0 `` `x`}} {{or 0 ``}}|", "0 x |"),
        ("{{and false (index .Zz.l 9)}} {{or true (len 3)}}", "false true"),
        ("{{eq `a` `b` `a`}} {{eq .State.ExitCode 3}}", "true true"),
        ("{{eq .Zz.n nil}} {{eq .Zz.n `x`}} {{ne 1 2}}", "true false true"),
        ("{{lt 3 4}} {{le 1.5 2.5}} {{gt `b` `a`}} {{ge 1 1}} {{ge 1 2}}", "true true true true false"),
    ],
)
def test_function(text, expected):
    assert render(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{printf `%d|%5d|%-5d|%05d|%+d|% d` 10 10 10 10 10 5}}", "10|   10|10   |00010|+10| 5"),
        ("{{printf `%x|%X|%#x|%o|%b|%x` 255 255 255 8 5 -255}}", "ff|FF|0xff|10|101|-ff"),
        ("{{printf `%c|%q|%U` 65 65 65}}", "A|'A'|U+0041"),
        ("{{printf `%c%c%c` 55296 1114112 -1}}", "\ufffd\ufffd\ufffd"),
        ("{{printf `%s|%10s|%-10s` `héy` `a` `b`}}", "héy|         a|b         "),
        ('{{printf `%.2s|%5.1s|%q|%v` `xyz` `abc` `q"u` `v`}}', 'xy|    a|"q\\"u"|v'),
        ("{{printf `%x|%X|% x|%+q` `hé` `hi` `abc` `é`}}", '68c3a9|6869|61 62 63|"\\u00e9"'),
        ("{{printf `%f|%.2f|%8.3f|%08.3f` 1.5 1.5 1.5 2.5}}", "1.500000|1.50|   1.500|0002.500"),
        ("{{printf `%g|%e|%G|%v` 1.5 1.5 1e30 1e21}}", "1.5|1.500000e+00|1E+30|1e+21"),
        ("{{printf `%t|%v|%5t|%-5t|%5%` true false true true}}", "true|false| true|true |%"),
        ("{{printf `%s %d %q` 1 `a` 2.5}}", "%!s(int=1) %!d(string=a) %!q(float64=2.5)"),
        ("{{printf `%d`}}{{printf `a` 1 `b` nil}}", "%!d(MISSING)a%!(EXTRA int=1, string=b, <nil>)"),
        ("{{printf `%z %` 1}}", "%!z(int=1) %!(NOVERB)"),
        ("{{printf `%v %s %d %q` .Zz.l .Zz.l .Zz.l .Zz.l}}", '[p q] [p q] [%!d(string=p) %!d(string=q)] ["p" "q"]'),
        ("{{printf `%v %+v %5s` .Zz.m .Zz.m .Zz.m}}", "map[k1:v1 k2:v2] map[k1:v1 k2:v2] map[   k1:   v1    k2:   v2]"),
        ("{{printf `%T %T %T %T %T` 1 `a` 1.5 true .Zz.n}}", "int string float64 bool <nil>"),
        ("{{printf `%T %T` .Zz.l .Zz.m}}", "[]interface {} map[string]interface {}"),
        ("{{printf `%*d|%-*d|%[2]d %[1]d` 5 1 5 2}}", "    1|2    |1 5"),
        ("{{printf `%s` .Zz.n}} {{printf `%5v` .Zz.n}}", "%!s(<nil>) <nil>"),
        ("{{.Zz.m.k2 | printf `%q %5d|` 3}}", "'\\x03' %!d(string=   v2)|"),
    ],
)
def test_printf(text, expected):
    assert render(text) == expected


def test_printf_obeys_no_absurd_width():
    assert len(render("{{printf `%999999999999d %.99999999d %*d` 1 1 99999999 1}}")) < 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{", "unclosed action"),
        ("{{.Id", "unclosed action"),
        ('{{"a}}', "unterminated quoted string"),
        ('{{"a\nb"}}', "unterminated quoted string"),
        ("{{`a}}", "unterminated raw quoted string"),
        ("{{'a}}", "unterminated character constant"),
        ("{{'ab'}}", "malformed character constant: 'ab'"),
        ('{{"a\\qb"}}', "invalid syntax"),
        ("{{/* c", "unclosed comment"),
        ("{{/* c */ }}", "comment ends before closing delimiter"),
        ("{{foo}}", 'function "foo" not defined'),
        ("{{define `x`}}{{end}}", 'function "define" not defined'),
        ("{{template `x`}}", 'function "template" not defined'),
        ("{{.a-b}}", "bad character U+002D '-'"),
        ("{{.Id}", "bad character U+007D '}'"),
        ("{{.Zz.a.}}", "unexpected <.> in operand"),
        ('{{"a".b}}', 'unexpected . after term "\\"a\\""'),
        ("{{true.x}}", 'unexpected . after term "true"'),
        ('{{"a""b"}}', 'unexpected "\\"b\\"" in operand'),
        ("{{.Id := 3}}", 'unexpected ":=" in operand'),
        ("{{#}}", 'unexpected "#" in command'),
        ("{{ /* c */ }}", 'unexpected "/" in command'),
        ("{{ | .Id}}", 'unexpected "|" in command'),
        ("{{é\x07}}", "bad character U+0007"),
        ("{{:}}", "expected :="),
        ("{{(1}}", "unclosed left paren"),
        ("{{1)}}", "unexpected right paren"),
        ("{{if}}{{end}}", "missing value for if"),
        ("{{}}", "missing value for command"),
        ("{{if 1}}", "unexpected EOF"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{else}}", "unexpected {{else}}"),
        ("{{if 1}}a{{else}}b{{else}}c{{end}}", "expected end; found {{else}}"),
        ("{{range .Zz.l}}{{else if true}}{{end}}", "unexpected <if> in else"),
        ("{{print with 1}}", "unexpected <with> in operand"),
        ("{{1 | 2}}", "non executable command in pipeline stage 2"),
        ("{{1 | .}}", "non executable command in pipeline stage 2"),
        ("{{$x}}", 'undefined variable "$x"'),
        ("{{$x = 1}}", 'undefined variable "$x"'),
        ("{{with $x := 1}}{{end}}{{$x}}", 'undefined variable "$x"'),
        ("{{$a, $b := .}}", "too many declarations in command"),
        ("{{range $a, $b, $c := .}}{{end}}", "too many declarations in range"),
        ("{{1a}}", 'bad number syntax: "1a"'),
        ("{{-.Id}}", 'bad number syntax: "-.Id"'),
        ("{{0x}}", 'bad number syntax: "0x"'),
        ("{{99999999999999999999}}", 'integer overflow: "99999999999999999999"'),
        ("{{0x" + "f" * 20000 + "}}", "integer overflow: "),
        ("a\nb{{foo}}", 'function "foo" not defined'),
    ],
)
def test_refused(text, message):
    line = 2 if text.startswith("a\n") else 1
    with pytest.raises(InvalidArgument) as caught:
        Template(text)
    assert caught.value.message.startswith(f"template: :{line}: {message}")
    assert "\x07" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "place", "at", "message"),
    [
        ("{{.Foo}}", "1:2", ".Foo", 'map has no entry for key "Foo"'),
        ("é{{.Foo}}", "1:4", ".Foo", 'map has no entry for key "Foo"'),
        ("a\nb {{.Foo}}", "2:4", ".Foo", 'map has no entry for key "Foo"'),
        ("{{.Zz.Foo.Bar}}", "1:5", ".Zz.Foo.Bar", 'map has no entry for key "Foo"'),
        ("{{$.Foo}}", "1:3", "$.Foo", 'map has no entry for key "Foo"'),
        ("{{json .Foo}}", "1:7", ".Foo", 'map has no entry for key "Foo"'),
        ("{{if .Foo}}{{end}}", "1:5", ".Foo", 'map has no entry for key "Foo"'),
        ("{{.Id.Foo}}", "1:5", ".Id.Foo", "can't evaluate field Foo in type interface {}"),
        ("{{.Zz.n.foo}}", "1:5", ".Zz.n.foo", "nil pointer evaluating interface {}.foo"),
        ('{{.Id "x"}}', "1:2", ".Id", "Id is not a method but has arguments"),
        ('{{"a" "b"}}', "1:2", '"a"', 'can\'t give argument to non-function "a"'),
        ("{{nil}}", "1:2", "nil", "nil is not a command"),
        ("{{range .Id}}x{{end}}", "1:8", ".Id", "range can't iterate over abc"),
        ("{{upper}}", "1:2", "upper", "wrong number of args for upper: want 1 got 0"),
        ("{{upper `a` `b`}}", "1:2", "upper", "wrong number of args for upper: want 1 got 2"),
        ("{{and}}", "1:2", "and", "wrong number of args for and: want at least 1 got 0"),
        ("{{lower 1}}", "1:8", "1", "expected string; found 1"),
        ("{{lower .Zz.t}}", "1:11", ".Zz.t", "wrong type for value; expected string; got bool"),
        ("{{lower .Zz.n}}", "1:11", ".Zz.n", "wrong type for value; expected string; got interface {}"),
        ("{{len 3}}", "1:2", "len 3", "error calling len: len of type int"),
        ("{{.Zz.t | len}}", "1:10", "len", "error calling len: len of type bool"),
        ("{{index .Zz.l 5}}", "1:2", "index .Zz.l 5", "error calling index: index out of range: 5"),
        ("{{index .Zz.l -1}}", "1:2", "index .Zz.l -1", "error calling index: index out of range: -1"),
        ("{{index .Zz 5}}", "1:2", "index .Zz 5", "error calling index: value has type int; should be string"),
        ("{{index nil 1}}", "1:2", "index nil 1", "error calling index: index of untyped nil"),
        ("{{index .Zz `n` `x`}}", "1:2", "index .Zz `n` `x`", "error calling index: index of nil pointer"),
        ("{{slice `abc` 1 2 3}}", "1:2", "slice `abc` 1 2 3", "error calling slice: cannot 3-index slice a string"),
        ("{{slice .Zz.l 2 1}}", "1:2", "slice .Zz.l 2 1", "error calling slice: invalid slice index: 2 > 1"),
        ("{{eq 1 `a`}}", "1:2", "eq 1 `a`", "error calling eq: incompatible types for comparison"),
        ("{{eq `a`}}", "1:2", "eq `a`", "error calling eq: missing argument for comparison"),
        ("{{lt true false}}", "1:2", "lt true false", "error calling lt: invalid type for comparison"),
        ("{{pad `x` 9999999 0}}", "1:2", "pad `x` 9999999 0", "error calling pad: padding out of range: 9999999, 0"),
    ],
)
def test_failure(text, place, at, message):
    with pytest.raises(InvalidArgument) as caught:
        render(text)
    assert caught.value.message == f'template: :{place}: executing "" at <{at}>: {message}'


@pytest.mark.parametrize(
    "text", ["{{" + "(" * 5000 + "1" + ")" * 5000 + "}}", "{{if 1}}" * 5000 + "{{end}}" * 5000, "{{if 1}}{{else " * 99]
)
def test_nesting_is_bounded(text):
    with pytest.raises(InvalidArgument, match=r"nested more than|unexpected"):
        render(text)


def test_as_deep_as_anyone_writes():
    assert render("{{if 1}}" * 20 + "{{" + "(" * 20 + ".Id" + ")" * 20 + "}}" + "{{end}}" * 20) == "abc"


def test_methods_belong_to_the_root():
    methods = {"Label": {"x": "1"}.get}
    template = Template('{{.Label "x"}}{{"x" | .Label}}{{$.Label "x"}}')
    assert template.render({"ID": "a"}, methods) == "111"
    for text, message in (
        ("{{.Label}}", "wrong number of args for Label: want 1 got 0"),
        ("{{.Label 1}}", "expected string; got int"),
        ('{{.Inner.Label "x"}}', "Label is not a method"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            Template(text).render({"Inner": {}}, methods)


def test_what_an_action_prints_is_made_fit_for_the_terminal():
    shown = Template("\x1b[1m{{.x}}{{json .x}}").render({"x": "\x1b[2m"}, escape=lambda text: text.replace("\x1b", "?"))
    assert shown == '\x1b[1m?[2m"\\u001b[2m"'


def test_functions_do_nothing_to_headings():
    text = "{{lower .ID}} {{truncate .ID 2}} {{json .ID}} {{join (split .ID `,`) `;`}} {{pad .ID 1 1}}"
    assert (
        Template(text, HEADING_FUNCTIONS).render({"ID": "IMAGE ID"}) == "IMAGE ID IMAGE ID IMAGE ID IMAGE ID  IMAGE ID "
    )


PIECES = st.sampled_from(
    [
        *r"{{ {{- }} -}} {{end}} ( ) | . $ $x := = , .Id .Zz.l .Zz.m.k1 .Foo if else end range with # \ ' é".split(),
        *'1 -2 1.5 "a" `b` \'c\' nil true len index slice printf "%d" json eq lt and not upper split pad /* */'.split(),
        *(" ", "\n", '"', "`", "text"),
    ]
)


@given(st.lists(PIECES, max_size=20))
def test_any_text_is_a_template_or_a_clear_error(pieces):
    try:
        shown = render("".join(pieces))
    except InvalidArgument as error:
        shown = error.message
    assert isinstance(shown, str)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_json_reads_back(value):
    text = Template("{{json .}}").render(value)
    assert text.isprintable()
    assert json.loads(text) == value


@given(st.text())
def test_quoted_is_one_printable_line(text):
    assert formats.quote(text).isprintable()


@given(st.floats())
def test_floats_read_back(value):
    shown = formats.text(value)
    assert float(shown) == value or value != value


def test_bytes_that_are_no_utf8():
    value = b"a\xff".decode("utf-8", "surrogateescape")
    assert Template("{{json .}} {{printf `%q %x` . .}} {{len .}}").render(value) == '"a\\ufffd" "a\\xff" 61ff 2'
    assert Template("{{.}}").render(value) == value


NOTHING: dict = {"Id": "abc", "State": {"Status": "created"}, "HostConfig": {"OomKillDisable": False}, "Config": {}}


class TestTypedFields:
    """The output of docker 20.10 for a container without options: each template was typed to it."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("{{.ID}} {{.Id}}", "abc abc"),
            ("{{if .State.Health}}y{{else}}n{{end}} {{.State.Health}} {{json .State.Health}}", "n <nil> null"),
            ("[{{join .Config.Entrypoint ` `}}] {{.Config.Entrypoint}} {{json .Config.Entrypoint}}", "[] [] null"),
            ("{{len .HostConfig.Binds}} {{.HostConfig.Binds}} {{json .HostConfig.Binds}}", "0 [] null"),
            ("{{range .HostConfig.Binds}}x{{else}}none{{end}}", "none"),
            ("{{len .Config.Labels}} {{.Config.Labels}} {{json .Config.Labels}}", "0 map[] null"),
            ("{{.Config.Labels.a}} [{{index .Config.Labels `a`}}]", "<no value> []"),
            ("{{.HostConfig.MemorySwappiness}} {{json .HostConfig.MemorySwappiness}}", "<nil> null"),
            ("{{.HostConfig.OomKillDisable}} {{if .HostConfig.OomKillDisable}}set{{end}}", "false set"),
            ("{{.HostConfig.Init}} {{if .HostConfig.Init}}set{{else}}unset{{end}}", "<nil> unset"),
            ("{{.HostConfig.Memory}} {{.HostConfig.Resources.Memory}} {{eq .HostConfig.Memory 0}}", "0 0 true"),
            ("[{{.HostConfig.IpcMode}}] {{.HostConfig.Privileged}} {{.HostConfig.ConsoleSize}}", "[] false [0 0]"),
            ("{{.State}}", "{created false false false false false 0 0    <nil>}"),
            ("{{.HostConfig.RestartPolicy}} {{.HostConfig.LogConfig}}", "{ 0} { map[]}"),
            ("{{.NetworkSettings.Networks.none.IPAddress}}", "<no value>"),
            (
                "{{json .HostConfig.RestartPolicy}} {{json .GraphDriver}}",
                '{"Name":"","MaximumRetryCount":0} {"Data":null,"Name":""}',
            ),
            (
                "{{printf `%T %T %T` .State .HostConfig.Binds .State.Health}}",
                "*types.ContainerState []string *types.Health",
            ),
            ("{{printf `%v %s %d` .State.Health .HostConfig.Binds .HostConfig.Memory}}", "<nil> [] 0"),
            ("{{with .State.Health}}{{.Status}}{{else}}none{{end}}", "none"),
            ("{{if and .State (not .State.Running)}}y{{end}}", "y"),
            ("{{.SizeRw}} {{.Node}} {{.Mounts}}", "<nil> <nil> []"),
        ],
    )
    def test_of_a_container(self, text, expected):
        document = {**NOTHING, "NetworkSettings": {"Networks": {}}, "GraphDriver": {}}
        assert Template(text).render(typed("container", document)) == expected

    def test_of_ulimits_which_print_themselves(self):
        limits = TYPES.value("[]*units.Ulimit", [{"Name": "nofile", "Hard": 20, "Soft": 10}])
        text = "{{.}} {{json .}} {{range .}}{{.Name}}{{end}}"
        assert Template(text).render(limits) == '[nofile=10:20] [{"Name":"nofile","Hard":20,"Soft":10}] nofile'

    @pytest.mark.parametrize(
        ("kind", "text", "expected"),
        [
            ("image", "{{.ID}} {{.Config.Entrypoint}} {{.ContainerConfig}} {{len .RepoTags}}", "abc [] <nil> 0"),
            ("image", "{{.Metadata.LastTagTime}} {{json .RootFS}}", '0001-01-01 00:00:00 +0000 UTC {"Type":""}'),
            ("network", "{{.ID}} {{.Peers}} {{.Containers}} {{.IPAM}}", "abc [] map[] { map[] []}"),
            (
                "network",
                "{{.Created}} {{json .Created}}",
                '2026-11-29 20:43:01.66 +0000 UTC "2026-11-29T20:43:01.660Z"',
            ),
            ("volume", "{{.Labels}} {{.UsageData}} {{.Status}} {{json .Options}}", "map[] <nil> map[] null"),
            ("version", "[{{.Server}}] {{.Client.Version}}", "[<nil>] "),
            ("info", "{{.Swarm.LocalNodeState}}[{{.Labels}}]{{.ContainerdCommit.ID}}", "[[]]"),
        ],
    )
    def test_of_other_things(self, kind, text, expected):
        document = {"Id": "abc", "Config": {}, "Created": "2026-11-29T20:43:01.660Z"}
        assert Template(text).render(typed(kind, document)) == expected

    @pytest.mark.parametrize(
        "text", ["{{.Nope}}", "{{.State.Nope}}", "{{.State.Health.Status}}", "{{.HostConfig.Binds.x}}"]
    )
    def test_what_docker_does_not_know_is_an_error(self, text):
        with pytest.raises(InvalidArgument):
            Template(text).render(typed("container", NOTHING))

    def test_each_struct_of_the_table_can_be_looked_into(self):
        for struct in docker_types.STRUCTS:
            value = TYPES.value(struct, None)
            assert formats.text(value) == value.string() or formats.text(value).startswith("{")
            json.loads(formats.json(value))

    def test_every_type_of_the_table_is_declared(self):
        for struct, text in docker_types.STRUCTS.items():
            for line in text.split(","):
                words = [word for word in line.split() if word not in ("?", "+")]
                for name in re.findall(r"[\w]+\.\w+", words[-1]) if words else []:
                    assert name in docker_types.STRUCTS or name in docker_types.NAMED or name == "time.Time", (
                        struct,
                        name,
                    )
