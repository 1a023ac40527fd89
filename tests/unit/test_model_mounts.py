"""mounts.py: -v, --mount, --tmpfs, --device, held against what docker 28 says to the same words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.errors import InvalidArgument
from mydocker.model.options import mounts

CWD = "/here/now"
HEX = set("0123456789abcdef")


def changed(mount, kind, source, target, **differences):
    """The fields of a mount that are not as they are by default, which is none if it is as expected."""
    expected = {
        "type": kind,
        "source": source,
        "target": target,
        "read_only": False,
        "recursive": True,
        "propagation": "rprivate",
        "copy": kind == "volume",
        "anonymous": False,
        "options": [],
        "option": mount["option"],
        "mode": mount["mode"],
        **differences,
    }
    return {key: (mount.get(key), expected[key]) for key in expected if mount.get(key) != expected[key]}


class TestVolume:
    @pytest.mark.parametrize(
        ("text", "source", "target", "differences"),
        [
            ("/srv:/data", "/srv", "/data", {}),
            ("/a/../b//c/:/x//y/../z/", "/b/c", "/x/z", {}),
            ("/srv:/data:ro", "/srv", "/data", {"read_only": True}),
            ("/srv:/data:rw,rslave,Z", "/srv", "/data", {"propagation": "rslave"}),
            ("/srv:/data:private,ro,z,cached", "/srv", "/data", {"read_only": True, "propagation": "private"}),
            ("./x:/data", "/here/now/x", "/data", {}),
            (".:/data", "/here/now", "/data", {}),
            ("../x:/data", "/here/x", "/data", {}),
            ("/root/volumn/test:/test", "/root/volumn/test", "/test", {}),
            ("/x y:/ü", "/x y", "/ü", {}),
        ],
    )
    def test_a_host_path(self, text, source, target, differences):
        assert changed(mounts.volume(text, CWD), "bind", source, target, **differences) == {}

    @pytest.mark.parametrize(
        ("text", "differences"),
        [
            ("data:/d", {}),
            ("data:/d:ro", {"read_only": True}),
            ("data:/d:nocopy,ro", {"copy": False, "read_only": True}),
        ],
    )
    def test_a_name(self, text, differences):
        assert changed(mounts.volume(text, CWD), "volume", "data", "/d", **differences) == {}

    def test_a_path_alone_is_a_volume_without_a_name(self):
        made = mounts.volume("/data", CWD)
        assert changed(made, "volume", made["source"], "/data", anonymous=True) == {}
        assert len(made["source"]) == 64
        assert set(made["source"]) <= HEX
        assert mounts.volume("/data", CWD)["source"] != made["source"]

    def test_the_mode_is_kept_as_written(self):
        assert [mounts.volume(text, CWD)["mode"] for text in ("/a:/b", "/a:/b:ro,z")] == ["", "ro,z"]

    @pytest.mark.parametrize(
        "text", [
            "a", "", ":", ":b", ":/b", "a:", "/a:", "a:b", "a:b:c", "a:b:c:d", "/a:/b:ro:x", "/a:/b:", "/a:b",
            "/foo:ro", "a/b:/c", "~/x:/c", "/a:/", "/a:/x/..", "/a:/b:foo", "/a:/b:ro,rw", "/a:/b:ro,ro",
            "/a:/b:ro,", "/a:/b:nocopy", "data:/b:rslave", "/a:/proc", "/a:/proc/sys", "/a:/proc/../proc/kcore",
            "/a\0:/b", "/a:/b\0",
        ],
    )  # fmt: skip
    def test_no_volume(self, text):
        with pytest.raises(InvalidArgument) as caught:
            mounts.volume(text, CWD)
        assert caught.value.hint

    @pytest.mark.parametrize("mode", ["shared", "rshared"])
    def test_a_mount_never_goes_back_to_the_host(self, mode):
        with pytest.raises(InvalidArgument, match=f"propagation '{mode}' is not supported"):
            mounts.volume(f"/a:/b:{mode}", CWD)
        with pytest.raises(InvalidArgument, match=f"propagation '{mode}' is not supported"):
            mounts.mount(f"type=bind,src=/a,dst=/b,bind-propagation={mode}", CWD)

    def test_lxcfs(self):
        assert mounts.volume("/var/lib/lxcfs/proc/meminfo:/proc/meminfo", CWD)["target"] == "/proc/meminfo"


class TestMount:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("type=bind,source=/s,target=/t", ("bind", "/s", "/t", {})),
            ("type=bind,src=./s,dst=/t/,ro", ("bind", "/here/now/s", "/t", {"read_only": True})),
            ("TYPE=bind,Src=/s,destination=/t,readonly=true", ("bind", "/s", "/t", {"read_only": True})),
            ("type=bind,src=/s,dst=/t,ro=false,consistency=cached", ("bind", "/s", "/t", {})),
            ("type=bind,src=/s,dst=/t,bind-propagation=rslave", ("bind", "/s", "/t", {"propagation": "rslave"})),
            ("type=bind,src=/s,dst=/t,bind-nonrecursive", ("bind", "/s", "/t", {"recursive": False})),
            ('type=bind,"src=/a,b ""c""",dst=/t', ("bind", '/a,b "c"', "/t", {})),
            ("type=volume,src=data,dst=/t,volume-nocopy", ("volume", "data", "/t", {"copy": False})),
            ("src=data,dst=/t,readonly=1", ("volume", "data", "/t", {"read_only": True})),
            (
                "type=bind,src=/s,dst=/t,ro,bind-recursive=writable",
                ("bind", "/s", "/t", {"read_only": True, "bind_recursive": "writable"}),
            ),
            (
                "type=bind,src=/s,dst=/t,ro,bind-recursive=readonly,bind-propagation=rprivate",
                ("bind", "/s", "/t", {"read_only": True, "bind_recursive": "readonly"}),
            ),
            ("src=data,dst=/t,volume-subpath=a/../b//c/", ("volume", "data", "/t", {"subpath": "b/c"})),
            ("type=bind,src=/s,dst=/t,bind-recursive=disabled", ("bind", "/s", "/t", {"recursive": False})),
            ("type=bind,src=/s,dst=/t,bind-recursive=enabled", ("bind", "/s", "/t", {})),
            (
                'src=data,dst=/t,volume-driver=local,volume-opt=type=tmpfs,"volume-opt=o=a,b=c",volume-label=a=b,'
                "volume-label=c",
                ("volume", "data", "/t", {
                    "volume_options": {"type": "tmpfs", "o": "a,b=c"}, "labels": {"a": "b", "c": ""},
                }),
            ),
            ("type=tmpfs,dst=/t", ("tmpfs", "", "/t", {"options": ["noexec", "nosuid", "nodev"]})),
            (
                "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770,ro",
                ("tmpfs", "", "/t", {
                    "options": ["noexec", "nosuid", "nodev", "ro", "size=1048576", "mode=1770"], "read_only": True,
                }),
            ),
            ("type=tmpfs,dst=/t,tmpfs-size=0", ("tmpfs", "", "/t", {"options": ["noexec", "nosuid", "nodev"]})),
        ],
    )  # fmt: skip
    def test_mount(self, text, expected):
        *positions, differences = expected
        assert changed(mounts.mount(text, CWD), *positions, **differences) == {}

    def test_a_volume_without_a_name(self):
        made = mounts.mount("type=volume,dst=/t", CWD)
        assert changed(made, "volume", made["source"], "/t", anonymous=True) == {}

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("", "invalid mount ''"),
            ("foo", "unknown key 'foo'"),
            ("foo=bar,dst=/x", "unknown key 'foo'"),
            ("type=foo,dst=/x", "unknown mount type 'foo'"),
            ("src=/x", "has no target"),
            ("type=bind,dst=/x", "invalid mount source ''"),
            ("type=bind,src=tmp,dst=/x", "invalid mount source 'tmp'"),
            ("type=bind,src=/tmp,dst=x", "invalid mount target 'x'"),
            ("type=bind,src=/tmp,dst=/", "destination can't be '/'"),
            ("type=bind,src=/tmp,dst=/x,ro=maybe", "invalid value 'maybe' of 'readonly'"),
            ("type=bind,src=/tmp,dst=/x,ro=", "invalid value '' of 'readonly'"),
            ("type=bind,src=/tmp,dst=/x,bind-propagation=up", "unknown propagation 'up'"),
            ("type=bind,src=/tmp,dst=/x,bind-recursive=foo", "invalid bind-recursive 'foo'"),
            ("type=bind,src=/tmp,dst=/x,bind-recursive=writable", "needs a read-only mount"),
            ("type=bind,src=/tmp,dst=/x,bind-recursive=readonly", "needs a read-only mount"),
            (
                "type=bind,src=/tmp,dst=/x,ro,bind-recursive=readonly,bind-propagation=rslave",
                "needs bind-propagation=rprivate",
            ),
            ("src=data,dst=/x,volume-subpath=/a", "invalid volume-subpath '/a'"),
            ("src=data,dst=/x,volume-subpath=a/../..", "invalid volume-subpath 'a/../..'"),
            ("src=data,dst=/x,volume-subpath=../a", "invalid volume-subpath '../a'"),
            ("dst=/x,volume-subpath=a", "an anonymous volume has no subpath"),
            ("dst=/x,volume-opt", "'volume-opt' without a value"),
            ("dst=/x,volume-opt=type", "invalid volume-opt 'type'"),
            ("dst=/x,volume-driver=nfs", "unknown volume driver 'nfs'"),
            ("type=bind,src=/tmp,dst=/x,volume-label=a", "'volume-label' is not an option of mounts of type bind"),
            ("type=bind,src=/tmp,dst=/x,dst=/y", "'target' is given twice"),
            ("type=bind,src=/tmp,dst=/x,ro,readonly", "'readonly' is given twice"),
            ("type=bind,src=,dst=/x", "'source' without a value"),
            ("type=bind,src,dst=/x", "'source' without a value"),
            ("type=bind,src=/tmp,dst=/x,", "unknown key ''"),
            ("type=bind,src=/tmp,dst=/x,volume-nocopy", "'volume-nocopy' is not an option of mounts of type bind"),
            ("type=tmpfs,dst=/x,bind-nonrecursive", "'bind-nonrecursive' is not an option of mounts of type tmpfs"),
            ("src=q1,dst=/x,tmpfs-size=1m", "'tmpfs-size' is not an option of mounts of type volume"),
            ("type=tmpfs,src=x,dst=/x", "a tmpfs has no source"),
            ("type=tmpfs,dst=/x,tmpfs-mode=99", "invalid tmpfs option 'mode=99'"),
            ("type=tmpfs,dst=/x,tmpfs-size=big", "invalid tmpfs-size 'big'"),
            ("src=/x,dst=/y", "invalid volume name '/x'"),
            ("dst=/y,ro", "anonymous volume on '/y' can't be read-only"),
            ('type=bind,"src=/a', "invalid mount"),
            ("type=bind\nsrc=/a", "invalid mount"),
        ],
    )
    def test_no_mount(self, text, says):
        with pytest.raises(InvalidArgument) as caught:
            mounts.mount(text, CWD)
        assert says in caught.value.message
        assert caught.value.hint


