"""The options of `volume create -o`, held against what docker's local driver says to them."""

from __future__ import annotations

import pytest

from mydocker.errors import InvalidArgument
from mydocker.model.options import volumes


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["type=none", "o=bind", "device=/srv/a"], ("bind", "/srv/a", ["bind"])),
        (["type=none", "o=rbind,ro", "device=/srv//a/"], ("bind", "/srv/a", ["rbind", "ro"])),
        (["type=ext4", "type=none", "device=/a", "o=bind"], ("bind", "/a", ["bind"])),
        (["type=tmpfs", "device=tmpfs"], ("tmpfs", "tmpfs", [])),
        (
            ["type=tmpfs", "device=x", "o=size=1m,uid=1000,mode=700,nosuid,noexec,exec,rw"],
            ("tmpfs", "x", ["nosuid", "size=1m", "uid=1000", "mode=700"]),
        ),
    ],
)
def test_what_is_mounted(texts, expected):
    mount = volumes.mount("v", volumes.parse(texts))
    assert (mount["volume"], mount["type"], mount["device"], mount["options"]) == ("v", *expected)


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["foo=bar"], "invalid volume option 'foo=bar'"),
        (["size=1g"], "invalid volume option 'size=1g'"),
        (["foo"], "invalid volume option 'foo='"),
        (["type"], "missing volume option 'device'"),
        (["o=size=10m"], "missing volume option 'device'"),
        (["device=/srv"], "missing volume option 'type'"),
        (["type=none", "device=/srv"], "volume type 'none' needs o=bind"),
        (["type=none", "device=srv", "o=bind"], "invalid device 'srv'"),
        (["type=none", "device=/srv", "o=bind,nosuid"], "invalid option 'nosuid' of a bind mount"),
        (["type=tmpfs", "device=tmpfs", "o=size=abc"], "invalid tmpfs option 'size=abc'"),
        (["type=tmpfs", "device=tmpfs", "o=uid=root"], "invalid tmpfs option 'uid=root'"),
        (["type=tmpfs", "device=tmpfs", "o=foo"], "invalid tmpfs option 'foo'"),
        (["type=tmpfs", "device=tmpfs", "o=ro"], "can't be read-only"),
        (["type=nfs", "device=:/x", "o=addr=10.0.0.1"], "volume type 'nfs' is not supported"),
    ],
)
def test_what_can_not_be_mounted(texts, says):
    with pytest.raises(InvalidArgument, match=says) as caught:
        volumes.parse(texts)
    assert caught.value.hint
