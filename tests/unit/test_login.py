"""engine/transfer/login.py and credentials.py: the password on its way to skopeo, and docker's file."""

from __future__ import annotations

import os

import pytest

from mydocker import paths
from mydocker.engine.transfer import credentials, login
from mydocker.errors import HostError


@pytest.mark.parametrize("fails", [False, True])
def test_the_password_is_written_into_memory_only(tmp_path, monkeypatch, fails):
    monkeypatch.setattr(paths, "RUN", f"{tmp_path}/run")
    monkeypatch.setattr(login.credentials, "find", lambda _: None)
    monkeypatch.setattr(login.credentials, "keep", lambda *_: "/root/.docker/config.json")

    class Skopeo:
        def __init__(self, host):
            pass

        def tls(self):
            return []

        def run(self, command, options, what, data):
            (path,) = (option.partition("=")[2] for option in options if option.startswith("--authfile="))
            assert path.startswith(f"{tmp_path}/run/.login.")
            assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
            with open(path, "wb") as file:
                file.write(data)
            if fails:
                raise KeyboardInterrupt

    monkeypatch.setattr(login, "Skopeo", Skopeo)
    if fails:
        with pytest.raises(KeyboardInterrupt):
            login.login("localhost:5000", "bird", "secret")
    else:
        login.login("localhost:5000", "bird", "secret")
    assert os.listdir(f"{tmp_path}/run") == []


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("", None),
        ('{"auths": null}', None),
        ('{"auths": {"localhost:5000": {"auth": "YmlyZDpzZWNyZXQ="}}}', "bird"),
        ('{"auths": {"http://localhost:5000": {"identitytoken": "x"}}}', "<token>"),
    ],
)
def test_dockers_file(tmp_path, monkeypatch, text, user):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "kept").write_text(text)
    (tmp_path / "config.json").symlink_to("kept")
    account = credentials.find("localhost:5000")
    assert (account and account.user) == user


@pytest.mark.parametrize("text", ["[]", '{"auths": []}', "{", '{"credsStore": 5}', '{"credsStore": "../x"}'])
def test_a_file_that_is_not_dockers(tmp_path, monkeypatch, text):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(HostError, match=r"config\.json"):
        credentials.find("localhost:5000")