class TestTmpfs:
    @pytest.mark.parametrize(
        ("text", "options"),
        [
            ("/run", ["noexec", "nosuid", "nodev"]),
            ("/run:", ["noexec", "nosuid", "nodev"]),
            ("/run/:size=2m,exec", ["nosuid", "nodev", "size=2m"]),
            ("/run:rw,mode=01777,uid=5,gid=6", ["noexec", "nosuid", "nodev", "mode=01777", "uid=5", "gid=6"]),
            ("/run:exec,suid,dev,noexec", ["noexec"]),
            (
                "/run:size=50%,nr_inodes=1k,relatime",
                ["noexec", "nosuid", "nodev", "relatime", "size=50%", "nr_inodes=1k"],
            ),
            ("/run:size=1m,size=2G", ["noexec", "nosuid", "nodev", "size=2G"]),
        ],
    )
    def test_tmpfs(self, text, options):
        made = mounts.tmpfs_mount(text)
        assert changed(made, "tmpfs", "", "/run", options=options) == {}
        assert made["mode"] == text.partition(":")[2]

    def test_read_only(self):
        assert mounts.tmpfs_mount("/run:ro")["read_only"]
        assert "ro" in mounts.tmpfs_mount("/run:ro")["options"]

    @pytest.mark.parametrize(
        "text", [
            "", "x", "/", "/proc/x", "/x:foo=1", "/x:size=q", "/x:size=", "/x:size=2mb", "/x:mode=8", "/x:mode=",
            "/x:uid=a", "/x:gid=2147483648", "/x:nr_inodes=5%", "/x:ro,", "/x:size",
            "/x:mpol=bind", "/x:remount", "/x:mode=100000",
        ],
    )  # fmt: skip
    def test_no_tmpfs(self, text):
        with pytest.raises(InvalidArgument):
            mounts.tmpfs_mount(text)


