"""--platform is accepted for this machine's own platform, with the answers of docker 20.10."""

from __future__ import annotations

import pytest

from mydocker.errors import InvalidArgument, NotFound
from mydocker.image import platform, store


@pytest.fixture(autouse=True)
def amd64(monkeypatch):
    monkeypatch.setattr(store, "architecture", lambda: "amd64")


@pytest.mark.parametrize(
    "text",
    ["linux", "linux/amd64", "linux/amd64/v1", "linux/amd64/v3", "linux/x86_64", "linux/x86-64", "LINUX/AMD64", "amd64",
     "x86_64"],
)  # fmt: skip
def test_this_machine_s_platform_is_accepted(text):
    platform.check(text)


@pytest.mark.parametrize(
    "text",
    ["linux/arm64", "arm64", "aarch64", "linux/386", "windows", "windows/amd64", "darwin", "nosuch", "linux/nosuch",
     "linux/", "linux//v1", "linux/amd64/", "/amd64", "amd64/v1", "linux/amd64/v1/x", "linux/amd64/x", "/",
     "linux/linux"],
)  # fmt: skip
def test_another_platform_is_refused(text):
    with pytest.raises(InvalidArgument) as caught:
        platform.check(text)
    assert caught.value.message == f"platform '{text}' is not this machine's"
    assert "linux/amd64" in caught.value.hint


def test_an_image_for_another_machine_is_refused():
    def image(**config):
        return store.Image("sha256:1", "sha256:2", [], config, [], 0, "")

    platform.check_image("linux/amd64", "x", image(architecture="amd64"))
    platform.check_image("linux/amd64", "x", image())
    with pytest.raises(NotFound) as caught:
        platform.check_image("linux", "x", image(architecture="arm64"))
    assert str(caught.value) == "image x is not for platform 'linux' (it is for linux/arm64)"


def entry(*words: str) -> dict:
    names = ("os", "architecture", "variant")
    return {"digest": "/".join(words), **({"platform": dict(zip(names, words))} if words else {})}


ATTESTATION = entry("unknown", "unknown")
AMD64, V2, V3 = entry("linux", "amd64"), entry("linux", "amd64", "v2"), entry("linux", "amd64", "v3")
I386 = entry("linux", "386")
ARM64, ARMV6, ARMV7 = entry("linux", "arm64", "v8"), entry("linux", "arm", "v6"), entry("linux", "arm", "v7")
BARE = entry()


@pytest.mark.parametrize(
    ("wanted", "entries", "expected"),
    [
        ("", [ATTESTATION, ARM64, AMD64], AMD64),
        ("", [entry("windows", "amd64"), AMD64, {**AMD64, "digest": "second"}], AMD64),
        ("", [V2, AMD64], AMD64),  # as skopeo: the plain one runs everywhere
        ("", [V3, V2], V2),
        ("", [V3], V3),  # as docker 28
        ("", [BARE, AMD64], AMD64),
        ("", [ARM64, BARE], BARE),  # as docker 28 and skopeo
        ("linux", [AMD64], AMD64),
        ("linux/amd64/v2", [AMD64, V2, V3], V2),
        ("linux/amd64/v2", [AMD64, V3], AMD64),
        ("linux/arm64", [AMD64, ARM64], ARM64),
        ("aarch64", [AMD64, ARM64], ARM64),
        ("linux/arm", [ARMV6, ARMV7], ARMV7),
        ("linux/arm/v6", [ARMV7, ARMV6], ARMV6),
        ("", [ATTESTATION, I386], I386),  # as docker 28
        ("", [I386, V3], V3),
        ("linux/arm64", [BARE, ARMV7], ARMV7),
    ],
)
def test_the_entry_for_a_platform(wanted, entries, expected):
    assert platform.choose(entries, platform.parse(wanted)) is expected


@pytest.mark.parametrize(
    ("wanted", "entries", "hint"),
    [
        ("", [], "the list is empty"),
        ("", [entry("linux", "ppc64le"), ATTESTATION], "it has linux/ppc64le"),
        ("", [entry("windows", "amd64")], "it has windows/amd64"),
        ("linux/s390x", [AMD64, ARM64], "it has linux/amd64, linux/arm64/v8"),
        ("linux/amd64/v2", [V3], "it has linux/amd64/v3"),
    ],
)
def test_no_entry_for_a_platform(wanted, entries, hint):
    with pytest.raises(NotFound) as caught:
        platform.choose(entries, platform.parse(wanted))
    assert caught.value.message.startswith(f"no matching manifest for {wanted or 'linux/amd64'} in")
    assert caught.value.hint == hint


@pytest.mark.parametrize("text", ["linux/", "linux//v1", "a/b/c/d", "linux/amd 64", "../x"])
def test_a_malformed_platform_is_refused(text):
    with pytest.raises(InvalidArgument, match="invalid platform"):
        platform.parse(text)
