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