class TestAll:
    def test_all_three_in_the_order_given(self):
        made = mounts.parse(["/a:/1", "data:/2"], ["type=bind,src=/b,dst=/3"], ["/4"], CWD)
        assert [(mount["target"], mount["option"]) for mount in made] == [
            ("/1", "volume"),
            ("/2", "volume"),
            ("/3", "mount"),
            ("/4", "tmpfs"),
        ]

    @pytest.mark.parametrize("again", [(["/b:/x/"], [], []), ([], ["type=tmpfs,dst=/y/../x"], []), ([], [], ["//x"])])
    def test_two_on_one_place(self, again):
        volumes, others, tmpfs = again
        with pytest.raises(InvalidArgument, match="duplicate mount point: /x"):
            mounts.parse(["/a:/x", *volumes], others, tmpfs, CWD)

    def test_what_is_given_twice_counts_once(self):
        assert mounts.parse(["/a:/x", "/a:/x"], [], [], CWD) == mounts.parse(["/a:/x"], [], [], CWD)
        assert mounts.parse(["vol:/x:ro", "vol:/x:ro"], [], [], CWD) == mounts.parse(["vol:/x:ro"], [], [], CWD)

    @pytest.mark.parametrize(
        "pair", [("/a:/x", "/a:/x:ro"), ("/a:/x", "/a/:/x"), ("vol:/x", "other:/x"), ("vol:/x", "vol:/x/")]
    )
    def test_other_words_for_one_place_are_two_mounts(self, pair):
        with pytest.raises(InvalidArgument, match="duplicate mount point: /x"):
            mounts.parse(list(pair), [], [], CWD)

    def test_of_two_tmpfs_the_last_counts(self):
        assert mounts.parse([], [], ["/x:size=1m", "/x/:size=2m"], CWD) == mounts.parse([], [], ["/x:size=2m"], CWD)
        assert mounts.parse([], [], ["/x:size=1m", "/x"], CWD) == mounts.parse([], [], ["/x"], CWD)

    def test_an_anonymous_volume_gives_way(self):
        for volumes in (["/x", "vol:/x"], ["vol:/x", "/x"], ["/x", "/x/", "vol:/x"]):
            assert mounts.parse(volumes, [], [], CWD) == mounts.parse(["vol:/x"], [], [], CWD)
        assert [each["type"] for each in mounts.parse(["/x"], [], ["/x"], CWD)] == ["tmpfs"]
        assert [each["source"] for each in mounts.parse(["/x"], ["source=vol,target=/x"], [], CWD)] == ["vol"]
        assert len(mounts.parse(["/x", "/x/"], [], [], CWD)) == 1
        with pytest.raises(InvalidArgument, match="duplicate mount point: /x"):
            mounts.parse([], ["target=/x", "target=/x"], [], CWD)

    def test_an_images_volumes_where_the_user_has_none(self):
        given = mounts.parse(["/a:/x"], [], [], CWD)
        made = mounts.image_volumes(["/x/", "/y", "/y/"], given)
        assert [(mount["target"], mount["anonymous"], mount["option"]) for mount in made] == [("/y", True, "image")]

    @pytest.mark.parametrize("target", ["/", "relative", "/proc/sys"])
    def test_an_images_volumes_are_checked_too(self, target):
        with pytest.raises(InvalidArgument):
            mounts.image_volumes([target], [])


