"""runtime/users.py: who a user is by the container's own tables, which may say anything."""

from __future__ import annotations

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.errors import MydockerError
from mydocker.runtime import users

TABLE = users._table
PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
web:x:33:34:Web, the server:/srv/web:/bin/sh
homeless:x:40:41:::
twin:x:33:99:::/bin/sh
"""
GROUP = """\
root:x:0:
staff:x:50:web,root
wheel:x:51:webmaster,web
lone:x:52:
"""


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Writes the files that stand for the container's /etc/passwd and /etc/group."""
    root = tmp_path_factory.mktemp("root")
    (root / "etc").mkdir()

    def write(passwd, group=GROUP):
        for name, text in (("passwd", passwd), ("group", group)):
            data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
            (root / "etc" / name).write_bytes(data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(users, "_table", lambda path, columns: TABLE(f"{root}{path}", columns))
        yield write


def who(user, additional=None):
    """(uid, gid, the other groups, home). The primary group is always among the supplementary ones (CVE-2022-36109)."""
    found = users.look_up(user, additional)
    assert found.gid in found.groups
    return found.uid, found.gid, [group for group in found.groups if group != found.gid], found.home


class TestLookUp:
    @pytest.fixture(autouse=True)
    def _known(self, tables):
        tables(PASSWD)

    @pytest.mark.parametrize(
        ("user", "expected"),
        [
            ("", (0, 0, [50], "/root")),
            ("root", (0, 0, [50], "/root")),
            ("0", (0, 0, [50], "/root")),
            ("web", (33, 34, [50, 51], "/srv/web")),
            ("33", (33, 34, [50, 51], "/srv/web")),
            ("daemon", (1, 1, [], "/usr/sbin")),
            ("homeless", (40, 41, [], "/")),
            ("1234", (1234, 0, [], "/")),
        ],
    )
    def test_without_a_group_the_tables_say_which(self, user, expected):
        assert who(user) == expected

    @pytest.mark.parametrize(
        ("user", "expected"),
        [
            ("web:staff", (33, 50, [], "/srv/web")),
            ("web:7", (33, 7, [], "/srv/web")),
            ("web:51", (33, 51, [], "/srv/web")),
            ("1234:lone", (1234, 52, [], "/")),
            ("1234:5678", (1234, 5678, [], "/")),
            (":lone", (0, 52, [], "/root")),
            (":7", (0, 7, [], "/root")),
            ("web:", (33, 34, [50, 51], "/srv/web")),
        ],
    )
    def test_with_a_group_it_is_that_one_alone(self, user, expected):
        assert who(user) == expected

    def test_a_number_without_an_entry_is_in_no_group(self, tables):
        tables(PASSWD, "odd:x:60:1234,\n")
        assert who("1234")[2] == []

    def test_the_specs_groups_are_added_each_once(self):
        assert who("web", [51, 5])[2] == [5, 50, 51]
        assert who("web:7", [5])[2] == [5]

    def test_users_with_the_same_number_are_told_apart_by_name(self):
        assert who("twin")[:2] == (33, 99)

    @pytest.mark.parametrize(
        ("user", "message"),
        [
            ("nobody", "unable to find user nobody:"),
            ("-1", "unable to find user -1:"),
            ("3³", "unable to find user 3³:"),
            ("٣", "unable to find user ٣:"),
            ("web:nogroup", "unable to find group nogroup:"),
            ("web:-1", "unable to find group -1:"),
            ("web:a:b", "unable to find group a:b:"),
            ("4294967295", "4294967295 of user '4294967295' is out of range"),  # to chown(2), -1 means "as it is"
            ("0:99999999999", "unable to find group 99999999999:"),
            ("9" * 5000, "unable to find user"),
        ],
    )
    def test_what_is_not_there_is_an_error_that_names_it(self, user, message):
        with pytest.raises(MydockerError) as caught:
            users.look_up(user)
        assert message in caught.value.message
        assert caught.value.hint

    def test_the_highest_id(self):
        assert who("4294967294:4294967294")[:2] == (4294967294, 4294967294)


class TestHostileTables:
    @pytest.mark.parametrize(("user", "expected"), [("1000", (1000, 5)), ("7:1000", (7, 1000)), ("", (0, 0))])
    def test_a_number_is_never_taken_for_a_name(self, tables, user, expected):
        """CVE-2016-3697: an image could make root of `-u 1000`."""
        tables("1000:x:0:0:::\n0:x:9:9:::\nme:x:1000:5:::\nroot:x:0:0:::\n", "1000:x:0:\n")
        assert who(user)[:2] == expected

    def test_a_number_is_compared_as_one(self, tables):
        tables(PASSWD)
        assert who("033")[:2] == (33, 34)

    @pytest.mark.parametrize(
        "row",
        [
            "evil",
            "evil:x:0:0",
            "evil:x:0:0:::/bin/sh:more",
            "evil:x:-1:0:::",
            "evil:x::0:::",
            "evil:x:0:none:::",
            "evil:x:99999999999:0:::",
            "evil:x:٣:0:::",
            "# evil:x:0:0:::",
            "",
        ],
    )
    def test_a_malformed_row_is_none(self, tables, row):
        tables(f"{row}\n{PASSWD}")
        with pytest.raises(MydockerError, match="unable to find user evil:"):
            users.look_up("evil")
        assert who("web")[0] == 33

    def test_a_row_of_an_id_that_no_kernel_has(self, tables):
        tables("big:x:4294967295:0:::\n")
        with pytest.raises(MydockerError, match="out of range"):
            users.look_up("big")

    def test_bytes_that_are_no_text(self, tables):
        tables(b"caf\xe9:x:5:6:\xff:/home/caf\xe9:\n", b"\x00\xff\n")
        assert who(os.fsdecode(b"caf\xe9")) == (5, 6, [], os.fsdecode(b"/home/caf\xe9"))

    @pytest.mark.parametrize("char", "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")
    def test_only_a_newline_ends_a_row(self, tables, char):
        tables(f"web:x:33:34:a{char}b:/srv:\n")
        assert users._find(users._table("/etc/passwd", 7), "web", 2)

    def test_a_file_without_end_is_read_up_to_a_bound(self, tables, monkeypatch):
        monkeypatch.setattr(users, "_LIMIT", len("root:x:0:0:root:/root:/bin/sh\nda"))
        tables(PASSWD)
        assert [row[0] for row in users._table("/etc/passwd", 7)] == ["root"]

    @pytest.mark.parametrize("kind", ["missing", "directory", "loop"])
    def test_what_is_no_regular_file_is_empty(self, tmp_path, kind):
        path = tmp_path / kind
        if kind == "directory":
            path.mkdir()
        elif kind == "loop":
            path.symlink_to(kind)
        assert TABLE(str(path), 7) == []

    def test_a_fifo_is_not_read(self, tmp_path):
        os.mkfifo(tmp_path / "fifo")
        writer = os.open(tmp_path / "fifo", os.O_RDWR)
        os.write(writer, PASSWD.encode())
        assert TABLE(str(tmp_path / "fifo"), 7) == []
        os.close(writer)

    def test_nothing_is_waited_for(self, monkeypatch):
        """A FIFO would wait for its writer, a terminal would become ours."""
        opened = {}
        monkeypatch.setattr(users.os, "open", lambda path, flags: opened.update({path: flags}) or 99)
        monkeypatch.setattr(users.os, "fstat", lambda _: os.stat_result((stat.S_IFCHR, *[0] * 9)))
        monkeypatch.setattr(users.os, "close", lambda _: None)
        assert TABLE("/etc/passwd", 7) == []
        assert opened["/etc/passwd"] & (os.O_NONBLOCK | os.O_NOCTTY) == os.O_NONBLOCK | os.O_NOCTTY


FIELDS = st.sampled_from(["web", "0", "7", "x", "", "-1", "web,x", "4294967295", "é"])
TABLES = st.lists(st.lists(FIELDS, max_size=8).map(":".join)).map("\n".join) | st.text()


@given(TABLES, TABLES, st.sampled_from(["", "web", "7", "web:x", "7:7", "x:web"]))
def test_whatever_the_tables_say_it_is_an_identity_or_our_error(tables, passwd, group, user):
    tables(passwd.encode("utf-8", "replace"), group.encode("utf-8", "replace"))
    try:
        uid, gid, groups, home = who(user)
    except MydockerError:
        return
    assert all(0 <= number <= 0xFFFFFFFE for number in (uid, gid, *groups))
    assert groups == sorted(set(groups))
    assert home
