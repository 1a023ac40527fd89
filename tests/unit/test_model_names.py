"""names.py, references.py and keyvalue.py: what things are called, and KEY=VALUE."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.errors import InvalidArgument
from mydocker.model.options import keyvalue, names, references

HEX64 = "0123456789abcdef" * 4


@pytest.mark.parametrize("text", ["ab", "web-1", "A.b_c", "0x", "a" * 255])
def test_container_and_volume_names(text):
    assert names.container_name(text) == text
    assert names.volume_name(text) == text


def test_one_leading_slash_of_a_containers_name_is_dropped():
    """docker 20.10: --name /web is web, --name //web an error."""
    assert names.container_name("/web") == "web"
    with pytest.raises(InvalidArgument, match="invalid container name '//web'"):
        names.container_name("//web")


@pytest.mark.parametrize("text", ["", "a", "/a", "a/b", ".ab", "-ab", "_ab", "a b", "ä1", "a\n", "a" * 256, ".."])
def test_no_name(text):
    with pytest.raises(InvalidArgument, match="invalid container name"):
        names.container_name(text)
    with pytest.raises(InvalidArgument, match="invalid volume name"):
        names.volume_name(text)


def test_random_names_are_names_and_differ():
    made = {names.random_name() for _ in range(200)}
    assert len(made) > 150
    assert all(names.container_name(name).count("_") == 1 for name in made)


@pytest.mark.parametrize("text", ["h", "web-1.example.org", "a_b", "0", "x" * 64])
def test_hostname(text):
    assert names.hostname(text) == text


@pytest.mark.parametrize("text", ["", "a b", "-a", ".a", "x" * 65, "a\n", "h/i", "hö"])
def test_no_hostname(text):
    with pytest.raises(InvalidArgument, match="invalid hostname"):
        names.hostname(text)


@pytest.mark.parametrize("text", ["", "root", "0", "5:6", "www:staff", ":6", "5:", "2147483647", "a.b-c$"])
def test_user(text):
    assert names.user(text) == text


@pytest.mark.parametrize("text", ["1:2:3", "2147483648", "-1", "1:-1", "1:99999999999", "a\nb", "a\0", "\u0661"])
def test_no_user(text):
    with pytest.raises(InvalidArgument, match="invalid user"):
        names.user(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("/", "/"), ("//", "/"), ("/a/b/", "/a/b"), ("//a", "/a"), ("/a/../../b/./c", "/b/c"), ("/é\n", "/é\n")],
)
def test_absolute_path(text, expected):
    assert names.absolute_path(text, "path") == expected


@pytest.mark.parametrize("text", ["", "a", "./a", "/a\0", "~/a"])
def test_no_absolute_path(text):
    with pytest.raises(InvalidArgument, match="invalid working directory"):
        names.absolute_path(text, "working directory")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("busybox", "busybox:latest"),
        ("busybox:1.35", "busybox:1.35"),
        ("a/b-c/d__e.f:X_y.Z-1", "a/b-c/d__e.f:X_y.Z-1"),
        ("localhost:5000/x", "localhost:5000/x:latest"),
        ("Host.example:5000/x/y:z", "Host.example:5000/x/y:z"),
        ("a---b", "a---b:latest"),
        (f"x@sha256:{HEX64}", f"x@sha256:{HEX64}"),
        (f"x:1@sha256:{HEX64}", f"x@sha256:{HEX64}"),
        (HEX64[:63], f"{HEX64[:63]}:latest"),
        # Docker Hub's names in their short form, as docker 20.10 prints them.
        ("library/busybox", "busybox:latest"),
        ("docker.io/busybox:1", "busybox:1"),
        ("docker.io/library/busybox", "busybox:latest"),
        ("index.docker.io/busybox", "busybox:latest"),
        ("index.docker.io/library/busybox:1", "busybox:1"),
        ("docker.io/user/x", "user/x:latest"),
        ("docker.io/library/a/b", "library/a/b:latest"),
        (f"docker.io/library/x@sha256:{HEX64}", f"x@sha256:{HEX64}"),
        ("quay.io/library/x", "quay.io/library/x:latest"),
        ("registry-1.docker.io/library/x", "registry-1.docker.io/library/x:latest"),
        ("localhost/library/x", "localhost/library/x:latest"),
        ("docker.io/localhost/x", "docker.io/localhost/x:latest"),
        ("docker.io", "docker.io:latest"),
        ("docker.io/library", "library:latest"),
    ],
)
def test_reference(text, expected):
    assert references.normalise(text) == expected
    assert references.normalise(expected) == expected


@pytest.mark.parametrize(
    "text", [
        "", ":", "a:", ":a", "Foo", "a:b:c", "a//b", "/a", "a/", "a_-b", "a..b", "a___b", "-a", "a-", "a b", "a:.x",
        "a:-x",
        "a@sha256:abc", f"a@sha512:{HEX64}", f"a@sha256:{HEX64.upper()}", HEX64, "a:" + "t" * 129, "a/" * 128 + "a",
        "docker.io/", "library/", "docker.io/Foo", "docker.io//x", f"docker.io/{HEX64}",
        "-h.example/x", "h.example:port/x", "h..example/x", "a\n", "é", "/bin/sh", "../a", "a@",
    ],
)  # fmt: skip
def test_no_reference(text):
    with pytest.raises(InvalidArgument, match="invalid image"):
        references.parse(text)


def test_the_parts_of_a_reference():
    assert references.parse("h.example:5/a/b:t") == references.Reference("h.example:5/a/b", "t")
    assert references.parse(f"a:t@sha256:{HEX64}") == references.Reference("a", "", f"sha256:{HEX64}")