class TestDevice:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("/dev/fuse", ("/dev/fuse", "/dev/fuse", "rwm")),
            ("/dev/fuse:r", ("/dev/fuse", "/dev/fuse", "r")),
            ("/dev/fuse:/dev/x", ("/dev/fuse", "/dev/x", "rwm")),
            ("/dev/fuse:/dev/x:wr", ("/dev/fuse", "/dev/x", "wr")),
            ("/dev//snd/", ("/dev/snd", "/dev/snd", "rwm")),
        ],
    )
    def test_device(self, text, expected):
        assert tuple(mounts.device(text).values()) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "x",
            "fuse:/dev/x",
            "/dev/fuse:z",
            "/dev/fuse:/dev/y:z",
            "/a:/b:rr",
            "/a:/b:",
            "/a:/b:r:w",
            "/a::r",
            "/a:/",
        ],
    )
    def test_no_device(self, text):
        with pytest.raises(InvalidArgument):
            mounts.device(text)


WORDS = st.sampled_from(
    [
        "type",
        "bind",
        "volume",
        "tmpfs",
        "src",
        "dst",
        "ro",
        "size",
        "mode",
        "=",
        ",",
        ":",
        "/",
        ".",
        '"',
        "a1",
        "5m",
        "\n",
    ]
)


@pytest.mark.parametrize(
    "parse",
    [
        lambda text: mounts.volume(text, CWD),
        lambda text: mounts.mount(text, CWD),
        mounts.tmpfs_mount,
        mounts.device,
    ],
)
@given(text=st.text() | st.lists(WORDS).map("".join))
def test_nothing_but_invalid_argument(parse, text):
    try:
        made = parse(text)
    except InvalidArgument as error:
        assert error.hint  # noqa: PT017
    else:
        assert made["target"].startswith("/")


PATHS = st.text(st.characters(codec="utf-8", exclude_characters='\0:,"/')).map(lambda text: f"/x{text}")


@given(source=PATHS, target=PATHS, read_only=st.booleans())
def test_volume_and_mount_mean_the_same(source, target, read_only):
    short = mounts.volume(f"{source}:{target}{':ro' if read_only else ''}", CWD)
    if "\n" in source + target or "\r" in source + target:
        return  # no row of CSV
    long = mounts.mount(f"type=bind,source={source},target={target}{',readonly' if read_only else ''}", CWD)
    assert {**short, "option": "", "mode": ""} == {**long, "option": "", "mode": ""}
