"""ADD of a URL, against a server on loopback that the test starts."""

from __future__ import annotations

import hashlib
import http.server
import os
import threading
import types

import pytest

from mydocker import paths
from mydocker.build.instructions import Add
from mydocker.engine.build import fetching, hashing
from mydocker.engine.build.steps import Download, Origin, Step
from mydocker.errors import MydockerError
from mydocker.image import build_cache

pytestmark = [pytest.mark.local, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

BODY = b"hello\n"
DIGEST = f"sha256:{hashlib.sha256(BODY).hexdigest()}"


@pytest.fixture(autouse=True)
def requirements():
    """These need no machine. This replaces the fixture in conftest.py."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, str, str]] = []
    version = '"1"'

    def do_GET(self) -> None:
        agent, password = self.headers.get("User-Agent", ""), self.headers.get("Authorization", "")
        self.asked.append((self.path, agent, password))
        path = self.path.partition("?")[0]
        if path == "/version" and self.headers.get("If-None-Match") == self.version:
            self.send_response(304)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            return
        status = {"/missing": 404, "/moved": 302, "/file": 302, "/round": 302}.get(path, 200)
        self.send_response(status)
        to = {"/moved": "/d/other%20name", "/file": "file:///etc/passwd", "/round": "/round"}.get(path)
        if to:
            self.send_header("Location", to)
        if path == "/dated":
            self.send_header("Last-Modified", "Sat, 03 Feb 2001 04:05:06 GMT")
        if path == "/version":
            self.send_header("ETag", self.version)
        if path == "/odd":
            self.send_header("Last-Modified", "yesterday")
        body = BODY if status == 200 else b""
        self.send_header("Content-Length", str(len(body) + (100 if path == "/short" else 0)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def fetch(tmp_path, *sources: str, checksum: str = "", unpack: bool | None = None, reuse: bool = False) -> Step:
    add = Add(1, 1, "", False, list(sources), [], "/o/", "", "", False, [], checksum, False, unpack)
    step = Step(Origin("the build context", str(tmp_path)), list(sources), "/o/", unpack=True)
    fetching.fetch(add, step, types.SimpleNamespace(path=str(tmp_path)), reuse)
    return step


def test_a_version_that_is_known(server, tmp_path, monkeypatch):
    """It is not fetched again until the server has another one, or the step has to be done after all."""
    monkeypatch.setattr(build_cache, "DOWNLOADS", str(tmp_path / "downloads"))

    def once(number: int, checksum: str = "") -> tuple[Step, Download, str]:
        directory = tmp_path / str(number)
        directory.mkdir()
        step = fetch(directory, f"http://bird:secret@{server}/version", checksum=checksum, reuse=True)
        key = hashing.digest(step)
        fetching.remember(step, checksum)
        (download,) = step.sources
        assert isinstance(download, Download)
        return step, download, key

    _, first, key = once(1)
    step, second, again = once(2)
    assert (first.is_here, second.is_here, again) == (True, False, key)
    fetching.bring(step, "")
    assert (second.is_here, os.stat(second.path).st_mode & 0o777, hashing.digest(step)) == (True, 0o600, key)
    assert once(3, DIGEST)[1].is_here  # it was not compared with a checksum
    assert not once(4, DIGEST)[1].is_here
    assert b"secret" not in b"".join(path.read_bytes() for path in (tmp_path / "downloads").iterdir())

    step = once(5, DIGEST)[0]
    second = step.sources[0]
    second.content = "00"
    with pytest.raises(MydockerError, match="has changed"):
        fetching.bring(step, DIGEST)
    for weak in ('W/"2"', '"3"'):
        monkeypatch.setattr(Handler, "version", weak)
        for number in (10, 11):
            assert once(number + (weak == '"3"') * 10)[1].is_here == (weak != '"3"' or number == 10)
    build_cache.remove_downloads(0)
    assert once(30)[1].is_here


def test_a_file(server, tmp_path):
    step = fetch(tmp_path, f"http://{server}/d/a%20b?x=1", "local", checksum="")
    download, local = step.sources
    assert isinstance(download, Download)
    assert (download.name, local, step.unpack_downloads) == ("a b", "local", False)
    with open(download.path, "rb") as file:
        assert file.read() == BODY
    info = os.stat(download.path)
    assert (info.st_mode & 0o7777, info.st_mtime) == (0o600, 0)  # the time of a file without one is 1970's
    assert Handler.asked[-1][1].startswith("mydocker/")


@pytest.mark.parametrize(
    ("path", "name", "time"),
    [("/dated", "dated", 981173106), ("/odd", "odd", 0), ("/moved", "moved", 0), ("/", "", 0), ("/d/", "d", 0)],
)
def test_names_and_times(server, tmp_path, path, name, time):
    (download,) = fetch(tmp_path, f"http://{server}{path}").sources
    assert isinstance(download, Download)
    assert (download.name, os.stat(download.path).st_mtime) == (name, time)


def test_a_checksum(server, tmp_path):
    assert fetch(tmp_path, f"http://{server}/a", checksum=DIGEST, unpack=True).unpack_downloads
    with pytest.raises(MydockerError, match=f"checksum mismatch: http://.*/b has {DIGEST}"):
        fetch(tmp_path / "..", f"http://{server}/b", checksum="sha256:" + "0" * 64)


def test_a_password_is_for_the_first_host_and_is_not_shown(server, tmp_path):
    fetch(tmp_path, f"http://bob:s%40cret@{server}/moved")
    assert [row[2] for row in Handler.asked[-2:]] == ["Basic Ym9iOnNAY3JldA==", ""]
    with pytest.raises(MydockerError) as error:
        fetch(tmp_path / "..", f"http://bob:s%40cret@{server}/missing")
    assert "cret" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "checksum", "message"),
    [
        ("http://{}/missing", "", "404"),
        ("http://{}/file", "", "can't fetch"),
        ("http://{}/round", "", "can't fetch"),
        ("http://{}/short", "", "it ended after 6 of 106 bytes"),
        ("http://127.0.0.1:1/x", "", "refused"),
        ("http://[/x", "", "can't fetch"),
        ("http://{}/a b", "", "can't fetch"),
        ("http://{}/a", "sha256:12", "invalid checksum"),
        ("http://{}/a", "md5:" + "0" * 32, "invalid checksum"),
        ("a.txt", "sha256:" + "0" * 64, "--checksum is for files that are fetched"),
        ("https://example.com/project.git", "", "git repository"),
        ("https://example.com/project.git#main:sub", "", "git repository"),
        ("git@example.com:project.git", "", "git repository"),
        ("ssh://example.com/project", "", "git repository"),
    ],
)
def test_refused(server, tmp_path, source, checksum, message):
    with pytest.raises(MydockerError, match=message) as error:
        fetch(tmp_path, source.format(server), checksum=checksum)
    assert error.value.exit_code == 1


def test_a_file_has_the_limit_of_images(server, tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text("image_size: 5\n")
    monkeypatch.setattr(paths, "CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.setattr(paths, "ROOT", str(tmp_path / "store"))
    with pytest.raises(MydockerError, match=r"refused image: it has a file of more than 5 bytes from http:"):
        fetch(tmp_path, f"http://{server}/a")


def test_one_checksum_is_for_one_source(server, tmp_path):
    with pytest.raises(MydockerError, match="--checksum is for one source"):
        fetch(tmp_path, f"http://{server}/a", f"http://{server}/b", checksum=DIGEST)