class TestEnvironment:
    def test_the_last_word_counts_and_options_come_after_files(self):
        made = keyvalue.environment(["A=1", "A=2", "C="], [("f", "A=0\nB=b"), ("g", "B=c")], {})
        assert made == ["A=2", "B=c", "C="]

    def test_a_key_alone_is_the_callers(self):
        """Or, if the caller has none, a word that takes the image's away."""
        made = keyvalue.environment(["HOME", "NOPE"], [("f", "TERM\nNO")], {"HOME": "/h", "TERM": "x"})
        assert made == ["TERM=x", "NO", "HOME=/h", "NOPE"]
        assert keyvalue.overlay(["NO=1", "A=1", "B=1"], ["B=2", *made]) == ["A=1", "B=2", "TERM=x", "HOME=/h"]

    def test_values_arrive_unchanged(self):
        assert keyvalue.environment(["A= b'\"\n=\udcff "], [], {}) == ["A= b'\"\n=\udcff "]

    @pytest.mark.parametrize("option", ["", "=x", "=", "A=\0", "\0"])
    def test_no_name(self, option):
        with pytest.raises(InvalidArgument, match="invalid environment variable"):
            keyvalue.environment([option], [], {})

    def test_a_file_as_docker_reads_it(self):
        text = '\ufeffA=1\r\n# c\n  # d\n\n   \nB="x y" #z\n  D=2\nF= 4 \nG=\nH  \n'
        assert keyvalue.environment([], [("f", text)], {"H": "h"}) == ["A=1", 'B="x y" #z', "D=2", "F= 4 ", "G=", "H=h"]

    @pytest.mark.parametrize("line", ["=1", "A B=1", "A =1", "A B", "a\0=1", "A=\0"])
    def test_a_broken_line_is_named_by_its_number(self, line):
        with pytest.raises(InvalidArgument, match=r"my\.env, line 3: "):
            keyvalue.environment([], [("my.env", f"A=1\n\n{line}\nB=2")], {})


def test_labels():
    assert keyvalue.labels(["q", "r=s=t", "A=5"], [("f", "A=1\nb\n#c")]) == {"A": "5", "b": "", "q": "", "r": "s=t"}
    with pytest.raises(InvalidArgument, match="invalid label '=x'"):
        keyvalue.labels(["=x"], [])


class TestSysctls:
    def test_those_of_the_containers_namespaces(self):
        given = [
            "net.ipv4.ip_forward=1",
            "kernel.sem=1 2 3",
            "fs.mqueue.msg_max=5",
            "kernel.shm_rmid_forced=",
            "net.a-b=x=y",
        ]
        assert list(keyvalue.sysctls(given).items())[-1] == ("net.a-b", "x=y")
        assert len(keyvalue.sysctls(given)) == 5

    @pytest.mark.parametrize(
        "key", ["kernel.foo", "vm.swappiness", "kernel.shmx", "fs.file-max", "kernel.domainname", "network.x"]
    )
    def test_those_of_the_host(self, key):
        with pytest.raises(InvalidArgument, match=f"sysctl '{key}' is not in a separate kernel namespace"):
            keyvalue.sysctls([f"{key}=1"])

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "foo",
            "=1",
            "net.=1",
            "net..x=1",
            "net./../kernel/x=1",
            "net.x\0=1",
            "net.é=1",
            "net.x=\0",
            "net.x=1\nnet.y=2",
            "net.x=1\r",
        ],
    )
    def test_no_sysctl(self, text):
        with pytest.raises(InvalidArgument, match="invalid sysctl"):
            keyvalue.sysctls([text])

    def test_a_shared_namespace_is_the_hosts(self):
        with pytest.raises(InvalidArgument, match="would change the host"):
            keyvalue.sysctls(["net.ipv4.ip_forward=1"], network="host")
        with pytest.raises(InvalidArgument, match="would change the host"):
            keyvalue.sysctls(["kernel.sem=1"], ipc="host")
        assert keyvalue.sysctls(["net.x=1"], ipc="host") == {"net.x": "1"}


@pytest.mark.parametrize(
    "parse",
    [
        names.container_name,
        names.hostname,
        names.user,
        lambda text: names.absolute_path(text, "path"),
        references.parse,
        lambda text: keyvalue.environment([text], [], {}),
        lambda text: keyvalue.labels([], [("f", text)]),
        lambda text: keyvalue.sysctls([text]),
    ],
)
@given(text=st.text() | st.text(alphabet="ab:/@._-=A0\n #"))
def test_nothing_but_invalid_argument(parse, text):
    try:
        parse(text)
    except InvalidArgument as error:
        assert error.hint  # noqa: PT017


@given(st.text())
def test_an_absolute_path_is_normal_and_stays_so(text):
    path = names.absolute_path(f"/{text}".replace("\0", ""), "path")
    assert path.startswith("/")
    assert not {".", ".."} & set(path.split("/"))
    assert "//" not in path
    assert names.absolute_path(path, "path") == path


@given(st.text())
def test_a_reference_is_normal_and_stays_so(text):
    try:
        found = references.normalise(text)
    except InvalidArgument:
        return
    assert references.normalise(found) == found


@given(st.dictionaries(st.text("ABC_", min_size=1), st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r"))))
def test_an_env_file_gives_back_what_was_written(table):
    text = "".join(f"{key}={value}\n" for key, value in table.items())
    assert keyvalue.environment([], [("f", text)], {}) == [f"{key}={value}" for key, value in table.items()]
