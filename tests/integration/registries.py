"""Registries on loopback: Debian's docker-registry, filled through its API, and a server that lies."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from image_archives import OCI, Image, digest

INDEX = f"{OCI}.image.index.v1+json"
SETTINGS = """
version: 0.1
log: {{accesslog: {{disabled: false}}, level: error}}
storage: {{filesystem: {{rootdirectory: {directory}/data}}, delete: {{enabled: true}}}}
http:
  addr: 127.0.0.1:{port}
{more}
"""
SECURE = """
  tls: {{certificate: {directory}/cert.pem, key: {directory}/key.pem}}
auth: {{htpasswd: {{realm: test, path: {directory}/htpasswd}}}}
"""
# bcrypt of `secret`, of cost 4: docker-registry reads no other kind.
HTPASSWD = "bird:$2y$04$xcf9FiHxDhDqLsE/KlKi5uolxjp5iNQXinofotdikJ5diel3JBQxC\n"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Registry:
    """A docker-registry that runs. address: HOST:PORT."""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory, self.address = directory, f"127.0.0.1:{port}"

    def requests(self) -> list[str]:
        """Return `METHOD PATH` of each request so far."""
        words = (
            line.split('"')[1].split() for line in (self.directory / "log").read_text().splitlines() if '"' in line
        )
        return [" ".join(each[:2]) for each in words if each[0] in ("GET", "HEAD", "PUT", "POST", "PATCH")]

    def blobs_sent(self) -> int:
        return sum(line.startswith("GET") and "/blobs/" in line for line in self.requests())

    def _call(self, method: str, path: str, data: bytes = b"", kind: str = "") -> str:
        url = path if path.startswith("http") else f"http://{self.address}{path}"
        headers = {"Content-Type": kind or "application/octet-stream"}
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.headers.get("Location", "")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()}") from None

    def put(self, name: str, data: bytes) -> None:
        """Put a blob into a repository."""
        place = self._call("POST", f"/v2/{name}/blobs/uploads/")
        self._call("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest(data)}", data)

    def put_manifest(self, name: str, tag: str, data: bytes) -> None:
        self._call("PUT", f"/v2/{name}/manifests/{tag}", data, json.loads(data)["mediaType"])

    def push(self, name: str, tag: str, image: Image, docker: bool = False) -> bytes:
        """Put an image, by a tag or, with tag "", by its digest alone. Returns its manifest."""
        for data in (*image.blobs, image.config_data):
            self.put(name, data)
        manifest = image.manifest(docker)
        self.put_manifest(name, tag or digest(manifest), manifest)
        return manifest


def _answers(port: int, enter: Sequence[str]) -> bool:
    if not enter:
        return socket.socket().connect_ex(("127.0.0.1", port)) == 0
    script = f"import socket; socket.create_connection(('127.0.0.1', {port}))"
    return subprocess.run([*enter, sys.executable, "-IS", "-c", script], stderr=subprocess.DEVNULL).returncode == 0


@contextlib.contextmanager
def registry(directory: Path, secure: bool = False, enter: Sequence[str] = ()) -> Iterator[Registry]:
    """Run one for this block. secure: with TLS by a CA of its own, directory/cert.pem, and the user bird, `secret`.
    enter: the words before a command that lead into another network."""
    port = free_port()
    more = ""
    if secure:
        more = SECURE.format(directory=directory)
        subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
        new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        out = ["-keyout", f"{directory}/key.pem", "-out", f"{directory}/cert.pem"]
        subprocess.run([*new, *subject, *out], check=True, capture_output=True)
        (directory / "htpasswd").write_text(HTPASSWD)
    (directory / "settings.yml").write_text(SETTINGS.format(directory=directory, port=port, more=more))
    with open(directory / "log", "w") as log:
        words = [*enter, "docker-registry", "serve", str(directory / "settings.yml")]
        server = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 20
        while not _answers(port, enter):
            assert time.monotonic() < deadline, (directory / "log").read_text()
            time.sleep(0.05)
        yield Registry(directory, port)
    finally:
        server.terminate()
        server.wait()


class Liar:
    """A server that answers as it is told. answers: path -> (status, media type, body, headers)."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str, bytes]] = {"/v2/": (200, "application/json", b"{}")}
        self.endless: set[str] = set()  # paths whose answer never ends
        self.slow: set[str] = set()  # paths whose answer stops before its end
        liar = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, kind, body = liar.answers.get(self.path, (404, "text/plain", b"no"))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                if self.path not in liar.endless | liar.slow:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)
                    while self.path in liar.endless:
                        self.wfile.write(b"x" * 65536)
                    if self.path in liar.slow:
                        self.connection.recv(1)  # until the client has had enough

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_port}"

    def image(self, name: str, made: Image, **lies: bytes) -> bytes:
        """Serve an image as NAME:1, and return its manifest. lies: `manifest`, `config` or `layer`, sent instead."""
        manifest = made.manifest()
        kind = json.loads(manifest)["mediaType"]
        for reference in ("1", digest(manifest)):
            self.answers[f"/v2/{name}/manifests/{reference}"] = (200, kind, lies.get("manifest", manifest))
        blobs = {digest(made.config_data): lies.get("config", made.config_data)}
        blobs.update((digest(data), lies.get("layer", data)) for data in made.blobs)
        for each, data in blobs.items():
            self.answers[f"/v2/{name}/blobs/{each}"] = (200, "application/octet-stream", data)
        return manifest

    def index(self, name: str, entries: list[dict]) -> bytes:
        """Serve a list of images as NAME:1, and return it."""
        data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
        self.answers[f"/v2/{name}/manifests/1"] = (200, INDEX, data)
        return data


@contextlib.contextmanager
def liar() -> Iterator[Liar]:
    made = Liar()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        thread.join()
